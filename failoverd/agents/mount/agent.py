"""The operations of the ``mount`` type."""

import os
import select
from collections.abc import Awaitable, Callable
from dataclasses import replace

import anyio
from anyio import CapacityLimiter

from failoverd.agents.commands import describe
from failoverd.agents.mount import programs
from failoverd.agents.mount.busy import Busy, still_used_by
from failoverd.agents.mount.params import MountParams
from failoverd.errors import SpawnFailed
from failoverd.kernel.mounts import (
    TABLE,
    Mount,
    Spec,
    at,
    bound_by,
    device_path,
    elsewhere,
    in_use,
    loops_of,
    ours,
    table,
)
from failoverd.ports import AgentHost, Call, MountWill, Outcome, Presence, Probe, Result, RunResult, Will

_PAUSE_S = 0.02
_PAUSE_MAX_S = 0.25
_RELEASE_S = 5.0
_PRESSES = 5
"""So often those who hold it are signalled before it is detached all the same, where that is wished."""
_BUSY = "busy"
_CANNOT_FIND = (126, 127)
_RESOLVE_S = 5.0


class _Refused(Exception):  # noqa: N818 (what is the case)
    """An operation cannot go on; the text is for the operator."""

    def __init__(self, detail: str, output: str = "", outcome: Outcome = Outcome.FAILED) -> None:
        super().__init__(detail)
        self.result = Result(outcome=outcome, detail=detail, output=output)


