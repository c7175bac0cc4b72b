"""The operations of the ``systemd`` type: jobs are begun, and waited for by their result."""

import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from failoverd.agents.systemd.manager import Manager, NoAnswer, Refusal
from failoverd.agents.systemd.params import SystemdParams
from failoverd.agents.systemd.state import UnitState, judge
from failoverd.ports import Call, CommandWill, Outcome, Presence, Probe, Result, RunRequest, Will

_LOOK_AGAIN_S = 1.0
"""A job is looked after by its signals; this often it is made sure that none was missed."""
_RETRY_S = 1.0
_ASK_AGAIN_S = 0.1
_BEFORE = {"StartUnit": "inactive", "StopUnit": "active"}
"""What a unit is before the job is carried out."""
_BURIAL_S = 0.02
_SIGKILL = 9
_NOT_LOADED = "org.freedesktop.systemd1.NoSuchUnit"
_ENV = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "SYSTEMD_PAGER": ""}
_WILL = """
systemctl kill --signal=KILL "$0" 2>/dev/null
systemctl stop --job-mode=ignore-dependencies "$0" 2>/dev/null
case "$(systemctl is-active "$0")" in inactive|failed) exit 0 ;; esac
exit 1
"""


T = TypeVar("T")


class SystemdAgent:
    def __init__(self, params: SystemdParams, manager: Manager) -> None:
        self._unit = params.unit
        self._manager = manager

    # --- ports.Agent --------------------------------------------------------------------------------------------

    async def probe(self, call: Call) -> Probe:
        seen = ""
        with anyio.move_on_after(call.timeout_s):
            try:
                while not (state := await self._manager.state(self._unit)).settled:
                    seen = f"{self._unit} is {state}"
                    await self._change(state)
                return await self._judge(state)
            except (NoAnswer, Refusal) as error:
                return Probe(presence=Presence.UNKNOWN, detail=str(error))
        return Probe(presence=Presence.UNKNOWN, detail=seen or "systemd did not answer in time")

    async def prepare(self, call: Call) -> Result:
        """What must be told to systemd beforehand is told while the source is still busy: it may take long."""
        return await self._timed(call, self._adopt)

    async def online(self, call: Call) -> Result:
        return await self._timed(call, self._online)

    async def offline(self, call: Call) -> Result:
        return await self._timed(call, self._offline)

    async def clean(self, call: Call) -> Result:
        return await self._timed(call, self._clean)

    async def watch(self, call: Call) -> Probe | None:
        del call
        while True:
            try:
                await self._manager.adopt(self._unit)
                while (state := await self._manager.state(self._unit)).online or not state.settled:
                    await self._change(state)
                found = await self._judge(state)
                return Probe(presence=found.presence, detail=f"{self._unit} has become {state}{await self._why(state)}")
            except (NoAnswer, Refusal, OSError):
                await anyio.sleep(_RETRY_S)  # polling goes on meanwhile

    def will(self, call: Call) -> Will | None:
        """``ports.Testator``."""
        argv = ("/bin/sh", "-c", _WILL, self._unit)
        return CommandWill(request=RunRequest(argv=argv, env=_ENV, timeout_s=call.timeout_s))

    # --- operations ---------------------------------------------------------------------------------------------

    async def _adopt(self) -> Result:
        await self._manager.adopt(self._unit)
        return Result(outcome=Outcome.DONE)

    async def _online(self) -> Result:
        await self._manager.adopt(self._unit)
        state = await self._state()
        if state.online and (state.job == 0 or state.active != "active"):
            return Result(outcome=Outcome.DONE, detail="was active already")
        if state.active == "failed":  # and with it the count of starts that systemd limits
            await self._manager.call("ResetFailedUnit", "s", [self._unit])
        result = await self._job("StartUnit", "replace")
        state = await self._state()
        if state.online:
            return Result(outcome=Outcome.DONE)
        hint = "; a oneshot unit needs RemainAfterExit=yes" if result == "done" and state.sub == "dead" else ""
        detail = f"online: job {result}, {self._unit} is {state}{await self._why(state)}{hint}"
        return Result(outcome=Outcome.FAILED, detail=detail)

    async def _offline(self) -> Result:
        mode = "ignore-dependencies" if await _insist(self._manager.going_down) else "replace"
        return await self._stop("offline", mode)

    async def _clean(self) -> Result:
        await self._kill()
        result = await self._stop("clean", "ignore-dependencies")
        while not result.ok and len(await _insist(lambda: self._manager.processes(self._unit))) > 0:
            await self._kill()  # what is killed has not ended yet; what it has started meanwhile is killed too
            await anyio.sleep(_BURIAL_S)
            result = await self._stop("clean", "ignore-dependencies")
        return result

    async def _kill(self) -> None:
        with contextlib.suppress(Refusal):  # nothing of it runs
            await self._manager.call("KillUnit", "ssi", [self._unit, "all", _SIGKILL])

    async def _stop(self, action: str, mode: str) -> Result:
        state = await self._state()
        result = "done"
        if not state.offline or state.job:
            try:
                result = await self._job("StopUnit", mode)
            except Refusal as error:
                if error.name != _NOT_LOADED:
                    raise
            state = await self._state()
        found = await _insist(lambda: self._judge(state))
        if found.presence is Presence.OFFLINE:
            return Result(outcome=Outcome.DONE, detail=found.detail)
        detail = found.detail or f"{self._unit} is {state}"
        return Result(outcome=Outcome.FAILED, detail=f"{action}: job {result}, {detail}")

    # --- jobs ---------------------------------------------------------------------------------------------------

    async def _job(self, member: str, mode: str) -> str:
        """Begin a job and wait for its end: its result (``done``, ``failed``, ``timeout``, ``dependency``…), or
        ``unknown`` where the reply was lost, or systemd was replaced meanwhile, and the unit is at rest."""
        try:
            job: str = (await self._manager.call(member, "ss", [self._unit, mode]))[0]
        except NoAnswer:
            job = ""
        while True:
            news = self._manager.news()
            if result := self._manager.ended(job):
                return result
            try:
                state = await self._manager.state(self._unit)
                if state.job == 0 and not job and state.active == _BEFORE[member]:
                    return await self._job(member, mode)  # whatever became of the request, it had no effect
                if state.job == 0 and (state.online or state.offline):
                    return self._manager.ended(job) or "unknown"
                if member == "StopUnit" and mode == "replace" and await self._manager.going_down():
                    return await self._job(member, "ignore-dependencies")
            except NoAnswer:
                await anyio.sleep(_RETRY_S)
            with anyio.move_on_after(_LOOK_AGAIN_S):
                await news.wait()

    async def _state(self) -> UnitState:
        """Within an operation: a question is asked until it is answered."""
        return await _insist(lambda: self._manager.state(self._unit))

    async def _change(self, state: UnitState) -> None:
        """Until the unit may be in another state than this one."""
        await self._manager.follow(state.path)
        news = self._manager.news()
        if await self._manager.state(self._unit) == state:
            await news.wait()

    async def _judge(self, state: UnitState) -> Probe:
        left = 0 if state.online else len(await self._manager.processes(self._unit))
        return judge(self._unit, state, left)

    async def _why(self, state: UnitState) -> str:
        why = await self._manager.result_of(self._unit, state.path)
        return f", result {why}" if why not in ("", "success") else ""

    async def _timed(self, call: Call, operation: Callable[[], Awaitable[Result]]) -> Result:
        with anyio.move_on_after(call.timeout_s):
            try:
                return await operation()
            except (NoAnswer, Refusal, OSError) as error:
                return Result(outcome=Outcome.FAILED, detail=f"{call.action}: {error}")
        return Result(outcome=Outcome.TIMED_OUT, detail=f"{call.action}: {self._unit} was not through in time")


async def _insist(question: Callable[[], Awaitable[T]]) -> T:
    """Ask what changes nothing until there is an answer; the caller sets the deadline."""
    while True:
        try:
            return await question()
        except NoAnswer:
            await anyio.sleep(_ASK_AGAIN_S)
