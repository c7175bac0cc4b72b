"""The operations of an ``ocf`` component.

===========  ===================  ==========================================================================
             role: started        role: promoted
===========  ===================  ==========================================================================
online       start                start (where it does not run yet), promote; monitor must then say promoted
offline      stop                 demote, stop; with ``offline_as: unpromoted`` demote alone
clean        stop                 demote, stop, each whatever the one before has said
prepare      -                    with ``offline_as: unpromoted`` start, so that there is something to promote
is online    monitor says 0, 190  monitor says 8, 191
is offline   monitor says 7       monitor says 7; with ``offline_as: unpromoted`` also 0, 190
===========  ===================  ==========================================================================

An agent is never called twice at once for one component: a monitor waits for an operation, and an operation ends a
monitor that is under way.
"""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio

from failoverd.agents.commands import PREFIX
from failoverd.agents.ocf.codes import Code, ended, outcome, promoted_presence, started_presence, told
from failoverd.agents.ocf.environment import Subject, action_environment, ocf_environment
from failoverd.errors import SpawnFailed
from failoverd.ports import (
    Call,
    CommandWill,
    Outcome,
    Presence,
    Probe,
    Result,
    RunRequest,
    RunResult,
    Spawner,
    Will,
)

_STARTED = frozenset({Code.SUCCESS})
_STOPPED = frozenset({Code.SUCCESS, Code.NOT_RUNNING})
_MONITOR_GRACE_S = 0.5
"""A monitor may be killed at any time; others are given the usual time to end by themselves."""
_MONITOR_MIN_S = 1.0
_DEMOTE_SHARE = 0.5
"""Of what is left of the time, what a demote may take that a stop is to follow."""
_WILL_DEMOTE_S = 5
_DEMOTE_AND_STOP = 'timeout -k 1 "$1" "$0" demote; exec "$0" stop'


