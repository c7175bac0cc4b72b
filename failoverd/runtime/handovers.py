"""The record of a group's handover: what was planned, each step's real time on every node, and the numbers.

Steps on other nodes arrive in their heartbeats as ages, so times of two nodes are on one axis (this node's clock)
without any comparison of clocks; they are for people, no decision depends on them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import anyio

from failoverd.domain.durations import LearnedDurations
from failoverd.domain.handover import Move, Numbers, Step
from failoverd.domain.model import Action, ComponentState, OnFault
from failoverd.domain.placement import Cause, Placement, Wanted
from failoverd.domain.plan import Plan, make_plan
from failoverd.domain.report import RELEASED_MARKS, Mark, StepReport
from failoverd.domain.schedule import Measured, limit_from_measured
from failoverd.log.catalogue import Event
from failoverd.ports import Clock, EventLog
from failoverd.runtime.board import Board

SAME_STEP_S = 0.02
"""Two reports of a step whose begins differ by less than this mean the same operation."""
TOLD_TIMES = 3
"""In how many datagrams the news of a step goes out: two of them may be lost."""
TOLD_MAX = 48
"""Of a datagram."""
TELL_PAUSE_S = 0.03
"""They are for people, and to take them apart is most of what a datagram costs: what is released goes without them,
as often as it has to."""

PRESENT_MARKS = frozenset(Mark) - RELEASED_MARKS - {Mark.UNKNOWN}


@dataclass(slots=True)
class Timed:
    """One operation; times of this node's clock."""

    begin: float
    end: float | None = None
    ok: bool = True


@dataclass(slots=True)
class Handover:
    source: str | None
    target: str | None
    generation: int
    cause: Cause
    reason: str
    began: float
    move: Move
    detect_s: float | None = None
    found: bool = False
    """It was in the coordinator when this daemon came up: nothing is told of it unless there is something to do."""
    state: str = "running"
    ended: float | None = None
    failure: str = ""
    steps: dict[Step, list[Timed]] = field(default_factory=dict)
    plan: Plan | None = None
    measured: Numbers | None = None
    document: dict[str, Any] | None = None
    """As it is shown, once it does not run any more."""
    over: anyio.Event = field(default_factory=anyio.Event)
    """Set when it does not run any more."""

    @property
    def running(self) -> bool:
        return self.state == "running"

    @property
    def makespan_s(self) -> float | None:
        ends = [timed.end for runs in self.steps.values() for timed in runs if timed.end is not None]
        return max(ends) - self.began if ends and not self.running else None


