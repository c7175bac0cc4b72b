"""What breaks without need for a move moves nothing, and nobody is shot."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from tests.hosts import cases
from tests.hosts.cases import LEASES, TRIES, good
from tests.hosts.cluster import Cluster, needs_cluster, on_hosts

pytestmark = [needs_cluster, pytest.mark.processes]

Breakage = Callable[[Cluster], AbstractContextManager[None]]
Named = Callable[[Cluster], list[str]]

TTL_S = 3.0
HOLD_S = TTL_S * LEASES
RESTART_TTL_S = 15.0
"""A daemon takes a second to start, on a busy machine several; and its guard fires a sixth before the end."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with on_hosts(ttl=f"{TTL_S:g}s", links=2, fencing=True) as made:
        yield made


def test_a_daemon_that_is_killed_and_started_again() -> None:
    with on_hosts(ttl=f"{RESTART_TTL_S:g}s") as made:
        for _ in range(TRIES):
            good(made, cases.restarted(made))


QUIET: dict[str, tuple[Breakage, Named]] = {
    "only the link between the two": (cases.pair_cut, cases.pair_named),
    "one link of two": (cases.one_link_dead, cases.link_named),
    "one way": (cases.one_way_loss, cases.one_way_named),
    "30 of 100 heartbeats": (cases.third_lost, lambda _: []),
    "an etcd member": (cases.one_member_killed, lambda _: []),
    "the leader of etcd": (cases.leader_killed, lambda _: []),
    "all of etcd": (cases.all_members_killed, cases.failsafe_named),
}


@pytest.mark.parametrize(("breakage", "named"), QUIET.values(), ids=QUIET)
def test_what_the_group_does_not_notice(cluster: Cluster, breakage: Breakage, named: Named) -> None:
    good(cluster, cases.quiet(cluster, breakage, HOLD_S, named))
