"""What is done to an example while its client goes on, and what is found."""

import json
import os
import random
import time
from dataclasses import replace

from tests.hosts.cases import STEADY_S, Try, steps
from tests.hosts.cluster import RUN_DIR, Node
from tests.stacks.stack import Stack

SWITCH_S = 60.0


TRIES = int(os.environ.get("TRIES", "1"))
"""Of a test."""


def good(stack: Stack, done: Try) -> None:
    """For tests: fail, with the whole story."""
    assert not done.problems, "\n".join([*done.problems, stack.story()])


def switched(stack: Stack) -> Try:
    """Planned."""
    source, target = _at_work(stack)
    source.ask("switch", group=stack.cluster.group_name, to=target.name, wait=True, updates=False, timeout_s=SWITCH_S)
    stack.cluster.wait_online(target)
    return _found(stack, source, target)


def power_cut(stack: Stack) -> Try:
    """The owner is dead at once; whatever it had not written to the disk is lost."""
    source, target = _at_work(stack)
    at = stack.cluster.cut_power(source)
    stack.cluster.wait_online(target)
    return replace(_found(stack, source, target), steps=steps(target, at))


def killed(stack: Stack, component: str, group: str | None = None) -> Try:
    """SIGKILL of a component's main process, which is brought online again where it was. ``group``: of that component,
    followed by the node's name, where it is not the one that moves."""
    source, _target = _at_work(stack)
    _kill(stack, source, component, f"{group}{source.name}" if group else None)
    stack.cluster.wait_online(source)
    return _found(stack, source)


def killed_twice(stack: Stack, component: str) -> Try:
    """And again, once it is back: now everything goes to the other node."""
    source, target = _at_work(stack)
    _kill(stack, source, component)
    stack.cluster.wait_online(source)
    stack.wait_answers(source)
    stack.forget()
    stack.wait_answers(source)
    _kill(stack, source, component)
    stack.cluster.wait_online(target)
    return _found(stack, source, target)


def _at_work(stack: Stack) -> tuple[Node, Node]:
    """Everything is as it should be, and has been for a while: (where it is online, the other node)."""
    source, target = stack.cluster.settle()
    for group in stack.example.document()["groups"]:
        source.ask("clear", group=group)
    stack.wait_answers(source)
    time.sleep(random.uniform(STEADY_S, 2 * STEADY_S) / 2)
    stack.forget()
    stack.wait_answers(source)
    return source, target


def _kill(stack: Stack, node: Node, component: str, group: str | None = None) -> None:
    """The server of a ``process`` component, until that is found. Its state file names the main process; where that is
    only what holds the server, it is the child of it."""
    file = node.host.path(f"{RUN_DIR}/process/{group or stack.cluster.group_name}.{component}.json")
    pid = json.loads(file.read_text())["pid"]
    node.host.sh(f"test $(cat /proc/{pid}/comm) = unshare && kill -KILL $(pgrep -P {pid}) || kill -KILL {pid}")
    stack.logged(node, "component.faulted", component)


def _found(stack: Stack, *nodes: Node) -> Try:
    """Once the client is answered by the last of them."""
    stack.wait_answers(nodes[-1])
    problems, silence = stack.judged(*nodes), stack.ledger.silence(stack.offset)
    if len(nodes) == 1:
        return Try(problems=tuple(problems), took_s=silence)
    done = stack.logged(nodes[-1], "handover.done")
    return Try(problems=tuple(problems), took_s=silence, makespan_s=done["makespan_s"], limit_s=done["limit_s"])