class OcfAgent:
    def __init__(self, subject: Subject, spawner: Spawner) -> None:
        self._subject = subject
        self._keys = subject.keys
        self._path = str(subject.path)
        self._spawner = spawner
        self._present = False
        """Whether it was there when it was last looked at or brought online: else a monitor is a probe."""
        self._was_promoted = False
        self._fixed: dict[str, str] | None = None
        """Of the environment, what no call changes."""
        self._turn = anyio.Lock()
        self._monitors: list[anyio.CancelScope] = []

    # --- ports.Agent --------------------------------------------------------------------------------------------

    async def probe(self, call: Call) -> Probe:
        with anyio.CancelScope() as scope:
            self._monitors.append(scope)
            try:
                with anyio.move_on_after(call.timeout_s) as queue:
                    async with self._turn:
                        queue.deadline = math.inf  # the command has a limit of its own
                        return await self._monitor(_Time(call))
                return Probe(presence=Presence.UNKNOWN, detail="monitor: another action of it takes too long")
            finally:
                self._monitors.remove(scope)
        return Probe(presence=Presence.UNKNOWN, detail="monitor: given up for an operation")

    async def prepare(self, call: Call) -> Result:
        if not self._keys.keeps_unpromoted:
            return Result(outcome=Outcome.DONE)
        async with self._alone():
            return await self._start(_Time(call))

    async def online(self, call: Call) -> Result:
        async with self._alone():
            time = _Time(call)
            result = await (self._promote(time) if self._keys.promoted else self._run("start", time, _STARTED))
            self._present = True  # also where it failed: what is left of it is not to be taken for a first probe
            return result

    async def offline(self, call: Call) -> Result:
        async with self._alone():
            time = _Time(call)
            if self._keys.keeps_unpromoted:
                result = await self._run("demote", time, _STOPPED)
            elif self._keys.promoted or self._was_promoted:
                result = await self._demote_and_stop(time)
            else:
                result = await self._run("stop", time, _STOPPED)
            if result.ok:
                self._present = self._was_promoted = False
            return result

    async def clean(self, call: Call) -> Result:
        async with self._alone():
            time = _Time(call)
            if self._keys.promoted or self._was_promoted:
                return await self._demote_and_stop(time)
            return await self._run("stop", time, _STOPPED)

    async def watch(self, _call: Call) -> Probe | None:
        return None

    def will(self, call: Call) -> Will | None:
        """``ports.Testator``."""
        argv: tuple[str, ...] = (self._path, "stop")
        if self._keys.promoted:
            argv = ("/bin/sh", "-c", _DEMOTE_AND_STOP, self._path, str(_WILL_DEMOTE_S))
        return CommandWill(request=self._request(argv, "stop", call, call.timeout_s))

    # --- roles --------------------------------------------------------------------------------------------------

    async def _promote(self, time: "_Time") -> Result:
        started = await self._start(time)
        if not started.ok or self._was_promoted:
            return started
        promoted = await self._run("promote", time, _STARTED)
        if not promoted.ok:
            return promoted
        found = await self._monitor(time)
        if found.presence is Presence.ONLINE:
            return Result(outcome=Outcome.DONE)
        return Result(outcome=Outcome.FAILED, detail=f"online: promoted, but then {found.detail or found.presence}")

    async def _start(self, time: "_Time") -> Result:
        """Unless it runs already, in whatever role."""
        code = await self._role(time)
        if code in (Code.SUCCESS, Code.DEGRADED, Code.RUNNING_PROMOTED, Code.DEGRADED_PROMOTED):
            return Result(outcome=Outcome.DONE)
        return await self._run("start", time, _STARTED)

    async def _role(self, time: "_Time") -> Code | int | None:
        """What a monitor says now, before anything is started; None where it says nothing."""
        try:
            result = await self._act("monitor", time.call, time.left, grace_s=_MONITOR_GRACE_S)
        except SpawnFailed:
            return None
        return self._note(ended(result))

    async def _demote_and_stop(self, time: "_Time") -> Result:
        """A demote that fails does not keep it running: only what the stop says counts."""
        demoted = await self._run("demote", time, _STOPPED, time.left * _DEMOTE_SHARE)
        stopped = await self._run("stop", time, _STOPPED)
        if demoted.ok or stopped.ok:
            return stopped
        return replace(stopped, detail=f"{demoted.detail}; {stopped.detail}")

    # --- calling it ---------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        for scope in self._monitors:
            scope.cancel()
        async with self._turn:
            yield

    async def _monitor(self, time: "_Time") -> Probe:
        probing = not self._present
        try:
            result = await self._act("monitor", time.call, max(time.left, _MONITOR_MIN_S), grace_s=_MONITOR_GRACE_S)
        except SpawnFailed as error:
            return Probe(presence=Presence.UNKNOWN, detail=f"monitor: {error}")
        code = self._note(ended(result))
        if self._keys.promoted:
            unpromoted = Presence.OFFLINE if self._keys.keeps_unpromoted else Presence.FAILED
            presence = promoted_presence(code, probing=probing, unpromoted=unpromoted)
        else:
            presence = started_presence(code, probing=probing)
        self._present = presence is not Presence.OFFLINE
        plain = code in (Code.SUCCESS, Code.NOT_RUNNING, Code.RUNNING_PROMOTED) and presence is not Presence.FAILED
        return Probe(presence=presence, detail="" if plain else self._explain(code, result))

    def _explain(self, code: Code | int | None, result: RunResult) -> str:
        if self._keys.promoted and code in (Code.SUCCESS, Code.DEGRADED):
            return "monitor: it runs, but is not promoted"
        return f"monitor: {told(result)}"

    def _note(self, code: Code | int | None) -> Code | int | None:
        promoted = (Code.RUNNING_PROMOTED, Code.FAILED_PROMOTED, Code.DEGRADED_PROMOTED)
        self._was_promoted = code in promoted
        return code

    async def _run(self, action: str, time: "_Time", good: frozenset[Code], limit_s: float | None = None) -> Result:
        timeout_s = time.left if limit_s is None else limit_s
        if timeout_s <= 0:
            return Result(outcome=Outcome.TIMED_OUT, detail=f"{action}: no time is left for it")
        try:
            result = await self._act(action, time.call, timeout_s)
        except SpawnFailed as error:
            return Result(outcome=Outcome.UNAVAILABLE, detail=f"{action}: {error}")
        if action == "stop" and ended(result) in good:
            self._was_promoted = False
        found = outcome(result, good)
        if found is Outcome.DONE:
            return Result(outcome=found)
        return Result(outcome=found, detail=f"{action}: {told(result)}", output=result.output)

    async def _act(self, action: str, call: Call, timeout_s: float, *, grace_s: float = 2.0) -> RunResult:
        """Raises SpawnFailed."""
        try:
            self._subject.make_directories()
        except OSError as error:
            raise SpawnFailed(f"{error.filename}: {error.strerror}") from error
        request = self._request((self._path, action), action, call, timeout_s)
        return await self._spawner.run(replace(request, grace_s=grace_s))

    def _request(self, argv: tuple[str, ...], action: str, call: Call, timeout_s: float) -> RunRequest:
        if self._fixed is None:
            self._fixed = ocf_environment(self._subject, call)
        changing = {f"{PREFIX}ACTION": call.action.value, f"{PREFIX}GENERATION": str(call.generation)}
        own = action_environment(action, timeout_s, probing=not self._present)
        return RunRequest(argv=argv, env={**self._fixed, **changing, **own}, timeout_s=timeout_s)


class _Time:
    """What is left of one call's time."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self._until = anyio.current_time() + call.timeout_s

    @property
    def left(self) -> float:
        """Seconds."""
        return max(0.0, self._until - anyio.current_time())
