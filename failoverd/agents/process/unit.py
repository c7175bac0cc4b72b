"""Starting a component as a transient unit of systemd (org.freedesktop.systemd1(5), systemd.exec(5)).

Only the start is systemd's: from then on the component is a control group like any other, which is looked at, signalled
and killed directly. So its end waits for no bus, and the guard needs none. systemd sees its unit end, and forgets it.
"""

import contextlib
import shutil
from collections.abc import Sequence
from typing import Any, Protocol

import anyio
from anyio import to_thread

from failoverd import procfs
from failoverd.agents.commands import DEFAULT_PATH
from failoverd.agents.process.params import JOURNAL, ProcessParams
from failoverd.agents.systemd.manager import MANAGER, PATH, NoAnswer, Refusal
from failoverd.agents.systemd.state import UnitState
from failoverd.errors import SpawnerLost, SpawnFailed
from failoverd.ports import Detached, RunRequest

_LOOK_AGAIN_S = 1.0
_PAUSE_S = 0.01
_EXISTS = "org.freedesktop.systemd1.UnitExists"
_NOT_LOADED = "org.freedesktop.systemd1.NoSuchUnit"
_SERVICE = "org.freedesktop.systemd1.Service"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_FOREVER = (1 << 64) - 1
_SIGKILL = 9

Property = tuple[str, str, Any]
"""Name, D-Bus signature, value."""


class Systemd(Protocol):
    """What is asked of systemd (``agents.systemd.manager.Manager``). All coroutines raise NoAnswer, ``call`` Refusal
    too."""

    async def connect(self) -> None: ...

    async def call(
        self, member: str, signature: str = "", body: Sequence[Any] = (), *, path: str = PATH, interface: str = MANAGER
    ) -> list[Any]: ...

    async def state(self, unit: str) -> UnitState: ...

    async def own_unit(self) -> str: ...

    def news(self) -> anyio.Event: ...

    def ended(self, job: str) -> str | None: ...


