"""What must never happen, judged by the world's own record: the truth of the components, the store's contents read as
plain JSON, and the times at which lease renewals were begun. Nothing of the code under test is used here.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from failoverd.domain.model import Action
from failoverd.ports import Delete, Put
from tests.sim.components import Part, Site, Told
from tests.sim.related import Related
from tests.sim.store import SimStore
from tests.sim.world import World

NEVER_TWICE = "online on two nodes"
GENERATIONS = "generations only grow"
HOLDERS = "holders cover what is online"
GATES = "begun against its gates"
EXPIRED = "online without a lease"
OUTCAST = "written by a fenced or former incarnation"
FORCE = "taken down by force without need"
FROZEN = "touched although it is frozen"
DRAINED = "given to a node that is being drained"
DIED = "the daemon died"
CONVERGENCE = "not back to normal in time"


@dataclass(slots=True)
class Tenure:
    """A node's right to have anything online, by the world's clock."""

    usable_until: float = -1.0
    ends: float = -1.0
    looked_at: float = -1.0
    """When it is looked at whether anything is left at its end."""
    waived: bool = False
    """Its daemon was stopped and left its groups running on purpose."""


@dataclass(slots=True)
class Checkers:
    world: World
    site: Site
    store: SimStore
    related: Related
    excused: Callable[[str], bool]
    """Whether a node's daemon cannot be expected to act (dead, or stood still): then its guard does."""
    tenures: dict[str, Tenure] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.site.on_begin = self.began
        self.store.on_commit = self.committed
        self.store.on_told = self.told
        self.related.frozen = self.known_freezes

    _freezes: dict[str, dict[str, tuple[int, bool]]] = field(default_factory=dict)
    """By node: what the coordinator has told its present daemon of freezes, with the revision."""
    _read: dict[str, tuple[bytes, dict[str, Any]]] = field(default_factory=dict)

    def record(self, key: str) -> dict[str, Any] | None:
        entry = self.store.get(key)
        if entry is None:
            return None
        known = self._read.get(key)
        if known is None or known[0] is not entry.value:
            known = self._read[key] = entry.value, json.loads(entry.value)
        return known[1]

    # --- what operators have put on hold ------------------------------------------------------------------------

    def forget_told(self, node: str) -> None:
        """Another daemon begins there."""
        self._freezes.pop(node, None)

    def told(self, node: str, key: str, revision: int, *, there: bool) -> None:
        """A daemon is told that a record is there, or is not any more."""
        if key.startswith("freeze/"):
            known = self._freezes.setdefault(node, {})
            if known.get(key, (0, False))[0] < revision:
                known[key] = revision, there

    def known_freezes(self, part: Part) -> list[str]:
        known = self._freezes.get(part.node, {})
        keys = ("freeze/all/all", f"freeze/group/{part.group}", f"freeze/node/{part.node}")
        return [key for key in keys if known.get(key, (0, False))[1]]

    def _frozen(self, part: Part, action: Action) -> None:
        if found := self.known_freezes(part):
            self.world.broken(FROZEN, f"{action} of {part.key} begins, and {part.node} knows of {', '.join(found)}")

    def _heeds_holds(self, by: str, group: str, old: dict[str, Any] | None, new: dict[str, Any]) -> None:
        """The record of who owns the group is not changed against what stands beside it in the store."""
        if old is not None and (old["owner"], old["wanted"]) == (new["owner"], new["wanted"]):
            return
        nodes = {new["owner"]} | ({old["owner"]} if old is not None else set())
        keys = ["freeze/all/all", f"freeze/group/{group}", *(f"freeze/node/{node}" for node in sorted(nodes))]
        if found := [key for key in keys if self.store.get(key) is not None]:
            self.world.broken(FROZEN, f"{by} placed {group} on {new['owner']} although there is {', '.join(found)}")
        gained = old is None or old["owner"] != new["owner"]
        if gained and self.store.get(f"drain/{new['owner']}") is not None:
            self.world.broken(DRAINED, f"{by} placed {group} on {new['owner']}")

    # --- operations ---------------------------------------------------------------------------------------------

    def began(self, part: Part, action: Action) -> None:
        if part.operation is not None and action is not Action.CLEAN:
            self.world.broken(GATES, f"{action} of {part.key} while its {part.operation.action} is in flight")
        if action in {Action.ONLINE, Action.OFFLINE, Action.PREPARE}:
            self._frozen(part, action)
        if action is Action.ONLINE:
            self._online(part)
        elif action is Action.OFFLINE:
            self._offline(part)
        elif action is Action.CLEAN:
            self._clean(part)

    def _online(self, part: Part) -> None:
        others = [p for p in self.site.parts.values() if (p.group, p.name) == (part.group, part.name) and p is not part]
        if part.exclusive and (twice := [p.node for p in others if p.claims]):
            self.world.broken(NEVER_TWICE, f"{part.key} begins its online while it is online on {', '.join(twice)}")
        needed = [p for p in self.site.of_group(part.node, part.group) if p.name in part.depends_on]
        if missing := [p.name for p in needed if p.told is not Told.ONLINE]:
            self.world.broken(GATES, f"online of {part.key} although {', '.join(missing)} is not online there")
        if self.world.now >= self.tenure(part.node).usable_until:
            self.world.broken(EXPIRED, f"online of {part.key} after the time for self-stop has begun")
        placement = self.record(f"placement/{part.group}")
        if placement is None or part.node not in placement["holders"]:
            self.world.broken(HOLDERS, f"online of {part.key}, which is no holder: {placement}")
        self.related.online(part)

    def _offline(self, part: Part) -> None:
        above = [p for p in self.site.of_group(part.node, part.group) if part.name in p.depends_on]
        if present := [p.name for p in above if p.told is not Told.ABSENT]:
            self.world.broken(GATES, f"offline of {part.key} although {', '.join(present)} is not absent there")
        self.related.offline(part)

    def _clean(self, part: Part) -> None:
        expired = self.world.now >= self.tenure(part.node).usable_until
        fenced = (self.record(f"node/{part.node}") or {}).get("state") != "live"
        if not (part.offline_failed or expired or fenced):
            self.world.broken(FORCE, f"clean of {part.key} although its lease is good and no offline of it failed")

    # --- records ------------------------------------------------------------------------------------------------

    def committed(self, node: str, incarnation: str, writes: Sequence[Put | Delete]) -> None:
        mine = self.record(f"node/{node}") or {}
        for write in writes:
            kind, _, name = write.key.partition("/")
            said_by_operator = kind in {"freeze", "drain"}
            if (
                not said_by_operator
                and name != node
                and (mine.get("incarnation"), mine.get("state")) != (incarnation, "live")
            ):
                self.world.broken(OUTCAST, f"{incarnation} wrote {write.key}, but the record of {node} is {mine}")
            if kind == "lease":
                continue
            document = json.loads(write.value) if isinstance(write, Put) else None
            if kind == "placement":
                self._placement(node, name, document)
            elif kind == "node" and document is not None:
                self._member(node, name, document)
            shown = {} if document is None else {k: v for k, v in document.items() if k not in {"at", "version"}}
            self.world.note(node, "commit", key=write.key, **shown)

    _latest: dict[str, dict[str, Any]] = field(default_factory=dict)

    def _placement(self, node: str, group: str, new: dict[str, Any] | None) -> None:
        if new is None:
            self.world.broken(GENERATIONS, f"the placement of {group} was deleted")
            return
        old = self._latest.get(group)
        self._latest[group] = new
        self._heeds_holds(node, group, old, new)
        if old is not None and new["generation"] < old["generation"]:
            self.world.broken(GENERATIONS, f"{group}: from {old['generation']} to {new['generation']}")
        if old is not None and new["owner"] != old["owner"] and new["generation"] <= old["generation"]:
            self.world.broken(GENERATIONS, f"{group}: owner changed at generation {old['generation']}")
        for part in self.site.parts.values():
            if part.group == group and part.claims and part.node not in new["holders"]:
                self.world.broken(HOLDERS, f"{node} wrote holders {new['holders']} while {part.key} is online")

    def _member(self, by: str, name: str, new: dict[str, Any]) -> None:
        tenure = self.tenure(name)
        tenure.waived = new["state"] == "away"
        if new["state"] in {"left", "fenced"}:
            for part in self.site.of_node(name):
                if part.claims:
                    self.world.broken(EXPIRED, f"{by} marked {name} {new['state']} while {part.key} is online")

    # --- leases -------------------------------------------------------------------------------------------------

    def tenure(self, node: str) -> Tenure:
        return self.tenures.setdefault(node, Tenure())

    def renewed(self, node: str, usable_until: float, ends: float) -> None:
        """The node knows that it holds its lease until then (world time)."""
        tenure = self.tenure(node)
        tenure.usable_until, tenure.ends = max(tenure.usable_until, usable_until), max(tenure.ends, ends)
        if tenure.looked_at <= self.world.now:
            self._look_at_end(node, tenure)

    def _look_at_end(self, node: str, tenure: Tenure) -> None:
        """One look for all renewals: at the end that holds when the time of an earlier one has come."""
        tenure.looked_at = tenure.ends
        self.world.at(tenure.ends, self._expire, node)

    def _expire(self, node: str) -> None:
        tenure = self.tenure(node)
        if tenure.ends > self.world.now:
            self._look_at_end(node, tenure)
            return
        if tenure.waived:
            return
        left = [part for part in self.site.of_node(node) if part.claims]
        if left:
            self.world.broken(EXPIRED, f"{', '.join(p.key for p in left)} at the end of the lease")
