"""The operations of the ``process`` type."""

import contextlib
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
from anyio import to_thread

from failoverd.agents.commands import request
from failoverd.agents.process.census import Census, Member, leader_of
from failoverd.agents.process.ending import Ending, wait_for_end
from failoverd.agents.process.identity import MARK, Identity, StateFile, StateUnreadable, mark_prefix, new_mark
from failoverd.agents.process.notify import VARIABLE, Notifications
from failoverd.agents.process.params import ProcessParams
from failoverd.agents.process.place import Place
from failoverd.agents.process.ready import ReadyCheck
from failoverd.agents.process.start import Starter
from failoverd.agents.process.whole import Whole
from failoverd.errors import SpawnerLost, SpawnFailed
from failoverd.ports import AgentHost, Call, MarkWill, Outcome, Presence, Probe, Result, RunResult, Will, last_line

_FORCE_S = 2.0
"""Of an offline's time, what is kept for killing."""
_TAIL_BYTES = 16 * 1024
_ASK_AGAIN_S = 0.05


@dataclass(frozen=True, slots=True)
class _Found:
    main: Identity | None
    rest: tuple[Member, ...] = ()
    """What runs of it without its main process."""
    marks: int = 1
    """How many instances there are: more than one is a fault."""
    note: str = ""


class ProcessAgent:
    def __init__(self, params: ProcessParams, host: AgentHost, census: Census, place: Place, starter: Starter) -> None:
        self._params = params
        self._host = host
        self._file = StateFile(host)
        self._prefix = mark_prefix(host)
        self._place = place
        self._starter = starter
        self._whole = Whole(census, self._prefix, place)
        self._identity: Identity | None = None
        self._absent = False
        """Nothing of it runs: seen by this object, which since then has started nothing."""
        self._doing = ""

    # --- ports.Agent --------------------------------------------------------------------------------------------

    async def probe(self, call: Call) -> Probe:
        with anyio.move_on_after(call.timeout_s):
            try:
                found = _judge(await self._look(trust_absence=False))
                coming = await self._starter.under_way(cancel=False) if found.presence is Presence.OFFLINE else ""
            except OSError as error:  # no file descriptor is free, /proc is not there
                return Probe(presence=Presence.UNKNOWN, detail=f"its processes cannot be looked for: {error}")
            return Probe(presence=Presence.UNKNOWN, detail=coming) if coming else found
        return Probe(presence=Presence.UNKNOWN, detail="looking for its processes timed out")

    async def prepare(self, _call: Call) -> Result:
        return Result(outcome=Outcome.DONE)

    async def online(self, call: Call) -> Result:
        return await self._timed(call, self._online)

    async def offline(self, call: Call) -> Result:
        return await self._timed(call, self._offline)

    async def clean(self, call: Call) -> Result:
        return await self._timed(call, self._clean)

    async def watch(self, call: Call) -> Probe | None:
        try:
            found = await self._look(trust_absence=False)
            if found.main is None:
                return _judge(found)
            await wait_for_end(found.main)
        except OSError:
            return None  # no file descriptor is free: it is polled
        probe = await self.probe(call)
        detail = "; ".join(filter(None, (f"its process {found.main.pid} ended", probe.detail)))
        return Probe(presence=probe.presence, detail=detail)

    def will(self, _call: Call) -> Will | None:
        """``ports.Testator``."""
        main = self._identity
        known = main is not None and main.this_boot
        return MarkWill(
            mark=f"{MARK}={self._prefix}",
            main=main.detached if main and known else None,
            cgroups=self._place.directories,
        )

    # --- finding ------------------------------------------------------------------------------------------------

    async def _look(self, *, trust_absence: bool) -> _Found:
        """Cheap while it runs, and where it is known to be absent (if that may be relied on); else a walk through
        /proc and its control groups decide, whatever became of the state file."""
        note = ""
        if self._identity is None:
            try:
                self._identity = self._file.load()
            except StateUnreadable as error:
                note = str(error)
        if self._identity is not None and self._identity.alive:
            self._absent = False
            self._starter.runs()
            return _Found(self._identity)
        if trust_absence and self._absent and not self._whole.grouped():
            return _Found(None)
        members = await self._whole.members(self._identity)
        self._absent = not members
        marks = len({one.mark for one in members} - {""})
        leader = leader_of(members, self._identity.mark if self._identity else "")
        if leader is not None and marks == 1:
            return _Found(self._adopt(leader), note=note)
        return _Found(None, tuple(members), marks, note)

    def _adopt(self, leader: Member) -> Identity:
        """The state file was lost, the instance was not."""
        self._identity = Identity.of_stat(leader.stat, leader.mark)
        self._save(self._identity)
        return self._identity

    def _save(self, identity: Identity) -> str:
        """What to tell the operator where it cannot be written; it is found by its mark all the same."""
        try:
            self._file.save(identity)
        except OSError as error:
            return f"state file {self._file.path} cannot be written: {error.strerror}"
        return ""

    # --- online -------------------------------------------------------------------------------------------------

    async def _online(self, call: Call) -> Result:
        found = await self._look(trust_absence=True)
        if found.main is not None:
            return await self._prove(call, found.main, f"was running already (pid {found.main.pid})")
        if found.rest:
            return Result(outcome=Outcome.FAILED, detail=f"not started: {_remains(found.rest)}")
        if not (self._params.ready and self._params.ready.notify):
            return await self._start(call, None)
        with Notifications() as socket:
            return await self._start(call, socket)

    async def _start(self, call: Call, socket: Notifications | None) -> Result:
        self._absent = False
        self._doing = "being started"
        mark = new_mark(self._host)
        extra = {MARK: mark} if socket is None else {MARK: mark, VARIABLE: socket.address}
        order = request(self._params.command, call, self._params, call.timeout_s, extra)
        try:
            detached = await self._starter.start(order)
        except SpawnerLost as error:
            output = await self._tail()
            said = f": {line}" if (line := last_line(output)) else ""
            return Result(outcome=Outcome.FAILED, detail=f"online: {error}{said}", output=output)
        except SpawnFailed as error:
            await self._whole.remove()
            return Result(outcome=Outcome.UNAVAILABLE, detail=f"online: {error}")
        self._identity = Identity.of(detached, call.generation, mark)
        return await self._prove(call, self._identity, self._save(self._identity), socket)

    async def _prove(self, call: Call, main: Identity, note: str, socket: Notifications | None = None) -> Result:
        """It has not ended at once, and is ready where that can be asked."""
        early = anyio.Event()
        async with anyio.create_task_group() as tasks:

            async def ended() -> None:
                with contextlib.suppress(OSError):  # no file descriptor is free: then it is asked below
                    await wait_for_end(main)
                    early.set()
                    tasks.cancel_scope.cancel()

            tasks.start_soon(ended)
            await self._until_ready(call, main, socket)
            tasks.cancel_scope.cancel()
        if early.is_set() or not main.alive:
            return await self._ended_at_once(main)
        return Result(outcome=Outcome.DONE, detail=note)

    async def _until_ready(self, call: Call, main: Identity, socket: Notifications | None) -> None:
        if self._params.ready is None:
            self._doing = "being watched for an early end"
            await anyio.sleep(self._params.settle)
            return
        if self._params.ready.notify:
            await self._until_told(main, socket)
            return

        async def run(command: Sequence[str] | str, timeout_s: float) -> RunResult:
            return await self._host.spawner.run(request(command, call, self._params, timeout_s))

        check = ReadyCheck(self._params.ready, run)
        try:
            await check.wait()
        finally:
            self._doing = f"not ready: {check.why}"

    async def _until_told(self, main: Identity, socket: Notifications | None) -> None:
        """It is said once: kept, for whoever asks again."""
        if main.ready:
            return
        if socket is None:
            self._doing = "not known to be ready: failoverd was restarted while it came online"
            await anyio.sleep_forever()
            return
        try:
            await socket.ready(main.pid)
        finally:
            said = f", but {socket.status!r:.100}" if socket.status else ""
            self._doing = f"not ready: it has not said READY=1{said}"
        self._identity = replace(main, ready=True)
        self._save(self._identity)

    async def _ended_at_once(self, main: Identity) -> Result:
        """Something that put itself into the background is not left running unsupervised."""
        found = await self._look(trust_absence=False)
        output = await self._tail()
        detail = f"online: process {main.pid} ended before it was ready"
        if found.rest:
            detail += "; what it left in the background was killed: the command must stay in the foreground"
            await Ending(self._whole, main).by_force()
        if line := last_line(output):
            detail += f": {line}"
        await self._forget()
        return Result(outcome=Outcome.FAILED, detail=detail, output=output)

    async def _tail(self) -> str:
        return await to_thread.run_sync(_tail, self._params.output_file, abandon_on_cancel=True)

    # --- offline ------------------------------------------------------------------------------------------------

    async def _offline(self, call: Call) -> Result:
        most = max(call.timeout_s - _FORCE_S, call.timeout_s / 2)
        return await self._end(min(self._params.stop_timeout, most))

    async def _clean(self, _call: Call) -> Result:
        return await self._end(0.0)

    async def _end(self, patience_s: float) -> Result:
        while coming := await self._starter.under_way(cancel=True):
            self._doing = coming
            await anyio.sleep(_ASK_AGAIN_S)
        found = await self._look(trust_absence=True)
        if found.main is None and not found.rest and self._absent:
            await self._forget()
            return Result(outcome=Outcome.DONE)
        self._doing = "being ended"
        ending = Ending(self._whole, self._identity)
        if patience_s > 0:
            await ending.gracefully(self._params.signal_number, patience_s)
        try:
            await ending.by_force()
        finally:
            self._doing = f"still there: {_remains(ending.left)}" if ending.left else ""
        await self._forget()
        return Result(outcome=Outcome.DONE, detail=_how(ending, patience_s))

    async def _forget(self) -> None:
        """Nothing of it runs any more."""
        self._identity = None
        self._absent = True
        self._file.forget()
        await self._whole.remove()

    # --- time ---------------------------------------------------------------------------------------------------

    async def _timed(self, call: Call, operation: Callable[[Call], Awaitable[Result]]) -> Result:
        self._doing = "looking for it in /proc"
        with anyio.move_on_after(call.timeout_s):
            try:
                return await operation(call)
            except OSError as error:  # no file descriptor is free, /proc is not there
                return Result(outcome=Outcome.FAILED, detail=f"{call.action}: {error}")
        return Result(outcome=Outcome.TIMED_OUT, detail=f"{call.action}: timed out, {self._doing}")


def _judge(found: _Found) -> Probe:
    if found.marks > 1:
        return Probe(presence=Presence.FAILED, detail=f"more than one instance runs: {_remains(found.rest)}")
    if found.main is not None:
        return Probe(presence=Presence.ONLINE, detail=found.note)
    if found.rest:
        return Probe(presence=Presence.FAILED, detail=f"its main process is gone, but {_remains(found.rest)}")
    return Probe(presence=Presence.OFFLINE, detail=found.note)


def _remains(members: tuple[Member, ...] | list[Member]) -> str:
    pids = ", ".join(str(one.pid) for one in members[:8])
    return f"{len(members)} of its processes run (pid {pids}{', …' if len(members) > 8 else ''})"


def _how(ending: Ending, patience_s: float) -> str:
    if ending.forced and patience_s > 0:
        return f"did not end within {patience_s:g} s and was killed"
    return ""


def _tail(path: str | None) -> str:
    """The last part of its output file."""
    if path is None:
        return ""
    try:
        with Path(path).open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            return file.read(_TAIL_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
