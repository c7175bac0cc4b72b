"""What is done to a cluster on hosts, again and again, and what is found: by the tests here, and by ``python -m
tests.hosts`` for many tries and their figures."""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from failoverd.config.nodes import DEFAULT_PORT
from tests.etcd_server import EtcdMember
from tests.hosts.cluster import Cluster, Node

TRIES = int(os.environ.get("TRIES", "2"))
STEADY_S = 1.0
"""For so long, and up to twice that, nothing happens before something is measured."""
STEPS = ("peer.suspected", "fence.begun", "fence.done", "peer.fenced", "handover.begun", "component.onlining")
LEASES = 1.25
"""For so many leases it is waited whether something moves that must not: it would after 1.05."""


@dataclass(frozen=True, kw_only=True)
class Try:
    problems: tuple[str, ...]
    """What was not as it must be."""
    took_s: float = 0.0
    """From what was done to the first online that began on the other node."""
    margin_s: float = 0.0
    """From the last sign of anything on the one node to that."""
    makespan_s: float = 0.0
    limit_s: float = 0.0
    """Of the handover, as its target says (0: none)."""
    steps: dict[str, float] = field(default_factory=dict)
    """When what was logged, seconds from what was done."""


def good(cluster: Cluster, done: Try) -> None:
    """For tests: fail, with the whole story."""
    assert not done.problems, "\n".join([*done.problems, cluster.story()])


# --- the owner is cut off: it has stopped before the other begins --------------------------------------------------


@contextmanager
def isolated(cluster: Cluster, source: Node) -> Iterator[None]:
    """From everything: the other nodes, the witness, their etcd members."""
    cluster.lab.isolate(source.name)
    yield
    cluster.lab.rejoin(source.name)


@contextmanager
def stopped(_cluster: Cluster, source: Node) -> Iterator[None]:
    """SIGSTOP of the daemon, for good."""
    assert source.daemon is not None
    source.daemon.signal(signal.SIGSTOP)
    yield
    source.kill()


@contextmanager
def killed(_cluster: Cluster, source: Node) -> Iterator[None]:
    """SIGKILL of the daemon, and nobody starts it again."""
    source.kill()
    yield


Breakage = Callable[[Cluster, Node], AbstractContextManager[None]]

CUT_OFF: dict[str, Breakage] = {"isolated": isolated, "stopped": stopped, "killed": killed}


def cut_off(cluster: Cluster, how: Breakage) -> Try:
    source, target = cluster.settle()
    cluster.forget()
    at = time.time()
    with how(cluster, source):
        cluster.wait_online(target)
        judged = cluster.moved(source, target)
    return Try(problems=judged.problems, took_s=judged.up_at - at, margin_s=judged.up_at - judged.down_at)


# --- the owner's power is cut ---------------------------------------------------------------------------------------


def power_cut(cluster: Cluster, *, leader_too: bool) -> Try:
    """The owner dies at once, and one of those who live makes sure of it with its fence agent. ``leader_too``: etcd's
    leader dies with it."""
    source, target = cluster.settle()
    assert cluster.switch is not None
    cluster.etcd.make_leader(member_of(cluster, source if leader_too else target))
    time.sleep(random.uniform(STEADY_S, 2 * STEADY_S))
    cluster.forget()
    cluster.switch.requests.clear()
    at = cluster.cut_power(source)
    cluster.wait_online(target)
    judged = cluster.moved(source, target)
    problems = list(judged.problems)
    if [one.host for one in cluster.switch.off()] != [source.name]:
        problems.append(f"not one shot at {source.name}: {cluster.switch.off()}")
    return Try(problems=tuple(problems), took_s=judged.up_at - at, steps=steps(target, at))


def member_of(cluster: Cluster, node: Node) -> EtcdMember:
    return next(member for member in cluster.etcd.members if member.name == node.name)


def steps(target: Node, at: float) -> dict[str, float]:
    """When each step of a failover was first logged by the target, in seconds from ``at`` (wall clock)."""
    found: dict[str, float] = {}
    for event in target.log():
        after = datetime.fromisoformat(event["ts"]).timestamp() - at
        if after >= 0 and event["event"] in STEPS:
            found.setdefault(event["event"], round(after, 4))
    return found


# --- nothing moves that need not -----------------------------------------------------------------------------------


def restarted(cluster: Cluster) -> Try:
    """SIGKILL of the owner's daemon, which is started again at once."""
    source, _target = cluster.settle()
    processes, generation = cluster.forget(), cluster.group(source)["generation"]
    at = time.time()
    source.kill()
    source.start()
    source.wait_ready()
    took_s = time.time() - at
    return Try(problems=_as_before(cluster, source, processes, generation), took_s=took_s)


