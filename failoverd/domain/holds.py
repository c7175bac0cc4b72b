"""What operators have put on hold: groups and nodes that are frozen, nodes that are being drained.

A hold is a record of its own in the coordinator, so it outlives daemons and is the same for everybody. *Frozen* means
that failoverd does nothing to a group by itself: no fault is acted on, no failover, no handover at a stop. *Draining*
means that a node gives away what it has and gets nothing new.

An automatic change of owner, and an operator's, is written only if the holds that it was concluded from are still the
same (``Holds.conditions``): whoever freezes a group first has it frozen. What no hold keeps from happening is
self-stop: a node without a lease takes down frozen groups too, because they might be brought online elsewhere by hand.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class HoldKind(StrEnum):
    FREEZE_GROUP = "freeze_group"
    FREEZE_NODE = "freeze_node"
    FREEZE_ALL = "freeze_all"
    DRAIN = "drain"


@dataclass(frozen=True, slots=True)
class Subject:
    """What is on hold, and how."""

    kind: HoldKind
    name: str = "all"
    """Of the group or node."""

    def __str__(self) -> str:
        words = {
            HoldKind.FREEZE_GROUP: f"group {self.name}",
            HoldKind.FREEZE_NODE: f"node {self.name}",
            HoldKind.FREEZE_ALL: "everything",
            HoldKind.DRAIN: f"node {self.name}",
        }
        return words[self.kind]

    @property
    def of_node(self) -> bool:
        return self.kind in {HoldKind.FREEZE_NODE, HoldKind.DRAIN}

    def drains(self, node: str) -> bool:
        return self == Subject(HoldKind.DRAIN, node)


FREEZE_ALL = Subject(HoldKind.FREEZE_ALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """The record of one (keys ``freeze/group/<group>``, ``freeze/node/<node>``, ``freeze/all/all``, ``drain/<node>``).
    That it exists is what counts; everything in it is for people."""

    by: str = ""
    """The node and the operator who said so."""
    reason: str = ""
    at: str = ""
    """Wall-clock time (RFC 3339)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clearance:
    """An operator's word that earlier faults of a group do not count (key ``clear/<group>``). Acted on by each node
    that sees it change; one that starts later has nothing to forget."""

    component: str | None = None
    """None: of all."""
    node: str | None = None
    """Likewise."""
    by: str = ""
    at: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    hold: Hold
    revision: int


@dataclass(frozen=True, slots=True)
class Holds:
    """All of them."""

    held: Mapping[Subject, Held] = field(default_factory=dict)

    def find(self, subject: Subject) -> Hold | None:
        found = self.held.get(subject)
        return found.hold if found else None

    def draining(self, node: str) -> bool:
        return bool(self.held) and Subject(HoldKind.DRAIN, node) in self.held

    def node_frozen(self, node: str) -> bool:
        return bool(self.held) and (FREEZE_ALL in self.held or Subject(HoldKind.FREEZE_NODE, node) in self.held)

    def freeze_of(self, group: str, node: str | None) -> Subject | None:
        """What freezes a group as far as ``node`` (its owner, or the node that would act) is concerned, the widest
        first; None where nothing does."""
        if not self.held:
            return None
        subjects = [FREEZE_ALL, Subject(HoldKind.FREEZE_GROUP, group)]
        if node is not None:
            subjects.append(Subject(HoldKind.FREEZE_NODE, node))
        return next((subject for subject in subjects if subject in self.held), None)

    def conditions_of_node(self, node: str) -> tuple[tuple[Subject, int], ...]:
        """Every hold that could keep everybody's hands off a node, likewise."""
        subjects = (FREEZE_ALL, Subject(HoldKind.FREEZE_NODE, node))
        return tuple((each, self.held[each].revision if each in self.held else 0) for each in subjects)

    def conditions(self, group: str, nodes: Iterable[str | None]) -> tuple[tuple[Subject, int], ...]:
        """Every hold that could keep a group from moving between ``nodes``, with the revision at which it is known
        (0: it does not exist)."""
        subjects = [FREEZE_ALL, Subject(HoldKind.FREEZE_GROUP, group)]
        for node in dict.fromkeys(nodes):
            if node is not None:
                subjects += [Subject(HoldKind.FREEZE_NODE, node), Subject(HoldKind.DRAIN, node)]
        return tuple((each, self.held[each].revision if each in self.held else 0) for each in subjects)

    def text(self, subject: Subject) -> str:
        """``frozen by b uid=0 pid=1: reason``, with what is frozen where that is more than the group."""
        hold = self.find(subject) or Hold()
        what = "being drained" if subject.kind is HoldKind.DRAIN else "frozen"
        said = what if subject.kind in {HoldKind.FREEZE_GROUP, HoldKind.DRAIN} else f"{what} ({subject})"
        by = f" by {hold.by}" if hold.by else ""
        return f"{said}{by}" + (f": {hold.reason}" if hold.reason else "")


def way_out(subject: Subject) -> str:
    """The command that ends a hold."""
    return {
        HoldKind.FREEZE_GROUP: f"failoverd thaw {subject.name}",
        HoldKind.FREEZE_NODE: f"failoverd thaw --node {subject.name}",
        HoldKind.FREEZE_ALL: "failoverd thaw --all",
        HoldKind.DRAIN: f"failoverd resume {subject.name}",
    }[subject.kind]
