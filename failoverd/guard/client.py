"""The daemon's side of the guard: ``ports.Guard`` in front of the guard process."""

import contextlib
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup

from failoverd import procfs
from failoverd.bell import Answer
from failoverd.errors import GuardUnavailable, StartupError
from failoverd.guard import record
from failoverd.guard.link import Link
from failoverd.guard.orders import NONE, looks_up, order
from failoverd.guard.protocol import PACKET_MAX, Key, Message, encode
from failoverd.log.catalogue import Event
from failoverd.ports import Clock, EventLog, Will

START_S = 20.0
"""For a new guard to be ready: one before it may be carrying out last wills."""

ANSWER_S = 2.0
"""A real-time process with locked memory answers in less than a millisecond."""

_PULSE_S = 0.5
_SILENT_PULSES = 2
_BACKOFF_S = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)
_SHOWN_MAX = 20
_LIMIT = f"{PACKET_MAX >> 10} KiB"


class _Request:
    __slots__ = ("done", "message", "refused")

    def __init__(self, message: Message) -> None:
        self.message = message
        self.refused: str | None = None
        self.done = Answer()


class ProcessGuard:
    """``ports.Guard``. An asynchronous context manager: enter it once, in the task that leaves it.

    Entering starts a guard process, which takes over from one that an earlier daemon has left, and raises
    ``StartupError`` when none gets ready. Leaving does not end what guards something: only ``dismiss`` does.
    """

    def __init__(
        self,
        run_dir: Path,
        log: EventLog,
        clock: Clock,
        *,
        action: str,
        helper: Callable[[], int | None],
        watchdog: str = "",
    ) -> None:
        """``action``: ``kill`` or ``reboot`` (``LeaseAction``). ``helper``: the pid of the process that starts commands
        for this daemon, at present; it is killed with the daemon, and whatever it runs. ``watchdog``: as for
        ``watchdog_of``."""
        self._run_dir, self._log, self._clock = run_dir, log, clock
        self._action, self._watchdog = action, watchdog
        self._helper_pid = helper
        self._helper_told: int | None = None
        self._wills: dict[Key, Message] = {}
        """What the guard holds, or is to be told of as soon as there is one."""
        self._inherited: set[Key] = set()
        self._lease: tuple[float, float] | None = None
        self._powerless: set[Key] = set()
        self._link: Link | None = None
        self._coming: Link | None = None
        self._ready = anyio.Event()
        self._usable = anyio.Event()
        self._broken = ""
        self._powers: Message = {}
        self._pending: dict[int, _Request] = {}
        self._number = 0
        self._heard = False
        self._dismissed = False
        self._tasks: TaskGroup
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        if not await self._connect():
            raise StartupError(f"the guard process did not get ready: {self._broken}")
        async with AsyncExitStack() as stack:
            self._tasks = await stack.enter_async_context(anyio.create_task_group())
            stack.callback(self._close)
            self._tasks.start_soon(self._supervise)
            self._stack = stack.pop_all()
        self._tell_of_firing()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, trace)

    @property
    def status(self) -> Message:
        """For people: ``pid`` (None while there is none), ``wills``, and where it is permitted, ``realtime`` and
        ``locked`` memory."""
        return {"pid": self._link.pid if self._link else None, "wills": len(self._wills), **self._powers}

    # --- ports.Guard ------------------------------------------------------------------------------------------------

    async def arm(self, group: str, component: str, will: Will | None) -> None:
        key = (group, component)
        made = await self._order(key, will)
        if self._link is None:
            with anyio.move_on_after(ANSWER_S):
                await self._usable.wait()
        link = self._link
        if link is None:
            raise GuardUnavailable(f"no guard: {self._broken or 'no answer'}")
        request = self._send({"do": "arm", "key": key, "will": made})
        if await request.done.within(ANSWER_S):
            if request.refused is None:
                return
            raise GuardUnavailable(f"the guard did not take its last will: {request.refused}")
        self.disarm(group, component)  # should it have come through all the same
        if self._link is link:
            self._lose(link, f"no answer for {ANSWER_S:g} s")
        raise GuardUnavailable("no guard: no answer")

    async def hold(self, group: str, component: str, will: Will | None) -> None:
        key = (group, component)
        try:
            made = await self._order(key, will)
        except GuardUnavailable as error:
            self._say_powerless(key, str(error))
            made = dict(NONE)
        if self._wills.get(key) == made:
            return
        self._wills[key] = made
        refused = self._post({"do": "hold", "key": key, "will": made})
        if refused is not None:
            self._say_powerless(key, refused)
            self._wills[key] = none = dict(NONE)
            self._post({"do": "hold", "key": key, "will": none})

    def disarm(self, group: str, component: str) -> None:
        key = (group, component)
        known = self._wills.pop(key, None) is not None or key in self._inherited
        self._inherited.discard(key)
        if known or any(request.message.get("key") == key for request in self._pending.values()):
            self._post({"do": "disarm", "key": key})

    def extend(self, fires_at: float, ends: float) -> None:
        self._lease = (fires_at, ends)
        self._post({"do": "extend", "fires_at": fires_at, "ends": ends})

    def retain(self, known: Collection[tuple[str, str]]) -> None:
        for group, component in self._inherited - set(known):
            self.disarm(group, component)

    async def dismiss(self) -> None:
        self._wills.clear()
        self._dismissed = True
        if self._link is not None:
            await self._send({"do": "leave"}).done.within(ANSWER_S)

    async def _order(self, key: Key, will: Will | None) -> Message:
        """What the guard is told. Raises GuardUnavailable where it cannot be made use of."""
        if will is None:
            self._say_powerless(key, "its agent leaves no last will")
        try:
            if not looks_up(will):
                return order(will)
            with anyio.move_on_after(ANSWER_S):
                return await to_thread.run_sync(order, will, abandon_on_cancel=True)
        except LookupError as error:
            raise GuardUnavailable(f"the last will cannot be used: {str(error).strip(chr(39))}") from error
        raise GuardUnavailable(f"the last will cannot be used: its user was not looked up within {ANSWER_S:g} s")

    def _say_powerless(self, key: Key, reason: str) -> None:
        if key not in self._powerless:
            self._powerless.add(key)
            self._log.emit(Event.GUARD_POWERLESS, group=key[0], component=key[1], reason=reason)

    # --- talking ----------------------------------------------------------------------------------------------------

    def _post(self, message: Message) -> str | None:
        """Say it, where there is somebody to say it to; a guard that is yet to come is told everything. Why it cannot
        be said, or None."""
        return None if self._link is None else self._send(message).refused

    def _send(self, message: Message) -> _Request:
        request = _Request(message)
        if self._link is None:
            request.refused = "there is none at the moment"
            request.done.give()
            return request
        self._tell_helper(self._link)
        self._number += 1
        packet = encode({"n": self._number, **message})
        if len(packet) > PACKET_MAX:
            request.refused = f"arguments and environment are too long: {len(packet) >> 10} KiB, limit {_LIMIT}"
            request.done.give()
            return request
        self._pending[self._number] = request
        self._link.send(packet)
        return request

    def _tell_helper(self, link: Link) -> None:
        pid = self._helper_pid()
        if pid is None or pid == self._helper_told:
            return
        there = procfs.stat(pid)
        if there is not None:
            self._helper_told = pid
            link.send(encode({"do": "helper", "pid": pid, "ticks": there.start_ticks}))

    def _heard_from(self, link: Link, message: Message) -> None:
        self._heard = True
        if link is self._coming:
            self._greeted(message)
            return
        request = self._pending.pop(message.get("n") or 0, None)
        if request is None:
            return
        request.refused = message.get("refused")
        said = request.message
        if request.refused is None and said["do"] == "arm":
            self._wills[said["key"]] = said["will"]
        elif request.refused is not None and said["do"] != "arm":
            self._log.emit(Event.DAEMON_INTERNAL_ERROR, reason=f"the guard refused {said['do']}: {request.refused}")
        request.done.give()

    def _greeted(self, message: Message) -> None:
        if "ready" in message:
            self._powers = {name: message[name] for name in ("realtime", "locked")}
            self._inherited |= {(group, component) for group, component in message["inherited"]}
        else:
            self._broken = str(message.get("broken", message))
        self._ready.set()

    # --- the process ------------------------------------------------------------------------------------------------

    async def _connect(self) -> bool:
        """Start a guard, wait until it is in charge, and tell it everything."""
        self._ready, self._broken = anyio.Event(), ""
        try:
            self._run_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
            self._coming = link = Link.start(self._run_dir, self._action, self._heard_from, self._lose, self._watchdog)
        except OSError as error:
            self._broken = str(error)
            return False
        try:
            with anyio.move_on_after(START_S):
                await self._ready.wait()
        finally:
            self._coming = None
            if not self._ready.is_set() or self._broken:
                self._broken = self._broken or f"no answer within {START_S:g} s"
                link.kill()
                with anyio.CancelScope(shield=True):
                    await link.buried()
        if self._broken:
            return False
        self._link, self._helper_told = link, None
        self._tell_everything()
        self._usable.set()
        return True

    def _tell_everything(self) -> None:
        if self._lease is not None:
            self.extend(*self._lease)
        for key, will in self._wills.items():
            self._post({"do": "hold", "key": key, "will": will})

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
        pending = list(self._pending.values())
        self._pending.clear()
        for request in pending:
            request.refused = request.refused or "it was lost"
            request.done.give()
        if self._dismissed:
            link.disown()
            return
        self._log.emit(Event.GUARD_LOST, reason=reason, components=len(self._wills))
        link.kill()
        self._tasks.start_soon(self._replace, link)

    async def _replace(self, lost: Link) -> None:
        await lost.buried()
        attempt = 0
        while not await self._connect():
            await anyio.sleep(_BACKOFF_S[min(attempt, len(_BACKOFF_S) - 1)])
            attempt += 1

    async def _supervise(self) -> None:
        """A guard that is alive but does nothing is as bad as a dead one."""
        silent = 0
        while True:
            await anyio.sleep(_PULSE_S)
            if self._link is None or not self._pending or self._heard:
                silent, self._heard = 0, False
                continue
            silent += 1
            if silent >= _SILENT_PULSES:
                silent = 0
                self._lose(self._link, f"no answer for {_SILENT_PULSES * _PULSE_S:g} s")

    def _close(self) -> None:
        self._tasks.cancel_scope.cancel()
        link, self._link = self._link, None
        if link is not None:
            link.disown()

    # --- the past ---------------------------------------------------------------------------------------------------

    def _tell_of_firing(self) -> None:
        found = record.take(self._run_dir)
        if found is None:
            return
        with contextlib.suppress(LookupError, TypeError, ValueError):  # somebody else's file
            same_boot = found["boot"] == procfs.boot_id()
            ago_s = round(self._clock.now() - float(found["fired_at"]), 3) if same_boot else None
            results = found["results"]
            why = {f"{one['group']}/{one['component']}": one["detail"] for one in results if not one["ok"]}
            self._log.emit(
                Event.GUARD_FIRED,
                reason="the lease was not renewed in time",
                ago_s=ago_s,
                duration_s=round(float(found["done_at"]) - float(found["fired_at"]), 3),
                in_time=found["in_time"],
                daemon=found["daemon"],
                components=len(results),
                left=dict(list(why.items())[:_SHOWN_MAX]),
            )