def quiet(
    cluster: Cluster,
    breakage: Callable[[Cluster], AbstractContextManager[None]],
    hold_s: float,
    named: Callable[[Cluster], list[str]] = lambda _cluster: [],
) -> Try:
    """Something breaks for a while, is mended, and the group has not noticed. ``named``: what is wrong with how the
    nodes tell of it meanwhile."""
    source, _target = cluster.settle()
    if cluster.switch is not None:
        cluster.switch.requests.clear()
    processes, generation = cluster.forget(), cluster.group(source)["generation"]
    with breakage(cluster):
        time.sleep(hold_s)
        found = [*cluster.untouched(source, processes), *named(cluster)]
    if cluster.switch is not None:
        found += [f"{one.by} shot at {one.host}" for one in cluster.switch.off()]
    return Try(problems=(*found, *_as_before(cluster, source, processes, generation)))


def told(cluster: Cluster, by: str, of: str) -> tuple[str, str, set[str]]:
    """What a node says of a node: its state, the reason, the states of the links to it."""
    status = cluster[by].status()
    if status is None:
        return "no answer", "", set()
    node = status["nodes"][of]
    return node["state"], node["reason"], {link["state"] for link in node["links"].values()}


def pair_named(cluster: Cluster) -> list[str]:
    """Each of the two says that the other is silent and lives; the witness sees nothing wrong."""
    found = []
    for by, of in (("a", "b"), ("b", "a")):
        state, reason, links = told(cluster, by, of)
        if state != "suspected" or "lease" not in reason or links != {"down"}:
            found.append(f"{by} says of {of}: {state} ({reason}), links {links}")
    return found + [f"w says of {of}: {told(cluster, 'w', of)}" for of in "ab" if told(cluster, "w", of)[0] != "up"]


def link_named(cluster: Cluster) -> list[str]:
    state, reason, links = told(cluster, "a", "b")
    good = state == "up" and reason and links == {"up", "down"}
    return [] if good else [f"a says of b: {state} ({reason}), links {links}"]


def one_way_named(cluster: Cluster) -> list[str]:
    """Who is heard no more is told so by the other, and knows that it is one way; the other cannot know."""
    owner, other = cluster.owner().name, cluster.other().name
    said, back = told(cluster, owner, other), told(cluster, other, owner)
    found = [] if said[0] == "up" and said[2] == {"one_way"} else [f"{owner} says of {other}: {said}"]
    return found if back[0] == "suspected" and "lease" in back[1] else [*found, f"{other} says of {owner}: {back}"]


def failsafe_named(cluster: Cluster) -> list[str]:
    said = [(name, told(cluster, name, name)) for name in cluster.nodes]
    return [f"{name} says of itself: {told}" for name, told in said if "failsafe" not in told[1]]


def _as_before(cluster: Cluster, source: Node, processes: dict[str, int], generation: int) -> tuple[str, ...]:
    owner, _other = cluster.settle()
    found = cluster.untouched(source, processes)
    if owner is not source:
        found.append(f"the group went from {source.name} to {owner.name}")
    if (now := cluster.group(owner)["generation"]) != generation:
        found.append(f"its generation went from {generation} to {now}")
    return tuple(found)


@contextmanager
def one_member_killed(cluster: Cluster) -> Iterator[None]:
    """An etcd member that does not lead."""
    member = cluster.etcd.follower()
    member.kill()
    yield
    member.start()


@contextmanager
def leader_killed(cluster: Cluster) -> Iterator[None]:
    member = cluster.etcd.leader()
    member.kill()
    yield
    member.start()


@contextmanager
def all_members_killed(cluster: Cluster) -> Iterator[None]:
    cluster.etcd.kill()
    yield
    cluster.etcd.start()


@contextmanager
def pair_cut(cluster: Cluster) -> Iterator[None]:
    """Only between the two nodes, both of which reach the witness."""
    cluster.lab.cut("a", "b")
    yield
    cluster.lab.heal("a", "b")


@contextmanager
def one_link_dead(cluster: Cluster) -> Iterator[None]:
    """Of two: the one that etcd does not use."""
    cluster.lab.drop_link(1)
    yield
    cluster.lab.heal()


@contextmanager
def one_way_loss(cluster: Cluster) -> Iterator[None]:
    """What the owner sends to the other node is lost, the other way is fine."""
    owner, other = cluster.owner(), cluster.other()
    cluster.lab.cut(owner.name, other.name, one_way=True)
    yield
    cluster.lab.heal()


@contextmanager
def third_of_everything_lost(cluster: Cluster) -> Iterator[None]:
    """30 of 100 frames between any two: etcd's are among them."""
    for one, other in (("a", "b"), ("a", "w"), ("b", "w")):
        cluster.lab.lose(one, other, percent=30)
    yield
    cluster.lab.heal()


@contextmanager
def third_lost(cluster: Cluster) -> Iterator[None]:
    """30 of 100 heartbeats between any two."""
    for one, other in (("a", "b"), ("a", "w"), ("b", "w")):
        cluster.lab.lose(one, other, percent=30, port=DEFAULT_PORT)
    yield
    cluster.lab.heal()
