"""One coroutine per component: it reconciles what is wanted with what is, and waits for nothing but its gates.

The loop in ``ComponentRunner.run`` is the whole handover as far as this component is concerned. Another owner, a
fault, an operator's change of mind: each changes what is wanted, and the loop goes on from what is then true. An
operation in flight is let finish; only self-stop cuts it short.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import anyio

from failoverd.domain.machine import next_operation
from failoverd.domain.model import Action, Component, ComponentState, HealthCheck
from failoverd.domain.restart import Recovery
from failoverd.errors import GuardUnavailable
from failoverd.log.catalogue import Event
from failoverd.pace import Pace
from failoverd.ports import (
    Agent,
    Call,
    Claimant,
    Clock,
    EventLog,
    Guard,
    Health,
    HealthChecker,
    Outcome,
    Presence,
    Probe,
    Result,
    Testator,
    Will,
)
from failoverd.runtime.board import Board, Local
from failoverd.runtime.readiness import until_healthy
from failoverd.runtime.slots import Slots
from failoverd.runtime.spread import phases

BACKSTOP_S = 30.0
"""Beyond its time-out, how long an agent may take to end its command before we stop waiting for it."""
RETRY_S = 2.0
"""Between two attempts to learn, or to force, what could not be learned or forced."""
FORCE_RETRY_S, FORCE_RETRY_MAX_S = 0.05, 0.2
"""Self-stop has little time: it tries again soon, and each time a little later."""
GUARD_RETRY_S = 0.2
WITHOUT_TURN = frozenset({Action.PROBE, Action.CLEAN})
"""What ``max_parallel`` does not bind: a probe that hangs delays nobody, and self-stop waits for nobody."""


class Recorder(Protocol):
    """Where the steps of a component are reported: for the record of the handover and for learned durations."""

    def begun(self, component: str, action: Action, at: float) -> None: ...

    def ended(self, component: str, action: Action, at: float, ok: bool) -> None: ...

    def priority(self, component: str, action: Action) -> float:
        """Seconds of the path that remains behind a step: who goes first where ``max_parallel`` binds."""


class NoChecks:
    """``ports.HealthChecker`` where nobody can be asked."""

    async def ask(self, check: HealthCheck, call: Call) -> Health:
        del check, call
        return Health(healthy=None, detail="there is nobody to ask")


@dataclass(slots=True)
class Surroundings:
    """What all component coroutines of a group share."""

    cluster: str
    node: str
    clock: Clock
    log: EventLog
    slots: Slots
    pace: Pace
    recorder: Recorder
    guard: Guard
    checker: HealthChecker = field(default_factory=NoChecks)
    phases: Iterator[float] = field(default_factory=phases)
    """Where in their interval the node's monitors look, one for each."""