class HandoverBook:
    """The handover under way of one group, or the latest."""

    def __init__(
        self, board: Board, clock: Clock, log: EventLog, learned: Callable[[], LearnedDurations], limits: dict[str, int]
    ) -> None:
        self._board = board
        self._clock = clock
        self._log = log
        self._learned = learned
        self.limits = limits
        self.current: Handover | None = None
        self._open: dict[Step, Timed] = {}
        """Steps in flight on this node."""
        self._untold: dict[Step, tuple[Timed, int]] = {}
        """News for the peers, and in how many datagrams each is still to go."""
        self._tell_at = 0.0
        self.on_measured: list[Callable[[list[tuple[Step, float]]], None]] = []
        self.on_over: list[Callable[[HandoverBook, Handover], None]] = []
        """Called when a handover does not run any more: done, failed or redirected."""

    @property
    def group(self) -> str:
        return self._board.group.name

    @property
    def size(self) -> int:
        return len(self._board.locals)

    @property
    def _me(self) -> str:
        return self._board.authority.me

    # --- its beginning and end ----------------------------------------------------------------------------------

    def placed(
        self, old: Placement | None, new: Placement, *, began: float, detect_s: float | None, found: bool = False
    ) -> None:
        """A placement was written that asks for something else than before: a handover begins, or is redirected."""
        if old is not None and (old.generation, old.wanted) == (new.generation, new.wanted):
            return
        before = self.current
        if before is not None and before.running:
            before.state, before.ended = "redirected", began
            self._over(before)
            if self._me in {new.owner, before.target}:
                self._emit(Event.HANDOVER_REDIRECTED, before, target=new.owner, reason=new.reason)
        online = new.wanted is Wanted.ONLINE
        moved = old is not None and old.generation != new.generation
        self.current = Handover(
            source=new.source if moved else (None if online else new.owner),
            target=new.owner if online else None,
            generation=new.generation,
            cause=new.cause,
            reason=new.reason,
            began=began,
            detect_s=detect_s,
            found=found,
            move=self._move(new, new.owner if online else None),
        )
        self._carry_over(before)
        if not found:
            self._tell_begin(self.current)

    def _tell_begin(self, handover: Handover) -> None:
        if handover.target == self._me:
            self._emit(Event.HANDOVER_BEGUN, handover, reason=handover.reason)

    def _move(self, placement: Placement, target: str | None) -> Move:
        online = {node: self._present_on(node) for node in placement.holders if node != target}
        if target is not None:
            online[target] = self._present_on(target)
        return Move(target=target, online=online)

    def _present_on(self, node: str) -> frozenset[str]:
        if node == self._me:
            known = {ComponentState.UNKNOWN, ComponentState.OFFLINE}
            present = {n for n, local in self._board.locals.items() if local.state not in known}
        else:
            said = self._board.elsewhere.get(node)
            present = {n for n, mark in said.items() if mark in PRESENT_MARKS} if said else set()
        return frozenset(present & self._board.group.components.keys())

    def _carry_over(self, before: Handover | None) -> None:
        """What is still in flight belongs to the new record too."""
        if before is None or self.current is None:
            return
        for step, runs in before.steps.items():
            if runs and runs[-1].end is None:
                self.current.steps[step] = [runs[-1]]

    def check(self) -> None:
        """Whether the handover under way is over."""
        handover, placement = self.current, self._board.placement
        if handover is None or not handover.running or placement is None:
            return
        if placement.generation != handover.generation or not self._arrived(placement):
            return
        failed = self._failed_components(placement)
        self._finish("failed" if failed else "done", f"not online: {', '.join(failed)}" if failed else "")

    @property
    def complete(self) -> bool:
        """Whether everything has just arrived, as cheaply as it has to be to be asked at every change: the usual end,
        while ``check`` knows them all."""
        handover, placement = self.current, self._board.placement
        if handover is None or placement is None or not handover.running or handover.target is None:
            return False
        if placement.owner == self._me:
            return self._board.plainly_online
        said = self._board.elsewhere.get(placement.owner)
        if said is None or said.generation != placement.generation or not self._board.all_absent:
            return False
        return said.marks.count(Mark.ONLINE) == len(said.marks)

    def _arrived(self, placement: Placement) -> bool:
        board = self._board
        if placement.wanted is Wanted.OFFLINE:
            others = all(board.released(name) for name in board.group.components)
            return others and (self._me not in placement.holders or board.all_absent)
        if placement.owner == self._me:
            return board.all_online and all(board.released(name) for name in board.group.components)
        said = board.elsewhere.get(placement.owner)
        if said is None or said.generation != placement.generation:
            return False
        return board.all_absent and self._settled(dict(said.items()))

    def _settled(self, marks: Mapping[str, str]) -> bool:
        """Everything is online there but what was given up or is left faulted, and what depends on that."""
        components, graph = self._board.group.components, self._board.graph
        ignored = {name for name, component in components.items() if component.on_fault is OnFault.IGNORE}
        lost = {n for n, m in marks.items() if m == Mark.FAULTED_ABSENT or (m == Mark.FAULTED and n in ignored)}
        above = frozenset[str]().union(*(graph.all_dependents(name) for name in lost if name in graph.dependents))
        return all(
            mark == Mark.ONLINE or name in lost or (mark == Mark.ABSENT and name in above)
            for name, mark in marks.items()
        )

    def _failed_components(self, placement: Placement) -> list[str]:
        if placement.wanted is Wanted.OFFLINE:
            return []
        critical = [name for name, component in self._board.group.components.items() if component.critical]
        if placement.owner == self._me:
            return [name for name in critical if self._board.locals[name].state is not ComponentState.ONLINE]
        said = self._board.elsewhere.get(placement.owner)
        return [name for name in critical if said is None or said.mark(name) != Mark.ONLINE]

    def fail(self, reason: str) -> None:
        """It cannot be completed as things are."""
        if self.current is not None and self.current.running:
            self._finish("failed", reason)

    def _finish(self, state: str, failure: str) -> None:
        handover = self.current
        if handover is None:
            return
        handover.state, handover.failure, handover.ended = state, failure, self._clock.now()
        measured = self._measured(handover)
        handover.measured = limit_from_measured(self._board.group.components, self._board.graph, measured)
        good = [(entry.step, entry.duration_s) for entry in measured if self._last_ok(handover, entry.step)]
        for callback in self.on_measured:
            callback(good)
        if (handover.target or handover.source) == self._me and not handover.found:
            self._emit_end(handover)
        self._over(handover)

    def _over(self, handover: Handover) -> None:
        handover.over.set()
        for callback in self.on_over:
            callback(self, handover)

    def _emit_end(self, handover: Handover) -> None:
        if handover.state == "failed":
            self._emit(Event.HANDOVER_FAILED, handover, reason=handover.failure)
        elif handover.target is None:
            self._emit(Event.GROUP_OFFLINE, handover, reason=handover.reason)
        else:
            self._emit(Event.HANDOVER_DONE, handover)

    @staticmethod
    def _last_ok(handover: Handover, step: Step) -> bool:
        return handover.steps[step][-1].ok

    def _measured(self, handover: Handover) -> list[Measured]:
        return [
            Measured(step, timed.begin - handover.began, timed.end - handover.began)
            for step, runs in handover.steps.items()
            for timed in runs
            if timed.end is not None
        ]

    # --- steps --------------------------------------------------------------------------------------------------

    def begun(self, component: str, action: Action, at: float) -> None:
        """A step began on this node."""
        step, timed = Step(component, self._me, action), Timed(at)
        self._open[step] = timed
        self._untold[step] = (timed, TOLD_TIMES)
        if self.current is not None:
            if self.current.running and self.current.found:
                self.current.found = False
                self._tell_begin(self.current)
            self.current.steps.setdefault(step, []).append(timed)

    def ended(self, component: str, action: Action, at: float, ok: bool) -> None:
        step = Step(component, self._me, action)
        timed = self._open.pop(step, None)
        if timed is not None:
            timed.end, timed.ok = at, ok
            self._untold[step] = (timed, TOLD_TIMES)

    def has_news(self, now: float) -> bool:
        """Whether ``reports`` has something to say."""
        return bool(self._untold) and (now >= self._tell_at or self.complete)

    def reports(self, now: float) -> tuple[StepReport, ...]:
        """What began or ended lately on this node, for the peers: the oldest news first, each a few times."""
        if not self.has_news(now):
            return ()
        self._tell_at = now + TELL_PAUSE_S
        told = list(islice(self._untold.items(), TOLD_MAX))
        for step, (timed, times) in told:
            if times > 1:
                self._untold[step] = (timed, times - 1)
            else:
                del self._untold[step]
        return tuple(
            StepReport(
                component=step.component,
                action=step.action,
                begin_age_s=round(now - timed.begin, 3),
                end_age_s=None if timed.end is None else round(now - timed.end, 3),
                ok=timed.ok,
            )
            for step, (timed, _) in told
        )

    def reported(self, peer: str, at: float, steps: tuple[StepReport, ...]) -> None:
        """A peer tells of its steps; ``at`` is when its datagram arrived."""
        handover = self.current
        if handover is None or not handover.running:
            return
        for said in steps:
            end = None if said.end_age_s is None else at - said.end_age_s
            begin = at - said.begin_age_s
            if end is not None and end < handover.began and said.action is not Action.PREPARE:
                continue
            self._merge(handover, Step(said.component, peer, said.action), Timed(begin, end, said.ok))

    @staticmethod
    def _merge(handover: Handover, step: Step, timed: Timed) -> None:
        runs = handover.steps.setdefault(step, [])
        if runs and (abs(runs[-1].begin - timed.begin) < SAME_STEP_S or runs[-1].end is None):
            if runs[-1].end is None:  # the first report of an end is the one with the least delay
                runs[-1].end, runs[-1].ok = timed.end, timed.ok
        elif not runs or timed.begin > runs[-1].begin:
            runs.append(timed)

    # --- what others ask ----------------------------------------------------------------------------------------

    def priority(self, component: str, action: Action) -> float:
        """Seconds of the path behind a step; only asked where ``max_parallel`` binds."""
        if self._me not in self.limits or self.current is None:
            return 0.0
        plan = self._plan_of(self.current)
        step = Step(component, self._me, action)
        return plan.priority(step) if step in plan.graph.index else 0.0

    def _plan_of(self, handover: Handover) -> Plan:
        if handover.plan is None:
            handover.plan = self.planner(handover)()
        return handover.plan

    def planner(self, handover: Handover) -> Callable[[], Plan]:
        """Makes the plan, from values that do not change any more. Called when somebody first asks: the first offline
        must not wait for it."""
        learned, limits = self._learned(), dict(self.limits)
        return lambda: make_plan(
            self._board.group, handover.move, source=handover.source, learned=learned, max_parallel=limits
        )

    def _emit(self, event: Event, handover: Handover, **fields: Any) -> None:
        numbers = handover.measured
        if numbers is not None and not handover.running:
            fields |= {
                "makespan_s": rounded(handover.makespan_s),
                "limit_s": round(numbers.limit_s, 4),
                "phased_s": round(numbers.phased_s, 4),
                "serial_s": round(numbers.serial_s, 4),
            }
        if handover.detect_s is not None:
            fields["detect_s"] = rounded(handover.detect_s)
        fields.setdefault("target", handover.target)
        self._log.emit(
            event,
            group=self._board.group.name,
            generation=handover.generation,
            source=handover.source,
            cause=handover.cause.value,
            **fields,
        )


def rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
