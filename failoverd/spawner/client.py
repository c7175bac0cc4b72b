"""The daemon's side of the spawner: ``ports.Spawner`` in front of the helper process."""

import asyncio
import math
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
from anyio.abc import TaskGroup

from failoverd.bell import Answer
from failoverd.errors import SpawnerLost, SpawnFailed, StartupError
from failoverd.log.catalogue import Event
from failoverd.pace import Pace
from failoverd.ports import Detached, EventLog, RunRequest, RunResult
from failoverd.spawner import journal
from failoverd.spawner.link import Link
from failoverd.spawner.protocol import PACKET_MAX, encode

START_S = 20.0
"""For a new helper to be ready: it may have to outwait a predecessor."""

DETACH_S = 10.0
_SLACK_S = 10.0
"""Beyond what the helper itself allows a command; after that the helper hangs."""

_FOR_EVER_S = 1e9
"""JSON has no infinity."""

_LEFTOVERS_S = 5.0
_PULSE_S = 1.0
_SILENT_PULSES = 5
_IN_FLIGHT_MAX = 4000
_BACKOFF_S = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)


class _Waiter:
    """One request on its way."""

    __slots__ = ("done", "failure", "message", "output")

    def __init__(self) -> None:
        self.done = Answer()
        self.message: dict[str, Any] = {}
        self.output = b""
        self.failure: SpawnFailed | None = None

    def answer(self, message: dict[str, Any], output: bytes) -> None:
        self.message, self.output = message, output
        if "failed" in message:
            self.failure = SpawnFailed(message["failed"])
        self.done.give()

    def fail(self, failure: SpawnFailed) -> None:
        self.failure = failure
        self.done.give()


