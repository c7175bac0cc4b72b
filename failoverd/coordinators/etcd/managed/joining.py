"""What a node whose member has no data may do, from what the other voters answer. Pure.

See the package: a new cluster is formed only if every other voter is as empty as this one.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from failoverd.coordinators.etcd.managed.layout import Layout, Start
from failoverd.coordinators.etcd.managed.messages import Cluster, Member


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """A member runs there, or has data and will."""

    cluster: Cluster
    formed: bool = True
    """False: its members have not agreed upon a version yet, and let nobody new in before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Empty:
    """A daemon answers there whose member has no data yet."""

    voters: tuple[str, ...]
    """As its configuration has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent:
    why: str


Answer = Runs | Empty | Silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """Start the member."""

    start: Start
    initial: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """What this node was in the cluster, and has forgotten."""

    member: Member


@dataclass(frozen=True, slots=True, kw_only=True)
class Add:
    """Make this node a member of the cluster that there is."""

    voting: bool
    """At once, for etcd 3.4 promotes nobody where a single member votes (IsReadyToPromoteMember). Its writes then wait
    until this node's member runs, which is begun next. Else it is to learn everything first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    why: str


Decision = Begin | Remove | Add | Wait


def decide(layout: Layout, answers: Mapping[str, Answer]) -> Decision:
    """``answers``: of every other voter."""
    running = {name: answer for name, answer in answers.items() if isinstance(answer, Runs)}
    if running:
        return _enter(layout, running)
    silent = {name: answer.why for name, answer in answers.items() if isinstance(answer, Silent)}
    if silent:
        told = "; ".join(f"{name}: {why}" for name, why in silent.items())
        return Wait(
            why=f"a new etcd cluster is formed once every voter ({', '.join(layout.hosts)}) says that it has no data "
            f"yet; waiting for {told}"
        )
    mine = tuple(layout.hosts)
    for name, answer in answers.items():
        if isinstance(answer, Empty) and set(answer.voters) != set(mine):
            return Wait(
                why=f"the configuration of {name} makes {', '.join(answer.voters)} the voters, the one here "
                f"{', '.join(mine)}: bring the same configuration to every node"
            )
    return Begin(start=Start.NEW, initial=layout.initial)


def _enter(layout: Layout, running: Mapping[str, Runs]) -> Decision:
    clusters = {name: answer.cluster for name, answer in running.items()}
    if len({cluster.id for cluster in clusters.values()}) > 1:
        told = ", ".join(f"{name}: {cluster.id:x}" for name, cluster in clusters.items())
        return Wait(
            why=f"the voters belong to different etcd clusters ({told}): on those that are wrong, stop failoverd and "
            "its etcd and move the directory 'etcd' of the state_dir away"
        )
    # What each knows may be more or less recent: the one that knows of us knows what became of our request.
    found = [(cluster, cluster.find(layout.node, layout.peer_url(layout.node))) for cluster in clusters.values()]
    known = next(((cluster, member) for cluster, member in found if member is not None), None)
    if known is None:
        return Add(voting=any(_votes_alone(cluster) for cluster in clusters.values()))
    cluster, member = known
    if member.started or layout.peer_url(layout.node) not in member.peer_urls:
        return Remove(member=member)
    if not any(each.started for each in cluster.members) and _is_new(layout, cluster):
        # The others have just begun to form it, as this node is about to.
        return Begin(start=Start.NEW, initial=layout.initial)
    if not any(answer.formed for answer in running.values()):
        return Wait(why="the other members have no majority yet, or have just got one")
    return Begin(start=Start.EXISTING, initial=_initial(layout, cluster, member))


def _votes_alone(cluster: Cluster) -> bool:
    return len([member for member in cluster.members if not member.learner]) == 1


def _is_new(layout: Layout, cluster: Cluster) -> bool:
    return {peer for member in cluster.members for peer in member.peer_urls} == set(layout.initial.values())


def _initial(layout: Layout, cluster: Cluster, own: Member) -> dict[str, str]:
    names = {layout.peer_url(name): name for name in layout.hosts}
    initial = {}
    for member in cluster.members:
        name = layout.node if member.id == own.id else member.name or names.get(member.peer_urls[0], f"{member.id:x}")
        initial[name] = member.peer_urls[0]
    return initial