class MountAgent:
    def __init__(self, params: MountParams, host: AgentHost, threads: CapacityLimiter) -> None:
        self._params = params
        self._spawner = host.spawner
        self._threads = threads
        self._file = f".failoverd-{host.group}-{host.component}"
        self._spec: Spec | None = None
        """With the directory as the kernel names it: without symbolic links."""

    # --- ports.Agent --------------------------------------------------------------------------------------------

    async def probe(self, call: Call) -> Probe:
        until = anyio.current_time() + call.timeout_s
        try:
            found = self._judge(await self._resolved(call), table())
        except (OSError, ValueError) as error:
            return Probe(presence=Presence.UNKNOWN, detail=f"the table of mounts cannot be read: {error}")
        if found.presence is not Presence.ONLINE:
            return found
        return await self._test(until)

    async def prepare(self, _call: Call) -> Result:
        return Result(outcome=Outcome.DONE)

    async def online(self, call: Call) -> Result:
        return await self._timed(call, self._online)

    async def offline(self, call: Call) -> Result:
        return await self._timed(call, self._offline)

    async def clean(self, call: Call) -> Result:
        return await self._timed(call, self._clean)

    async def watch(self, call: Call) -> Probe | None:
        """The kernel tells of every change of the table by a priority event of its file (proc_pid_mountinfo(5)); a poll
        set of its own turns that into one that an event loop can wait for."""
        try:
            descriptor = os.open(TABLE, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None  # no file descriptor is free: it is polled
        try:
            with select.epoll() as changes:
                changes.register(descriptor, select.EPOLLPRI)
                return await self._watch(call, changes)
        finally:
            os.close(descriptor)

    async def _watch(self, call: Call, changes: select.epoll) -> Probe | None:
        spec = await self._resolved(call)
        while True:
            changes.poll(0)  # before it is looked: what happens from now on is told again
            try:
                found = self._judge(spec, table())
            except (OSError, ValueError):
                return None
            if found.presence is not Presence.ONLINE:
                detail = found.detail or f"was unmounted from {spec.directory}"
                return Probe(presence=found.presence, detail=detail)
            await anyio.wait_readable(changes.fileno())

    def will(self, call: Call) -> Will | None:
        """``ports.Testator``."""
        spec, busy = self._spec or self._params.spec, self._params.busy
        if spec.kind == "bind":
            spec = spec._replace(identity=self._bound(spec))
        lazy = busy.lazy
        return MountWill(spec=spec._asdict(), signal=busy.signal.strongest, lazy=lazy, timeout_s=call.timeout_s)

    # --- looking ------------------------------------------------------------------------------------------------

    async def _resolved(self, call: Call) -> Spec:
        """What is meant, under the name that the kernel gives the directory. Only its parent is looked up, and by a
        program: it may be on storage that does not answer."""
        if self._spec is None:
            spec = self._params.spec
            parent, _, name = spec.directory.rpartition("/")
            try:
                result = await self._run(programs.resolve(parent or "/"), min(call.timeout_s, _RESOLVE_S))
            except _Refused:
                return spec
            path = result.output.rstrip("\n")
            if result.exit_status != 0 or not path.startswith("/"):
                return spec
            self._spec = spec._replace(directory=f"{path.rstrip('/')}/{name}")
        return self._spec

    def _bound(self, spec: Spec) -> tuple[str, str] | None:
        mounts = table()
        there = at(spec.directory, mounts)
        return bound_by(spec.device, [one for one in mounts if one not in there])

    def _judge(self, spec: Spec, mounts: list[Mount]) -> Probe:
        there, found = at(spec.directory, mounts), ours(spec, mounts)
        other = elsewhere(spec, mounts)
        if other:
            where = ", ".join(sorted({one.directory for one in other}))
            return Probe(presence=Presence.FAILED, detail=f"{spec.device} is mounted on {where}")
        if not found:
            detail = f"{_shown(there[-1])} is mounted on {spec.directory} instead" if there else ""
            return Probe(presence=Presence.OFFLINE, detail=detail)
        if there[-1] not in found:
            detail = f"{_shown(there[-1])} is mounted over it"
            return Probe(presence=Presence.FAILED, detail=detail)
        if found[-1].read_only and not self._params.read_only:
            return Probe(presence=Presence.FAILED, detail=f"{spec.directory} has become read-only")
        return Probe(presence=Presence.ONLINE)

    async def _test(self, until: float) -> Probe:
        command = programs.test(self._params, device_path(self._params.source), self._file)
        if command is None:
            return Probe(presence=Presence.ONLINE)
        try:
            result = await self._run(command, until - anyio.current_time())
        except _Refused as refused:
            return Probe(presence=Presence.UNKNOWN, detail=str(refused))
        if result.exit_status == 0 and not result.timed_out:
            return Probe(presence=Presence.ONLINE)
        return Probe(presence=Presence.FAILED, detail=f"{self._params.test} test: {_says(result)}")

    # --- online -------------------------------------------------------------------------------------------------

    async def _online(self, call: Call, until: float) -> Result:
        params, spec = self._params, await self._resolved(call)
        mounts = table()
        found = self._judge(spec, mounts)
        if found.presence is Presence.ONLINE:
            return Result(outcome=Outcome.DONE, detail="was mounted already")
        if found.presence is not Presence.OFFLINE or at(spec.directory, mounts):
            raise _Refused(f"not mounted: {found.detail}")
        if params.make_directory:
            await self._must(programs.make_directory(params), until)
        await self._check(until)
        await self._must(programs.mount(params), until)
        found = self._judge(spec, table())
        if found.presence is not Presence.ONLINE:
            raise _Refused(f"mounted, but {found.detail or 'not to be found'}")
        return Result(outcome=Outcome.DONE)

    async def _check(self, until: float) -> None:
        command = programs.check(self._params, device_path(self._params.source))
        if command is None:
            return
        result = await self._run(command, until - anyio.current_time())
        if result.exit_status in _CANNOT_FIND:
            raise _Refused(f"{command[0]} is not installed: install it, or say 'fsck: never'")
        if result.timed_out or result.exit_status is None or result.exit_status > programs.ALREADY_CORRECTED:
            outcome = Outcome.TIMED_OUT if result.timed_out else Outcome.FAILED
            raise _Refused(f"{command[0]}: {_says(result)}", result.output, outcome)

    # --- offline ------------------------------------------------------------------------------------------------

    async def _offline(self, call: Call, until: float) -> Result:
        return await self._unmount(await self._resolved(call), until, forced=False)

    async def _clean(self, call: Call, until: float) -> Result:
        return await self._unmount(await self._resolved(call), until, forced=True)

    async def _unmount(self, spec: Spec, until: float, *, forced: bool) -> Result:
        note = ""
        while found := ours(spec, mounts := table()):
            top = at(spec.directory, mounts)[-1]
            if top not in found:
                raise _Refused(f"{_shown(top)} is mounted over it: not touched")
            note = await self._away(spec, found[-1], until, forced=forced)
            await self._released(spec, found[-1], until)
        if other := elsewhere(spec, mounts):
            raise _Refused(f"{spec.device} is mounted on {other[0].directory}: not touched")
        return Result(outcome=Outcome.DONE, detail=note)

    async def _away(self, spec: Spec, mount: Mount, until: float, *, forced: bool) -> str:
        """Unmount it; what had to be done about those who held it."""
        busy, pause, presses = Busy(mount, self._params.busy, self._threads, forced), _PAUSE_S, 0
        network, lazy = spec.kind == "network", forced and self._params.busy.lazy
        while True:
            left = until - anyio.current_time()
            result = await self._run(programs.unmount(spec.directory, force=forced and network), left / (1 + lazy))
            if result.exit_status == 0 or all(one.number != mount.number for one in table()):
                return f"signalled {', '.join(busy.signalled[:6])}" if busy.signalled else ""
            held = _BUSY in result.output
            if lazy and (not held or presses >= _PRESSES):
                await self._must(programs.unmount(spec.directory, force=network, lazy=True), until)
                return f"detached by force: {busy.describe() if held else _says(result)}"
            if not held:
                outcome = Outcome.TIMED_OUT if result.timed_out else Outcome.FAILED
                raise _Refused(f"umount: {_says(result)}", result.output, outcome)
            await busy.press()
            presses += 1
            if anyio.current_time() + pause >= until:
                raise _Refused(f"not unmounted, {busy.describe()}", outcome=Outcome.TIMED_OUT)
            await anyio.sleep(pause)
            pause = min(pause * 1.5, _PAUSE_MAX_S)

    async def _released(self, spec: Spec, mount: Mount, until: float) -> None:
        """Unmounted is not enough: another mount namespace, or a process after it was detached, may keep it."""
        until = min(until, anyio.current_time() + _RELEASE_S)
        while in_use(mount) or (spec.kind == "image" and loops_of(spec.device)):
            if any(one.device == mount.device for one in table()):
                return  # mounted more than once, and more is to come, or it is reported
            if anyio.current_time() >= until:
                raise _Refused(await still_used_by(mount, self._threads))
            await anyio.sleep(_PAUSE_S / 4)

    # --- programs -----------------------------------------------------------------------------------------------

    async def _must(self, command: tuple[str, ...], until: float) -> None:
        result = await self._run(command, until - anyio.current_time())
        if result.exit_status != 0 or result.timed_out:
            outcome = Outcome.TIMED_OUT if result.timed_out else Outcome.FAILED
            raise _Refused(f"{command[0]}: {_says(result)}", result.output, outcome)

    async def _run(self, command: tuple[str, ...], timeout_s: float) -> RunResult:
        if timeout_s <= 0:
            raise _Refused(f"there was no time left for {command[0]}", outcome=Outcome.TIMED_OUT)
        try:
            return await self._spawner.run(programs.request(command, timeout_s))
        except SpawnFailed as error:
            raise _Refused(str(error), outcome=Outcome.UNAVAILABLE) from error

    async def _timed(self, call: Call, operation: Callable[[Call, float], Awaitable[Result]]) -> Result:
        try:
            return await operation(call, anyio.current_time() + call.timeout_s)
        except _Refused as refused:
            result = refused.result
            return Result(outcome=result.outcome, detail=f"{call.action}: {result.detail}", output=result.output)
        except (OSError, ValueError) as error:
            return Result(outcome=Outcome.FAILED, detail=f"{call.action}: the table of mounts cannot be read: {error}")


def _says(result: RunResult) -> str:
    """How a program ended, with the first line that it printed: mount(8) goes on with advice."""
    return describe(replace(result, output=result.output.strip().partition("\n")[0]))


def _shown(one: Mount) -> str:
    return one.source if one.source.startswith("/") or ":" in one.source else f"{one.fstype} ({one.source})"
