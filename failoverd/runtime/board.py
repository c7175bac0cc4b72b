"""The board of one group on this node: what is true of each component here and elsewhere, and what is wanted.

The component coroutines, and nobody else, carry out operations; they look at the board through ``situation`` and
write their own state back. Everything else (placement, reports of peers, the lease) is written by the daemon. Each
change wakes exactly the coroutines whose gates it may open.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import compress
from math import inf
from operator import ne

from failoverd.bell import Bell
from failoverd.domain.graph import ComponentGraph
from failoverd.domain.machine import Situation, next_operation
from failoverd.domain.model import ComponentState, Group, HandoverMode, OnOfflineFailure
from failoverd.domain.placement import Placement, Wanted
from failoverd.domain.report import RELEASED_MARKS, Mark
from failoverd.domain.restart import RestartBudget


def hash_of(names: tuple[str, ...]) -> str:
    """Of a group's sorted component names: whether two nodes mean the same by a row of marks."""
    return hashlib.sha256("\0".join(names).encode()).hexdigest()[:16]


@dataclass(slots=True)
class Local:
    """One component on this node."""

    state: ComponentState = ComponentState.UNKNOWN
    absent: bool = False
    since: float = 0.0
    reason: str = ""
    rests_until: float = 0.0
    """No operation before this time (back-off)."""
    bounce: bool = False
    """Is to go offline, with its dependents, and may then come back."""
    given_up: str = ""
    """Why it is not tried again on this node; empty while it is."""
    ignored: bool = False
    """Faulted, and ``on_fault: ignore`` says to leave it so."""
    deferred: str = ""
    """Faulted while the group was frozen, and how: judged when it is thawed. ``ignored`` until then."""
    review: bool = False
    """The group was thawed: find out what is true by now, whoever did it, before anything is done."""
    retiring: bool = False
    """Removed from the configuration: goes offline and is forgotten."""
    prepared: bool = False
    asked: bool = False
    """It was probed at least once (with or without an answer)."""
    busy: bool = False
    """An operation is in flight."""
    budget: RestartBudget = field(default_factory=RestartBudget)
    gates: Bell = field(default_factory=Bell)
    """Rung by whatever may concern the component's next operation."""
    own: Bell = field(default_factory=Bell)
    """Rung when its own state changes."""

    @property
    def held_down(self) -> bool:
        return self.bounce or self.retiring or (bool(self.given_up) and not self.ignored)

    @property
    def shown_state(self) -> ComponentState:
        return ComponentState.FAULTED if self.given_up and self.state is ComponentState.OFFLINE else self.state

    def mark(self) -> Mark:
        """Its one letter in reports to peers."""
        if self.state is ComponentState.OFFLINE:
            return Mark.FAULTED_ABSENT if self.given_up else Mark.ABSENT
        return _MARKS[self.state]


_OPENING = RELEASED_MARKS | {Mark.ONLINE}
"""What may open a gate here when a peer says it: a release; or what a ``make_first`` component has waited for."""

_MARKS = {
    ComponentState.UNKNOWN: Mark.UNKNOWN,
    ComponentState.ONLINING: Mark.ONLINING,
    ComponentState.ONLINE: Mark.ONLINE,
    ComponentState.OFFLINING: Mark.OFFLINING,
    ComponentState.FAULTED: Mark.FAULTED,
    ComponentState.STUCK: Mark.STUCK,
}


@dataclass(slots=True)
class Elsewhere:
    """The newest that one peer, in its present incarnation, said of the group."""

    incarnation: str
    generation: int
    names: tuple[str, ...]
    marks: str
    """One letter for each of ``names``."""
    place: Mapping[str, int] | None = None
    """Where each of ``names`` stands; made once for all that is said of the same names."""

    def __post_init__(self) -> None:
        if self.place is None:
            self.place = places(self.names)

    def mark(self, name: str) -> str | None:
        at = self.place.get(name) if self.place is not None else None
        return None if at is None else self.marks[at]

    def items(self) -> Iterable[tuple[str, str]]:
        return zip(self.names, self.marks, strict=True)


