"""Redis with a replica: what is on both is there after whatever happens to one."""

from collections.abc import Iterator

import pytest

from tests.hosts.cluster import needs_cluster
from tests.stacks import cases
from tests.stacks.cases import good
from tests.stacks.examples import REDIS, needs
from tests.stacks.stack import Stack, on_stack

pytestmark = [needs_cluster, needs(REDIS), pytest.mark.processes]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with on_stack(REDIS) as made:
        yield made


def test_the_replica_is_promoted_and_the_primary_becomes_its_replica(stack: Stack) -> None:
    good(stack, cases.switched(stack))


def test_a_primary_that_is_killed_is_the_primary_again(stack: Stack) -> None:
    good(stack, cases.killed(stack, "server", group="redis-"))


def test_a_power_cut_loses_nothing_that_a_replica_had(stack: Stack) -> None:
    good(stack, cases.power_cut(stack))