class ComponentRunner:
    def __init__(self, board: Board, component: Component, agent: Agent, around: Surroundings) -> None:
        self._board = board
        self._around = around
        self.component = component
        self._employ(agent)
        self._successor: tuple[Component, Agent] | None = None
        self._in_flight: anyio.CancelScope | None = None
        self._held_will: Will | None = None
        """What the guard holds, where it took it before the online."""
        self._only_forced = False
        """Stuck though nobody has tried a proper offline: only self-stop did not succeed."""
        self._forced = 0
        """How often self-stop has tried in vain."""
        self.unhealthy = ""
        """What its health check has found wrong with it; empty where nothing."""
        self._failed_check = ""
        self.done = False

    def _employ(self, agent: Agent) -> None:
        self._agent = agent
        # Once: what a protocol is asked is dear.
        self._testator = agent if isinstance(agent, Testator) else None
        self._claimant = agent if isinstance(agent, Claimant) else None

    @property
    def name(self) -> str:
        return self.component.name

    @property
    def local(self) -> Local:
        return self._board.locals[self.name]

    @property
    def watched(self) -> bool:
        """It should be there, and may be found not to be."""
        local = self.local
        return local.state is ComponentState.ONLINE or (local.ignored and local.state is ComponentState.FAULTED)

    # --- the loop -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Reconcile until the component has retired."""
        while not self.done:
            heard = self.local.gates.count
            self._settle()
            operation = None if self.done else self._next_operation()
            if operation not in {None, Action.CLEAN} and await self._around.pace.turn():
                operation = self._next_operation()  # it had to wait: what was true before may not be any more
            if operation is None:
                await self._rest(heard)
            elif operation in WITHOUT_TURN:
                await self._perform(operation)
            else:
                await self._perform_in_turn(operation)

    def _next_operation(self) -> Action | None:
        board = self._board
        return None if board.at_rest(self.name) else next_operation(board.situation(self.name))

    async def _perform_in_turn(self, operation: Action) -> None:
        slots = self._around.slots
        at_once = slots.take_at_once()
        if not at_once and not await self._queue(operation):
            return
        try:
            # What was true before the turn came may not be any more: ask again right before the action.
            if at_once or self._next_operation() is operation:
                await self._perform(operation)
        finally:
            slots.give_back()

    async def _queue(self, operation: Action) -> bool:
        """Whether we have a turn now."""
        with anyio.CancelScope() as queue:
            self._in_flight = queue  # self-stop does not wait until there is a turn
            try:
                await self._around.slots.take(self._around.recorder.priority(self.name, operation))
            finally:
                self._in_flight = None
        return not queue.cancelled_caught

    async def _rest(self, heard: int) -> None:
        """Until something that may concern the component has changed, or its back-off ends."""
        if self.done:
            return
        gates, left = self.local.gates, self.local.rests_until - self._around.clock.now()
        await gates.beyond(heard, left if left > 0 else None)

    def _settle(self) -> None:
        """Whatever held the component down ends once it is down."""
        local = self.local
        if local.review and not self._board.frozen:
            local.review = False
            if local.state is ComponentState.OFFLINE or local.deferred:
                self._enter(ComponentState.UNKNOWN, reason=local.deferred)
        if not local.absent or local.busy:
            return
        if local.retiring and self._board.dependents_absent(self.name):
            self.done = True
            self._board.forget(self.name)
        elif self._successor is not None:
            self._succeed()

    # --- operations ---------------------------------------------------------------------------------------------

    async def _perform(self, operation: Action) -> None:
        perform = {
            Action.PROBE: self._probe,
            Action.PREPARE: self._prepare,
            Action.ONLINE: self._bring_online,
            Action.OFFLINE: self._take_offline,
            Action.CLEAN: self._force_offline,
        }[operation]
        self._board.begin(self.name)
        try:
            await perform()
        finally:
            self._board.rested(self.name)

    async def _probe(self) -> None:
        """At the start, and again for what could not be learned or would not go away."""
        was_stuck = self.local.state is ComponentState.STUCK
        with anyio.CancelScope() as scope:
            self._in_flight = scope
            found = await self._ask()
        self._in_flight = None
        if scope.cancelled_caught:
            return  # by self-stop, which takes it down whatever it is
        self.local.asked = True
        if found.presence is not Presence.OFFLINE:
            await self._leave_will()
        match found.presence:
            case Presence.ONLINE if was_stuck and not self._only_forced and not self._board.wanted(self.name):
                self._rest_for(RETRY_S)
            case Presence.ONLINE:
                self._adopt(found)
            case Presence.OFFLINE if self.local.deferred:
                self._fault(found.detail or self.local.deferred)
            case Presence.OFFLINE:
                self._enter(ComponentState.OFFLINE, Event.COMPONENT_OFFLINE if was_stuck else None)
            case Presence.FAILED if not was_stuck or self._only_forced:
                self._fault(found.detail or "found broken")
            case _:
                self.local.reason = found.detail or "cannot be probed"
                self._rest_for(RETRY_S)
                self.local.own.ring()  # asked, though nothing was learned

    def _adopt(self, found: Probe) -> None:
        local = self.local
        repaired = bool(local.given_up or local.deferred)
        local.given_up = local.deferred = ""
        local.ignored = False
        self._enter(ComponentState.ONLINE, Event.COMPONENT_ADOPTED, reason=found.detail)
        if repaired:
            self._board.held_down_changed()

    async def _prepare(self) -> None:
        self._emit(Event.COMPONENT_PREPARING, action=Action.PREPARE)
        result, duration = await self._step(Action.PREPARE)
        self.local.prepared = True  # a failed preparation costs time, not safety: online goes on without it
        self._emit(Event.COMPONENT_PREPARED, duration_s=duration, ok=result.ok, reason=result.detail)

    async def _bring_online(self) -> None:
        if not await self._arm():
            return
        self._enter(ComponentState.ONLINING, Event.COMPONENT_ONLINING, action=Action.ONLINE)
        result, duration = await self._step(Action.ONLINE)
        await self._leave_will()
        if result.ok:
            self.local.given_up = ""
            self._enter(ComponentState.ONLINE, Event.COMPONENT_ONLINE, duration_s=duration)
        elif self._board.authority.force:
            self.local.bounce = True
            self._enter(ComponentState.FAULTED, reason="cut short by self-stop")
            self._board.held_down_changed()
        else:
            self._fault(_why("online", result), output=result.output, check=self._failed_check)

    async def _take_offline(self) -> None:
        """Offline; if that fails, by force; what a probe then finds absent counts as offline, a kill alone does not."""
        self._enter(ComponentState.OFFLINING, Event.COMPONENT_OFFLINING, action=Action.OFFLINE)
        result, duration = await self._step(Action.OFFLINE)
        if result.ok:
            self._went_offline(duration_s=duration)
            return
        self._only_forced = self._board.authority.force  # then the offline was cut short, and may yet succeed
        why = _why("offline", result)
        self._emit(Event.COMPONENT_CLEANING, reason=why, output=result.output)
        await self._call(Action.CLEAN)
        await self._verify_absent(why)

    async def _force_offline(self) -> None:
        """Self-stop: no gate, no grace."""
        self._only_forced = self._only_forced or self.local.state is not ComponentState.STUCK
        self._enter(ComponentState.OFFLINING, Event.COMPONENT_CLEANING, reason="self-stop")
        result = await self._call(Action.CLEAN)
        await self._verify_absent(_why("clean", result))

    async def _verify_absent(self, why: str) -> None:
        found = await self._ask()
        if found.presence is Presence.OFFLINE:
            self._went_offline(reason=why)
            return
        detail = f"{why}; after clean it is {found.presence} {found.detail}".strip()
        self._rest_for(self._before_next_try())
        self._enter(ComponentState.STUCK, Event.COMPONENT_STUCK, reason=detail)

    def _before_next_try(self) -> float:
        if not self._board.authority.force:
            return RETRY_S
        self._forced += 1
        return min(FORCE_RETRY_MAX_S, FORCE_RETRY_S * self._forced)

    def _went_offline(self, **fields: object) -> None:
        self.local.ignored = False
        self._forced = 0
        self._enter(ComponentState.OFFLINE, Event.COMPONENT_OFFLINE, **fields)

    # --- faults -------------------------------------------------------------------------------------------------

    def found(self, probe: Probe, *, definite: bool = True, check: str = "") -> None:
        """A monitor or an event says that an online component is not online any more, or a health ``check`` that it
        does not do its work."""
        if self.local.state is not ComponentState.ONLINE or self.local.busy:
            return
        if probe.presence is Presence.OFFLINE and definite:
            self._emit(Event.COMPONENT_CHANGED_EXTERNALLY, reason=probe.detail or "not running any more")
        self._fault(probe.detail or f"monitor says {probe.presence}", check=check)

    def recovered(self) -> None:
        """An ignored fault is over by itself."""
        if self.unhealthy:
            return
        if self.local.ignored and self.local.state is ComponentState.FAULTED and not self.local.busy:
            self.local.ignored, self.local.given_up, self.local.deferred = False, "", ""
            self._enter(ComponentState.ONLINE, Event.COMPONENT_ONLINE, reason="recovered by itself")

    def _fault(self, reason: str, *, output: str = "", check: str = "") -> None:
        local, component, now = self.local, self.component, self._around.clock.now()
        wanted = self._board.wanted(self.name)
        if wanted and self._board.frozen:
            recovery = Recovery.DEFER
        else:
            recovery = (
                local.budget.after_fault(component.on_fault, component.restart, now) if wanted else Recovery.RESTART
            )
        local.deferred = reason if recovery is Recovery.DEFER else ""
        local.bounce, local.ignored = recovery is Recovery.RESTART, recovery in {Recovery.IGNORE, Recovery.DEFER}
        if recovery is Recovery.GIVE_UP:
            local.given_up = reason
        fields = {key: value for key, value in (("output", output), ("check", check)) if value}
        self._enter(ComponentState.FAULTED, Event.COMPONENT_FAULTED, reason=reason, recovery=recovery, **fields)
        if recovery is Recovery.RESTART and wanted:
            local.rests_until = 0.0  # going offline is not held up, only coming back
            self._emit(Event.COMPONENT_RESTARTING, reason=reason, backoff_s=component.restart.backoff_s)
        self._board.held_down_changed()

    # --- the guard ----------------------------------------------------------------------------------------------

    async def _arm(self) -> bool:
        """Nothing of it is online before the guard can take it down; whether it still is to be brought online then."""
        guard, group = self._around.guard, self._board.group.name
        try:
            will = self._will()
            await guard.arm(group, self.name, will)  # bounded, and self-stop has nothing to do with it yet
            self._held_will = will
        except GuardUnavailable as error:
            self.local.reason = str(error)
            self._rest_for(GUARD_RETRY_S)
            return False
        if next_operation(self._board.situation(self.name)) is Action.ONLINE:
            return True
        self._disarm()
        return False

    def _disarm(self) -> None:
        self._held_will = None
        self._around.guard.disarm(self._board.group.name, self.name)

    async def entrust(self) -> None:
        """The guard confirms that it holds the last will. Raises ``GuardUnavailable``."""
        await self._around.guard.arm(self._board.group.name, self.name, self._will())

    async def _leave_will(self) -> None:
        """It may be online: the guard holds its last will as it now is."""
        will = self._will()
        if will is None or will is not self._held_will:
            await self._around.guard.hold(self._board.group.name, self.name, will)

    def _will(self) -> Will | None:
        return None if self._testator is None else self._testator.will(self._request(Action.CLEAN))

    # --- calling the agent --------------------------------------------------------------------------------------

    async def _step(self, action: Action) -> tuple[Result, float]:
        """A step of the handover: timed, and reported to the record."""
        began = self._around.clock.now()
        self._around.recorder.begun(self.name, action, began)
        result = await self._call(action)
        ended = self._around.clock.now()
        self._around.recorder.ended(self.name, action, ended, result.ok)
        return result, round(ended - began, 4)

    async def _call(self, action: Action) -> Result:
        agent = self._agent
        operation = {
            Action.PREPARE: agent.prepare,
            Action.ONLINE: agent.online,
            Action.OFFLINE: agent.offline,
            Action.CLEAN: agent.clean,
        }[action]
        limit = self.component.timeouts.of(action)
        with anyio.CancelScope(deadline=anyio.current_time() + limit + BACKSTOP_S) as scope:
            self._in_flight = None if action is Action.CLEAN else scope
            try:
                result = await operation(self._request(action))
                return await self._ready(result, limit, scope) if action is Action.ONLINE else result
            finally:
                self._in_flight = None
        return Result(outcome=Outcome.TIMED_OUT, detail="cut short, or did not return in time")

    async def _ready(self, result: Result, limit_s: float, scope: anyio.CancelScope) -> Result:
        """Online includes healthy, within the same time-out."""
        check, self._failed_check = self.component.check, ""
        if check is None or not result.ok:
            return result
        left = max(scope.deadline - BACKSTOP_S - anyio.current_time(), check.timeout_s)
        why = await until_healthy(check, partial(self.ask_health, check), self._ask, min(left, limit_s))
        if not why:
            return result
        self._failed_check = check.name
        return Result(outcome=Outcome.FAILED, detail=why)

    async def ask_health(self, check: HealthCheck) -> Health:
        return await self._around.checker.ask(check, self._request(Action.PROBE))

    async def _ask(self) -> Probe:
        with anyio.move_on_after(self.component.timeouts.probe_s + BACKSTOP_S):
            return await self._agent.probe(self._request(Action.PROBE))
        return Probe(presence=Presence.UNKNOWN, detail="the probe did not return in time")

    def _request(self, action: Action) -> Call:
        placement = self._board.placement
        return Call(
            cluster=self._around.cluster,
            node=self._around.node,
            group=self._board.group.name,
            component=self.name,
            action=action,
            generation=placement.generation if placement else 0,
            timeout_s=self.component.timeouts.of(action),
        )

    async def probe(self) -> Probe:
        """For the monitor: a probe of its own, not an operation."""
        return await self._ask()

    async def reclaim(self) -> None:
        """There was a doubt about who owns what: say again that it is here, where others remember that."""
        if self._claimant is not None and self.reclaims:
            with anyio.move_on_after(self.component.timeouts.probe_s + BACKSTOP_S):
                await self._claimant.reclaim(self._request(Action.PROBE))

    @property
    def reclaims(self) -> bool:
        """Whether there is anything to say again."""
        if self._claimant is None or self.done:
            return False
        return self.local.state is ComponentState.ONLINE and self._board.wanted(self.name)

    async def watch(self) -> Probe | None:
        return await self._agent.watch(self._request(Action.PROBE))

    def cut_short(self) -> None:
        """Self-stop: do not wait for the operation in flight."""
        if self._in_flight is not None:
            self._in_flight.cancel()
        self.local.rests_until = 0.0
        self.local.gates.ring()

    # --- reconfiguration ----------------------------------------------------------------------------------------

    def reconfigure(self, component: Component, agent: Callable[[], Agent]) -> None:
        """Policies apply at once; other parameters once it is down, with its present agent taking it down."""
        same = (component.type, component.params) == (self.component.type, self.component.params)
        if same:
            self._successor = None
            self.component = component
            self.local.own.ring()  # whoever watches it does so as it is now to be watched
        else:
            self._successor = (component, agent())
            if self.local.state is not ComponentState.OFFLINE:
                self.local.bounce = True
                self._board.held_down_changed()
            self._settle()
        self.local.gates.ring()

    def _succeed(self) -> None:
        if self._successor is not None:
            self.component, agent = self._successor
            self._employ(agent)
            self._successor = None
            self._enter(ComponentState.UNKNOWN)  # the new parameters may find something that is there already

    # --- state --------------------------------------------------------------------------------------------------

    def _enter(self, state: ComponentState, event: Event | None = None, **fields: object) -> None:
        local = self.local
        was, was_absent = local.state, local.absent
        local.state, local.since = state, self._around.clock.now()
        local.absent = state is ComponentState.OFFLINE
        if local.absent:
            self._disarm()
        local.reason = str(fields.get("reason", ""))
        if state is ComponentState.OFFLINE and self.component.restart.backoff_s and local.budget.attempts:
            self._rest_for(self.component.restart.backoff_s)
        self._board.changed(self.name, was=was, was_absent=was_absent)
        if local.absent and local.bounce:  # in whatever way it came to be absent: it may come back
            local.bounce = False
            self._board.held_down_changed()
        if event is not None:
            self._emit(event, **fields)

    def _rest_for(self, seconds: float) -> None:
        self.local.rests_until = self._around.clock.now() + seconds

    def _emit(self, event: Event, **fields: object) -> None:
        placement = self._board.placement
        present = {key: value for key, value in fields.items() if value not in ("", None)}
        self._around.log.emit(
            event,
            group=self._board.group.name,
            component=self.name,
            generation=placement.generation if placement else 0,
            **present,
        )


def _why(action: str, result: Result) -> str:
    return f"{action} {result.outcome}: {result.detail}" if result.detail else f"{action} {result.outcome}"
