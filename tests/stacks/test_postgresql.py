"""PostgreSQL on a shared disk: whatever happens, what a client was told is committed stays so."""

import sys
from collections.abc import Iterator

import pytest

from tests.hosts.cluster import needs_cluster
from tests.stacks import cases
from tests.stacks.cases import TRIES, good
from tests.stacks.examples import POSTGRESQL, needs
from tests.stacks.stack import IMPORTS, WITNESS, Stack, on_stack

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


LONG_QUERY = "select count(*) from generate_series(1, 100000) a, generate_series(1, 100000) b"
"""Minutes of work, without a moment at which it would notice that its server is dead."""


def test_a_session_in_a_long_query_does_not_outlive_its_server(stack: Stack) -> None:
    """It would keep the disk, and the next server from starting."""
    host, _, port = POSTGRESQL.client[1].partition(":")
    login = f"('{host}', {port}), 'shop', 'secret', 'shop', connect_s=1, answer_s=60"
    code = f"from tests.stacks.postgres import Postgres; Postgres({login}).query({LONG_QUERY!r})"
    lab = stack.cluster.lab
    asker = lab[WITNESS].spawn(sys.executable, "-c", code, log=lab.directory / "asker.log", env=IMPORTS)
    good(stack, cases.killed(stack, "db"))
    asker.wait()


def test_a_power_cut(stack: Stack) -> None:
    good(stack, cases.power_cut(stack))


def test_a_server_that_says_committed_too_early_is_found_out(stack: Stack) -> None:
    """With synchronous_commit off, a power cut loses what was acknowledged: if this did not, the test above would show
    nothing."""
    stack.restart_client("postgresql-careless")
    done = cases.power_cut(stack)
    assert [problem for problem in done.problems if "lost, though acknowledged" in problem], done
    stack.restart_client()