class HelperSpawner:
    """``ports.Spawner``. An asynchronous context manager: enter it once, in the task that leaves it.

    A helper that dies or hangs is replaced: what it ran is killed, and its callers get ``SpawnerLost``. Entering raises
    ``StartupError`` when no helper gets ready.
    """

    def __init__(self, run_dir: Path, log: EventLog) -> None:
        self._run_dir = run_dir
        self._log = log
        self._waiters: dict[int, _Waiter] = {}
        self._number = 0
        self._pace = Pace()
        self._link: Link | None = None
        self._coming: Link | None = None
        """Started, but not ready yet."""
        self._usable = anyio.Event()
        self._ready = anyio.Event()
        self._broken = ""
        self._heard = False
        self._tasks: TaskGroup
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        if not await self._connect():
            raise StartupError(f"the helper process that starts commands did not get ready: {self._broken}")
        async with AsyncExitStack() as stack:
            self._tasks = await stack.enter_async_context(anyio.create_task_group())
            stack.push_async_callback(self._close)
            self._tasks.start_soon(self._supervise)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, trace)

    @property
    def helper_pid(self) -> int | None:
        """None while there is none."""
        return self._link.pid if self._link else None

    # --- ports.Spawner ------------------------------------------------------------------------------------------

    async def run(self, request: RunRequest) -> RunResult:
        allowed = request.timeout_s + request.grace_s + _SLACK_S
        waiter = await self._ask("run", request, None, allowed)
        message = waiter.message
        return RunResult(
            exit_status=message["status"],
            signal=message["signal"],
            timed_out=message["timed_out"],
            output=waiter.output.decode("utf-8", "replace"),
            truncated=message["truncated"],
        )

    async def detach(self, request: RunRequest, output: str | None) -> Detached:
        message = (await self._ask("detach", request, output, DETACH_S + _SLACK_S)).message
        return Detached(pid=message["pid"], start_ticks=message["ticks"], boot_id=message["boot"])

    async def _ask(self, what: str, request: RunRequest, output: str | None, allowed_s: float) -> _Waiter:
        if len(self._waiters) >= _IN_FLIGHT_MAX:
            raise SpawnFailed(f"{request.argv[0]}: {_IN_FLIGHT_MAX} commands are running already")
        await self._pace.turn()
        self._number += 1
        number = self._number
        packet = _packet(number, what, request, output)
        link = await self._helper(request)
        waiter = self._waiters[number] = _Waiter()
        try:
            link.send(packet)
            if not await waiter.done.within(allowed_s):
                self._lose(link, "it did not answer in time")
                await waiter.done.within(math.inf)  # bounded: by the end of the helper
        except anyio.get_cancelled_exc_class():
            await self._cancel(number, waiter, link, request.grace_s)
            raise
        finally:
            del self._waiters[number]
        if waiter.failure is not None:
            raise waiter.failure
        return waiter

    async def _helper(self, request: RunRequest) -> Link:
        """The helper in use; while one is being replaced, wait for it as long as the command itself might take."""
        if self._link is None:
            with anyio.move_on_after(request.timeout_s):
                await self._usable.wait()
        if self._link is None:
            raise SpawnFailed(f"{request.argv[0]}: the helper process that starts commands is gone: {self._broken}")
        return self._link

    async def _cancel(self, number: int, waiter: _Waiter, link: Link, grace_s: float) -> None:
        """Return once the command is known to have ended, or its end is past waiting for."""
        with anyio.CancelScope(shield=True):
            if not waiter.done.given:
                link.send(encode({"op": number, "do": "cancel"}))
            if not await waiter.done.within(grace_s + _SLACK_S):
                self._lose(link, "it did not end a command that was cancelled")

    # --- the helper ---------------------------------------------------------------------------------------------

    async def _connect(self) -> bool:
        """Start a helper and wait for its word that nothing of an earlier one runs any more."""
        self._ready, self._broken = anyio.Event(), ""
        loop = asyncio.get_running_loop()
        try:
            self._run_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
            link = Link.start(self._run_dir, loop, self._heard_from, self._lose)
        except OSError as error:
            self._broken = str(error)
            return False
        self._coming = link
        try:
            with anyio.move_on_after(START_S):
                await self._ready.wait()
        finally:
            self._coming = None
            if not self._ready.is_set() or self._broken:
                self._broken = self._broken or f"no answer within {START_S:g} s"
                with anyio.CancelScope(shield=True):
                    await link.aclose()
            else:
                self._link = link
                self._usable.set()
        return self._link is link

    def _heard_from(self, _link: Link, message: dict[str, Any], output: bytes) -> None:
        self._heard = True
        waiter = self._waiters.get(message.get("op", 0))
        if waiter is not None:
            waiter.answer(message, output)
        elif "ready" in message:
            self._ready.set()
        elif "broken" in message:
            self._broken = message["broken"]
            self._ready.set()

    def _lose(self, link: Link, reason: str) -> None:
        """Its socket was closed, or it is past waiting for. Runs in the event loop."""
        if link is self._coming:
            self._broken = self._broken or reason
            self._ready.set()
        if link is not self._link:
            return
        self._link = None
        self._broken = reason
        self._usable = anyio.Event()
        link.kill()
        self._tasks.start_soon(self._replace, link, reason)

    async def _replace(self, lost: Link, reason: str) -> None:
        """Nobody is answered before the commands of the lost helper are dead."""
        self._log.emit(Event.SPAWNER_LOST, reason=reason, operations=len(self._waiters))
        orphans = list(self._waiters.values())
        await lost.aclose()
        attempt = 0
        while not await self._connect():
            if attempt == 0:
                await self._kill_leftovers()
                _fail(orphans)
            await anyio.sleep(_BACKOFF_S[min(attempt, len(_BACKOFF_S) - 1)])
            attempt += 1
        _fail(orphans)

    async def _kill_leftovers(self) -> None:
        """What a new helper would have done."""
        with anyio.move_on_after(_LEFTOVERS_S):
            while journal.kill_leftovers(str(self._run_dir)):  # noqa: ASYNC110 (/proc has no event)
                await anyio.sleep(0.01)

    async def _supervise(self) -> None:
        """A helper that is alive but does nothing is as bad as a dead one."""
        silent = 0
        while True:
            await anyio.sleep(_PULSE_S)
            link = self._link
            if link is None or not self._waiters or self._heard:
                silent, self._heard = 0, False
                continue
            silent += 1
            if silent >= _SILENT_PULSES:
                silent = 0
                self._lose(link, f"no answer for {_SILENT_PULSES * _PULSE_S:g} s")
            else:
                link.send(encode({"do": "ping"}))

    async def _close(self) -> None:
        """The helper ends what is in flight and itself when its socket is closed."""
        self._tasks.cancel_scope.cancel()
        link, self._link = self._link, None
        if link is not None:
            with anyio.CancelScope(shield=True):
                await link.aclose()
        _fail(list(self._waiters.values()))


def _fail(waiters: list[_Waiter]) -> None:
    for waiter in waiters:
        if not waiter.done.given:
            waiter.fail(SpawnerLost("the helper process that starts commands has ended; what it ran was killed"))


def _packet(number: int, what: str, request: RunRequest, output: str | None) -> bytes:
    message: dict[str, Any] = {
        "op": number,
        "do": what,
        "argv": request.argv,
        "env": dict(request.env),
        "cwd": request.cwd,
        "user": request.user,
        "group": request.group,
        "timeout_s": DETACH_S if what == "detach" else min(request.timeout_s, _FOR_EVER_S),
        "grace_s": request.grace_s,
        "output": output,
        "input": request.input,
        "leave_nothing": request.leave_nothing,
    }
    if request.cgroup is not None:
        message["cgroup"] = request.cgroup
    if request.limits:
        message["limits"] = dict(request.limits)
    packet = encode(message)
    if len(packet) > PACKET_MAX:
        size = len(packet) // 1024
        limit = PACKET_MAX // 1024
        raise SpawnFailed(f"{request.argv[0]}: arguments and environment are too long: {size} KiB, limit {limit} KiB")
    return packet