class UnitStart:
    """``start.Starter``."""

    def __init__(self, manager: Systemd, unit: str, params: ProcessParams, description: str) -> None:
        self._manager = manager
        self._unit = unit
        self._params = params
        self._description = description
        self._doubtful = True
        """A job may be queued that starts it: of an earlier daemon, or whose reply was lost."""

    async def start(self, order: RunRequest) -> Detached:
        program = await to_thread.run_sync(_find, order, abandon_on_cancel=True)
        self._doubtful = True
        try:
            properties = self._properties(order, program, await self._manager.own_unit())
            result = await self._through(await self._begin(properties))
            found = await self._main(result)
        except Refusal as error:
            self._doubtful = False
            raise SpawnFailed(f"systemd does not start it: {error}") from error
        except NoAnswer as error:
            raise SpawnerLost(f"systemd was asked to start it: {error}") from error
        self._doubtful = False
        return found

    async def under_way(self, *, cancel: bool) -> str:
        if not self._doubtful:
            return ""
        try:
            state = await self._manager.state(self._unit)
            if state.job == 0:
                self._doubtful = False
                return ""
            if cancel:
                await self._manager.call("StopUnit", "ss", [self._unit, "ignore-dependencies"])
                await self._manager.call("KillUnit", "ssi", [self._unit, "all", _SIGKILL])
        except Refusal as error:
            return "" if error.name == _NOT_LOADED else str(error)
        except NoAnswer as error:
            return f"systemd may be about to start it: {error}"
        return f"{self._unit} is {state}"

    def runs(self) -> None:
        self._doubtful = False

    async def _begin(self, properties: list[Property]) -> str:
        """The job. A unit of that name that has ended is out of the way in a moment."""
        while True:
            try:
                return await self._ask(properties)
            except Refusal as error:
                if error.name != _EXISTS or not (await self._manager.state(self._unit)).offline:
                    raise
            with contextlib.suppress(Refusal):  # it has gone meanwhile
                await self._manager.call("ResetFailedUnit", "s", [self._unit])
            await anyio.sleep(_PAUSE_S)

    async def _ask(self, properties: list[Property]) -> str:
        await self._manager.connect()  # and with it the library is loaded, which takes long
        from dbus_fast import Variant  # noqa: PLC0415 (as said)

        body = [self._unit, "replace", [[name, Variant(kind, value)] for name, kind, value in properties], []]
        return str((await self._manager.call("StartTransientUnit", "ssa(sv)a(sa(sv))", body))[0])

    async def _through(self, job: str) -> str:
        """The job's result; empty where its end was missed."""
        while True:
            news = self._manager.news()
            if result := self._manager.ended(job):
                return result
            if (await self._manager.state(self._unit)).job == 0:
                return self._manager.ended(job) or ""
            with anyio.move_on_after(_LOOK_AGAIN_S):
                await news.wait()

    async def _main(self, result: str) -> Detached:
        path = (await self._manager.state(self._unit)).path
        pid = (await self._manager.call("Get", "ss", [_SERVICE, "MainPID"], path=path, interface=_PROPERTIES))[0].value
        there = procfs.stat(pid) if pid else None
        if there is None:
            self._doubtful = False  # the job is over
            how = "could not be started" if result == "failed" else "ended at once"
            raise SpawnerLost(f"{self._unit} {how}: journalctl -u {self._unit}")
        return Detached(pid=pid, start_ticks=there.start_ticks, boot_id=procfs.boot_id())

    def _properties(self, order: RunRequest, program: str, own_unit: str) -> list[Property]:
        params = self._params
        who = [(name, "s", value) for name, value in (("User", order.user), ("Group", order.group)) if value]
        where = [("WorkingDirectory", "s", order.cwd)] if order.cwd else []
        output: Property = ("StandardOutput", "s", JOURNAL)
        if params.output_file is not None:
            output = ("StandardOutputFileToAppend", "s", params.output_file)
        return [
            ("Description", "s", self._description),
            ("Type", "s", "exec"),
            ("ExecStartEx", "a(sasas)", [[program, list(order.argv), ["no-env-expand"]]]),
            ("Environment", "as", [f"{name}={value}" for name, value in order.env.items()]),
            *who,
            *where,
            *_limits(params),
            output,
            ("IgnoreSIGPIPE", "b", False),
            ("TasksMax", "t", _FOREVER),
            ("OOMPolicy", "s", "continue"),
            *_life(params, own_unit),
        ]


def _life(params: ProcessParams, own_unit: str) -> list[Property]:
    """When it is stopped, and by whom: by us, but by a host that shuts down once we are through, as a unit of the
    ``systemd`` type is. It waits for nothing when it is started: a job that waits could start it when it is another
    node's."""
    return [
        ("DefaultDependencies", "b", False),
        ("Conflicts", "as", ["shutdown.target"]),
        ("Before", "as", ["shutdown.target", own_unit]),
        ("Slice", "s", "system.slice"),
        ("Restart", "s", "no"),
        ("CollectMode", "s", "inactive-or-failed"),
        ("StartLimitIntervalUSec", "t", 0),
        ("TimeoutStartUSec", "t", _FOREVER),
        ("TimeoutStopUSec", "t", round(params.stop_timeout * 1e6)),
        ("KillMode", "s", "control-group"),
        ("KillSignal", "i", int(params.signal_number)),
        ("SendSIGKILL", "b", True),
    ]


def _limits(params: ProcessParams) -> list[Property]:
    found: list[Property] = []
    for name, (soft, hard) in params.rlimits.items():
        for suffix, limit in (("", hard), ("Soft", soft)):
            found.append((f"Limit{name.upper()}{suffix}", "t", _FOREVER if limit < 0 else limit))
    return found


def _find(order: RunRequest) -> str:
    """The whole path, as systemd wants it. Raises SpawnFailed."""
    name = order.argv[0]
    if "/" in name:
        return name if name.startswith("/") else f"{order.cwd or ''}/{name}"
    path = shutil.which(name, path=order.env.get("PATH", DEFAULT_PATH))
    if path is None:
        raise SpawnFailed(f"{name}: not found in PATH ({order.env.get('PATH', DEFAULT_PATH)}), or not executable")
    return path