def places(names: tuple[str, ...]) -> dict[str, int]:
    return {name: position for position, name in enumerate(names)}


@dataclass(slots=True)
class Authority:
    """What the node as a whole permits at this moment; one object for all groups, written by the daemon."""

    me: str
    usable_until: float = 0.0
    """Of the lease: no online is begun afterwards."""
    trusted: bool = True
    """False after a stall of our own, until the view was confirmed anew."""
    steady_until: float = inf
    """Until the next look at our own clock is overdue: afterwards a stall may not have been noticed yet."""
    ready: bool = False
    informed: bool = False
    """All is known that was written before this node joined as its present incarnation: what it owned as an earlier
    one may have been given to others since. Until then nothing is brought online or taken offline."""
    stopping: bool = False
    force: bool = False
    """Self-stop: everything exclusive goes down now."""

    def may_act(self, now: float) -> bool:
        usable = now < self.usable_until and now <= self.steady_until
        return usable and self.ready and self.informed and self.trusted and not self.force


@dataclass(slots=True)
class Bond:
    """What other groups mean for this one on this node, as far as they require each other (``runtime.bonds``)."""

    met: bool = True
    """What it requires is online where it is to be: its components may be brought online."""
    sustained: bool = True
    """What is online of it may stay so."""
    unneeded: bool = True
    """No group that requires it on the same node is still to go offline before it does."""
    tied: bool = False
    """It needs a group beside it that is on one node only: nothing of it can be on two."""


