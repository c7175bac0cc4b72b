"""PostgreSQL on a shared disk: whatever happens, what a client was told is committed stays so."""

from collections.abc import Iterator

import pytest

from tests.hosts.cases import TRIES
from tests.hosts.cluster import needs_cluster
from tests.stacks import cases
from tests.stacks.cases import good
from tests.stacks.examples import POSTGRESQL, needs
from tests.stacks.stack import Stack, on_stack

pytestmark = [needs_cluster, needs(POSTGRESQL), pytest.mark.processes]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with on_stack(POSTGRESQL) as made:
        yield made


def test_a_planned_switch(stack: Stack) -> None:
    for _ in range(TRIES):
        good(stack, cases.switched(stack))


def test_a_killed_server_is_restarted_and_then_moved(stack: Stack) -> None:
    good(stack, cases.killed_twice(stack, "db"))


def test_a_power_cut(stack: Stack) -> None:
    good(stack, cases.power_cut(stack))


def test_a_server_that_says_committed_too_early_is_found_out(stack: Stack) -> None:
    """With synchronous_commit off, a power cut loses what was acknowledged: if this did not, the test above would show
    nothing."""
    stack.restart_client("postgresql-careless")
    done = cases.power_cut(stack)
    assert [problem for problem in done.problems if "lost, though acknowledged" in problem], done
    stack.restart_client()
