"""A web server in front of two applications that do not wait for each other."""

from collections.abc import Iterator

import pytest

from tests.hosts.cluster import needs_cluster
from tests.stacks import cases
from tests.stacks.cases import good
from tests.stacks.examples import NGINX, needs
from tests.stacks.stack import Stack, on_stack

pytestmark = [needs_cluster, needs(NGINX), pytest.mark.processes]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with on_stack(NGINX) as made:
        yield made


def test_one_application_comes_online_while_the_other_still_ends(stack: Stack) -> None:
    source, target = stack.cluster.owner(), stack.cluster.other()
    good(stack, cases.switched(stack))
    began = stack.at(target, "component.onlining", "orders")
    ended = stack.at(source, "component.offline", "search")
    assert began < ended, stack.story()
    done = stack.logged(target, "handover.done")
    assert done["makespan_s"] < done["phased_s"], done


def test_a_killed_server_is_brought_online_again(stack: Stack) -> None:
    """The workers of nginx, which live on when their master is killed, are not in the way of the next one."""
    good(stack, cases.killed(stack, "web"))
