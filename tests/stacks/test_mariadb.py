"""MariaDB on a shared disk."""

from collections.abc import Iterator

import pytest

from tests.hosts.cluster import needs_cluster
from tests.stacks import cases
from tests.stacks.cases import good
from tests.stacks.examples import MARIADB, needs
from tests.stacks.stack import Stack, on_stack

pytestmark = [needs_cluster, needs(MARIADB), pytest.mark.processes]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with on_stack(MARIADB) as made:
        yield made


def test_a_planned_switch(stack: Stack) -> None:
    good(stack, cases.switched(stack))


def test_a_power_cut(stack: Stack) -> None:
    good(stack, cases.power_cut(stack))