class Board:
    def __init__(self, group: Group, authority: Authority, now: Callable[[], float]) -> None:
        self.group = group
        self.graph = ComponentGraph.of_group(group)
        self._order = self.graph
        """The graph, and with it what has been removed from the configuration but is not absent yet."""
        self.authority = authority
        self.now = now
        self.placement: Placement | None = None
        self.elsewhere: dict[str, Elsewhere] = {}
        self.locals: dict[str, Local] = {name: Local() for name in group.components}
        self.bond = Bond()
        self.hands_off = False
        self.frozen = ""
        """Why nothing may be done here, in so many words; empty where something may."""
        self.suspected_source = False
        """The owner is suspected and we are its likely successor: prepare."""
        self._held_down: frozenset[str] = frozenset()
        self.names: tuple[str, ...] = ()
        """Sorted; the order of the marks."""
        self.names_hash = ""
        self._place: dict[str, int] = {}
        self._marks: list[str] = []
        self._absent = 0
        """How many components are known to be absent: counted along, for it is asked at every decision."""
        self._busy = 0
        self._unknown = 0
        self.on_change: list[Callable[[bool], None]] = []
        """Called at each change; with True where peers wait for it."""
        self._reorder()

    # --- what is wanted -----------------------------------------------------------------------------------------

    @property
    def owned(self) -> bool:
        return self.placement is not None and self.placement.owner == self.authority.me

    def wanted_here(self) -> bool:
        """Whether the group as a whole is to be online on this node."""
        placement = self.placement
        if placement is None or placement.owner != self.authority.me or placement.wanted is not Wanted.ONLINE:
            return False
        return not self.authority.stopping and self.bond.sustained

    def wanted(self, name: str) -> bool:
        return self.wanted_here() and name not in self._held_down

    def at_rest(self, name: str) -> bool:
        """Whether it plainly is where it is wanted: what ``next_operation`` would say too, without all the rest."""
        local = self.locals[name]
        if self.authority.force or self.hands_off or self.frozen:
            return False
        if local.state is ComponentState.ONLINE:
            return self.wanted(name)
        return local.state is ComponentState.OFFLINE and not self.wanted_here() and not self.suspected_source

    # --- the gates' inputs --------------------------------------------------------------------------------------

    def situation(self, name: str) -> Situation:
        local, component, now = self.locals[name], self.group.components.get(name), self.now()
        make_first = component is not None and component.handover is HandoverMode.MAKE_FIRST
        # Only the gate that the present state can leave by is looked at: thousands are made in a large handover.
        leaves = local.state is ComponentState.ONLINE or local.state is ComponentState.FAULTED
        comes = local.state is ComponentState.OFFLINE
        return Situation(
            state=local.state,
            absent=local.absent,
            wanted=self.wanted(name),
            force=self.authority.force,
            hands_off=self.hands_off or bool(self.frozen) or self._unplaced,
            rested=now >= local.rests_until,
            dependents_absent=leaves and self.dependents_absent(name),
            dependencies_online=comes and self._dependencies_online(name),
            requirements_met=self.bond.met,
            may_act=comes and self._may_act(now),
            released=comes and self.released(name),
            make_first=make_first,
            succeeded=not make_first or self.bond.tied or self._succeeded(name),
            prepare=component is not None and component.has_prepare and not local.prepared and self._prepare_due(),
        )

    @property
    def _unplaced(self) -> bool:
        """Nobody has said yet where the group belongs, or we have not read it yet: what was found online stays so."""
        return (self.placement is None or not self.authority.informed) and not self.authority.stopping

    @staticmethod
    def _neighbours(name: str, edges: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
        return edges.get(name, ())

    def dependents_absent(self, name: str) -> bool:
        above = self._neighbours(name, self._order.dependents)
        return self.bond.unneeded and all(self.locals[u].absent for u in above)

    def _dependencies_online(self, name: str) -> bool:
        return all(self._is_online(d) for d in self._neighbours(name, self._order.depends_on))

    def _is_online(self, name: str) -> bool:
        return self.locals[name].state is ComponentState.ONLINE

    def _may_act(self, now: float) -> bool:
        placement = self.placement
        return placement is not None and self.authority.me in placement.holders and self.authority.may_act(now)

    def released(self, name: str) -> bool:
        """By every other holder, by its own word at the present generation (release (a) of the design)."""
        placement = self.placement
        if placement is None:
            return False
        return all(self._released_by(holder, name) for holder in placement.others(self.authority.me))

    def _released_by(self, holder: str, name: str) -> bool:
        said = self.elsewhere.get(holder)
        if said is None or self.placement is None or said.generation != self.placement.generation:
            return False
        return said.mark(name) in RELEASED_MARKS

    def _succeeded(self, name: str) -> bool:
        """For ``make_first``: whether it need not stay here any longer because it is online on the new owner."""
        placement = self.placement
        if placement is None or placement.wanted is Wanted.OFFLINE or self.owned:
            return True
        said = self.elsewhere.get(placement.owner)
        return said is not None and said.generation == placement.generation and said.mark(name) == Mark.ONLINE

    def _prepare_due(self) -> bool:
        return self.suspected_source or (self.wanted_here() and self.authority.ready)

    # --- what the daemon asks -----------------------------------------------------------------------------------

    @property
    def all_absent(self) -> bool:
        return self._absent == len(self.locals) and not self._busy

    @property
    def plainly_online(self) -> bool:
        """Every component is; cheap enough to be asked at each change."""
        return self._marks.count(Mark.ONLINE) == len(self._marks)

    @property
    def all_online(self) -> bool:
        """Everything is but what was given up, ignored or removed, and what depends on that."""
        if not self._held_down and not self.plainly_online and not self._any_ignored():
            return False
        lost = [n for n, local in self.locals.items() if local.given_up or local.ignored or local.retiring]
        excused = frozenset(lost).union(*(self._order.all_dependents(name) for name in lost))
        return all(local.state is ComponentState.ONLINE or name in excused for name, local in self.locals.items())

    @property
    def probed(self) -> bool:
        return self._unknown == 0

    @property
    def present_count(self) -> int:
        return len(self.locals) - self._absent

    def keeps(self, names: frozenset[str]) -> bool:
        """Whether these components are to stay as they are: wanted here, and none is to go offline for a fault."""
        return self.wanted_here() and self._held_down.isdisjoint(names)

    def _any_ignored(self) -> bool:
        return any(local.ignored for local in self.locals.values())

    def given_up_critical(self) -> str | None:
        if not self._held_down:
            return None
        for name, local in self.locals.items():
            component = self.group.components.get(name)
            if local.given_up and component is not None and component.critical:
                return name
        return None

    def stuck_to_fence(self) -> str:
        """A component that is stuck here and whose policy then is to fence; empty where there is none."""
        if Mark.STUCK not in self._marks:
            return ""
        found = (name for name, local in self.locals.items() if local.state is ComponentState.STUCK)
        return next((name for name in found if self._is_to_fence(name)), "")

    def stuck_to_fence_elsewhere(self) -> dict[str, str]:
        """Likewise by other holder, of those that say so at the present generation."""
        found: dict[str, str] = {}
        for holder in self.placement.others(self.authority.me) if self.placement else ():
            said = self.elsewhere.get(holder)
            if said is None or self.placement is None or said.generation != self.placement.generation:
                continue
            if Mark.STUCK in said.marks:
                stuck = [name for name, mark in said.items() if mark == Mark.STUCK and self._is_to_fence(name)]
                if stuck:
                    found[holder] = stuck[0]
        return found

    def _is_to_fence(self, name: str) -> bool:
        component = self.group.components.get(name)
        return component is not None and component.on_offline_failure is OnOfflineFailure.FENCE

    def marks(self) -> str:
        """One letter for each of ``names``."""
        return "".join(self._marks)

    def _reorder(self) -> None:
        self.names = tuple(sorted(self.locals))
        self.names_hash = hash_of(self.names)
        self._place = places(self.names)
        self._remark()
        self._absent = sum(local.absent for local in self.locals.values())
        self._busy = sum(local.busy for local in self.locals.values())
        self._unknown = sum(local.state is ComponentState.UNKNOWN for local in self.locals.values())

    def _remark(self) -> None:
        self._marks = [self.locals[name].mark() for name in self.names]

    # --- changes ------------------------------------------------------------------------------------------------

    def changed(self, name: str, *, was: ComponentState, was_absent: bool) -> None:
        """A component's own state changed. Wakes those neighbours whose gates that has opened: in a group of hundreds,
        waking all of them at every change would be most of the work."""
        local = self.locals[name]
        self._marks[self._place[name]] = local.mark()
        self._absent += local.absent - was_absent
        self._unknown += (local.state is ComponentState.UNKNOWN) - (was is ComponentState.UNKNOWN)
        local.own.ring()
        local.gates.ring()
        if local.state is ComponentState.ONLINE and was is not ComponentState.ONLINE:
            self.wake(u for u in self._neighbours(name, self._order.dependents) if self._dependencies_online(u))
        if local.absent and not was_absent:
            self.wake(d for d in self._neighbours(name, self._order.depends_on) if self.dependents_absent(d))
        self._notify(pressing=self._pressing(name, was_absent=was_absent))

    def _pressing(self, name: str, *, was_absent: bool) -> bool:
        """Whether another node may wait for this change: a release, or what a make_first component waits for."""
        if self.locals[name].absent and not was_absent:
            return not self.owned
        component = self.group.components.get(name)
        return component is not None and component.handover is HandoverMode.MAKE_FIRST

    def begin(self, name: str) -> None:
        """An operation of a component begins."""
        self.locals[name].busy = True
        self._busy += 1

    def rested(self, name: str) -> None:
        """An operation is over, whatever came of it."""
        self.locals[name].busy = False
        self._busy -= 1
        if not self._busy:  # what it did was told; that nothing is under way any more is all that is new
            self._notify()

    def held_down_changed(self) -> None:
        """What may not be wanted is something else now."""
        self._hold_down()
        self.wake_all()

    def _hold_down(self) -> None:
        """Recompute what may not be wanted: everything held down, and all that depends on it."""
        down = {name for name, local in self.locals.items() if local.held_down}
        above = [self._order.all_dependents(name) for name in down if name in self._order.dependents]
        self._held_down = frozenset(down.union(*above))
        self._remark()

    def place(self, placement: Placement | None) -> None:
        old, self.placement = self.placement, placement
        anew = self.owned and (old is None or placement is None or old.generation != placement.generation)
        if anew or (self.owned and old is not None and old.wanted != getattr(placement, "wanted", None)):
            self._forgive()
        if placement is not None and (old is None or old.generation != placement.generation):
            for local in self.locals.values():
                local.prepared = False
        self.wake_all()
        self._notify(pressing=True)  # what is absent here may be released by the new generation

    def freeze(self, why: str) -> None:
        """Hands off from now on; or on again, where ``why`` is empty."""
        if why == self.frozen:
            return
        thawed, self.frozen = not why, why
        for local in self.locals.values() if thawed else ():
            local.review = True
            local.gates.ring()
        self.wake_all()

    def forgive(self, component: str | None = None) -> None:
        """An operator's word: earlier faults on this node no longer count."""
        self._forgive(component)
        self.wake_all()

    def _forgive(self, component: str | None = None) -> None:
        """A new decision to run the group here, or an operator's word."""
        for local in [each for name, each in self.locals.items() if component in {None, name}]:
            # What is still there in some broken form is taken offline before it is tried anew.
            local.bounce = local.bounce or (bool(local.given_up) and local.state is ComponentState.FAULTED)
            local.given_up = ""
            local.rests_until = 0.0
            local.budget.forget()
        self._hold_down()

    def heard(self, node: str, said: Elsewhere) -> None:
        """Take over what a peer says; wakes those whose mark changed, or all where it speaks of something new."""
        before = self.elsewhere.get(node)
        if before is not None and before.names == said.names and before.generation == said.generation:
            if before.marks == said.marks and before.incarnation == said.incarnation:
                return
            self.elsewhere[node] = said
            changed = compress(zip(said.names, said.marks, strict=True), map(ne, before.marks, said.marks))
            self.wake(name for name, mark in changed if mark in _OPENING and name in self.locals)
            self._notify()
            return
        self.elsewhere[node] = said
        self.wake_all()

    def forget_peer(self, node: str) -> None:
        """Its incarnation ended: nothing that it said counts any more."""
        if self.elsewhere.pop(node, None) is not None:
            self._notify()

    def suspect(self, suspected: bool) -> None:
        if suspected != self.suspected_source:
            self.suspected_source = suspected
            for local in self.locals.values():
                local.prepared = local.prepared and suspected
            self.wake_all()

    def wake(self, names: Iterable[str]) -> None:
        for name in names:
            self.locals[name].gates.ring()

    def wake_all(self) -> None:
        """Something changed that concerns every component: wake those that have something to do now. The others rest
        until their gates open, which wakes them."""
        for name, local in self.locals.items():
            if local.retiring or (not self.at_rest(name) and next_operation(self.situation(name)) is not None):
                local.gates.ring()
        self._notify()

    def regroup(self, group: Group) -> None:
        """Take over a changed configuration; components that are gone from it retire, new ones are unknown."""
        self.group = group
        self.graph = ComponentGraph.of_group(group)
        for name in group.components:
            self.locals.setdefault(name, Local())
            self.locals[name].retiring = False
        for name, local in self.locals.items():
            local.retiring = name not in group.components
        self._keep_order()
        self._reorder()
        self.held_down_changed()

    def _keep_order(self) -> None:
        """What retires keeps its place in the order of going offline until it is absent."""
        needs = {name: component.depends_on for name, component in self.group.components.items()}
        for name in self.locals.keys() - needs.keys():
            needs[name] = tuple(d for d in self._order.depends_on.get(name, ()) if d in self.locals)
        self._order = ComponentGraph.of(needs)

    def forget(self, name: str) -> None:
        """A retired component is absent at last."""
        del self.locals[name]
        self._keep_order()
        self._reorder()
        self.held_down_changed()

    def _notify(self, *, pressing: bool = False) -> None:
        for callback in self.on_change:
            callback(pressing)
