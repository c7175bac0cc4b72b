"""What breaks without need for a move moves nothing."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from tests.hosts import cases
from tests.hosts.cases import LEASES, TRIES, good
from tests.hosts.cluster import Cluster, needs_cluster, on_hosts

pytestmark = [needs_cluster, pytest.mark.processes]

TTL_S = 3.0
HOLD_S = TTL_S * LEASES
RESTART_TTL_S = 15.0
"""A daemon takes a second to start, on a busy machine several; and its guard fires a sixth before the end."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with on_hosts(ttl=f"{TTL_S:g}s", links=2) as made:
        yield made


def test_a_daemon_that_is_killed_and_started_again() -> None:
    with on_hosts(ttl=f"{RESTART_TTL_S:g}s") as made:
        for _ in range(TRIES):
            good(made, cases.restarted(made))


@pytest.mark.parametrize(
    "breakage",
    [cases.one_member_killed, cases.leader_killed, cases.one_link_dead, cases.one_way_loss, cases.third_lost],
    ids=lambda breakage: breakage.__name__,
)
def test_what_the_group_does_not_notice(
    cluster: Cluster, breakage: Callable[[Cluster], AbstractContextManager[None]]
) -> None:
    good(cluster, cases.quiet(cluster, breakage, HOLD_S))


def test_only_the_link_between_two_nodes_is_cut(cluster: Cluster) -> None:
    good(cluster, cases.quiet(cluster, cases.pair_cut, HOLD_S))
