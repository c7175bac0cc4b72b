"""Views of a small cluster for tests of decisions: everything is plain unless a test says otherwise."""

from dataclasses import replace
from typing import Any

from failoverd.domain.model import Component, Group
from failoverd.domain.placement import LeaseState, Placement
from failoverd.domain.view import GroupView, NodeView, View

NOW = 100.0
HASH = "h"
GROUP = "g"


def node(name: str, **fields: Any) -> NodeView:
    """Alive, heard, ready, with a lease that runs."""
    plain = NodeView(
        name=name,
        heard=True,
        ready=True,
        member=LeaseState.LIVE,
        member_revision=10 + ord(name[0]),
        lease_revision=50 + ord(name[0]),
        incarnation=f"{name}-1",
        lease_expires_at=NOW + 2,
        config_hashes={GROUP: HASH},
    )
    return replace(plain, **fields)


def group(name: str = GROUP, nodes: tuple[str, ...] = ("a", "b", "c"), **fields: Any) -> Group:
    components = {"db": Component(name="db", type="fake"), "job": Component(name="job", type="fake", critical=False)}
    return Group(name=name, nodes=nodes, components=components, config_hash=HASH, **fields)


def placed(owner: str = "a", *holders: str, **fields: Any) -> Placement:
    return Placement(owner=owner, generation=fields.pop("generation", 4), holders=holders or (owner,), **fields)


def group_view(placement: Placement | None = None, **fields: Any) -> GroupView:
    made = fields.pop("group", None) or group()
    return GroupView(group=made, placement=placement, revision=7 if placement else 0, **fields)


def view(me: str, *groups: GroupView, nodes: dict[str, NodeView] | None = None, **fields: Any) -> View:
    everybody = {name: node(name) for name in ("a", "b", "c")} | (nodes or {})
    plain = View(
        me=me,
        now=NOW,
        nodes=everybody,
        groups={each.group.name: each for each in groups},
        ready=True,
        lease_usable=True,
        coordinator_ok=True,
    )
    return replace(plain, **fields)


def gone(name: str, state: LeaseState = LeaseState.FENCED) -> dict[str, NodeView]:
    return {name: node(name, member=state, heard=False, ready=False)}
