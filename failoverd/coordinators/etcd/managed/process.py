"""The etcd process of this node: found, started, waited for, ended.

It is known by an entry of its environment, so that a daemon that was restarted finds it again whatever else it has
lost, and it belongs to nobody: it outlives the daemon.
"""

import contextlib
import os
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio import to_thread

from failoverd import procfs
from failoverd.config.managed import PROGRAM
from failoverd.coordinators.etcd.managed.layout import Layout
from failoverd.errors import FailoverdError, SpawnFailed
from failoverd.ports import RunRequest, Spawner

MARK = "FAILOVERD_ETCD"
NICE = -15
"""nice(1), where permitted; the kernel then also serves its writes first (ioprio_set(2)). As the daemon itself: a vote
that comes late is a lease that is renewed late. No real-time policy: its garbage collector would starve the daemon."""
STOP_S = 10.0
"""Between SIGTERM, upon which it hands leadership over, and SIGKILL."""
POLL_S = 0.2
"""Where there is no descriptor left to wait with."""
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class CannotRun(FailoverdError):  # noqa: N818 (what is the case)
    """The member cannot be started now; the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    pid: int
    start_ticks: int
    fingerprint: str
    """Of the configuration that it was started with."""

    @property
    def alive(self) -> bool:
        there = procfs.stat(self.pid)
        return there is not None and there.start_ticks == self.start_ticks and there.alive

    async def wait(self) -> None:
        """Until it has ended."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        except OSError:  # no descriptors left
            while self.alive:  # noqa: ASYNC110 (/proc has no event)
                await anyio.sleep(POLL_S)
            return
        try:
            if self.alive:  # asked after the descriptor was taken: so it is of this very process
                await anyio.wait_readable(descriptor)
        finally:
            os.close(descriptor)

    async def end(self) -> None:
        """Politely, then by force. Takes ``STOP_S`` and a moment at most."""
        with anyio.move_on_after(STOP_S):
            self._signal(signal.SIGTERM)
            self._signal(signal.SIGCONT)
            await self.wait()
        if self.alive:
            self._signal(signal.SIGKILL)
            with anyio.move_on_after(STOP_S):
                await self.wait()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            descriptor = os.pidfd_open(self.pid)
            try:
                if self.alive:
                    signal.pidfd_send_signal(descriptor, number)
            finally:
                os.close(descriptor)


class MemberProcess:
    def __init__(self, layout: Layout, spawner: Spawner, environment: Mapping[str, str]) -> None:
        """``environment``: the daemon's own, of which the member gets the PATH."""
        self._layout = layout
        self.spawner = spawner
        self.path = environment.get("PATH") or DEFAULT_PATH
        where = os.fsencode(layout.data_dir.resolve())
        self._mark = f"{MARK}={layout.cluster}/{layout.node}/{where.hex()}/"

    async def find(self) -> Running | None:
        """Whether one runs on our data, from whatever daemon."""
        return await to_thread.run_sync(find, self._mark.encode(), abandon_on_cancel=True)

    def check(self) -> None:
        """Raises ``CannotRun`` where etcd is not installed."""
        self._program()

    async def start(self, fingerprint: str) -> Running:
        """With the configuration file as it is. Raises ``CannotRun``."""
        program = self._program()
        argv: tuple[str, ...] = (str(program), "--config-file", str(self._layout.config_file))
        nice = shutil.which("nice", path=self.path)
        if nice is not None:
            argv = (nice, "-n", str(NICE), *argv)
        name, _, value = (self._mark + fingerprint).partition("=")
        env = {
            "PATH": self.path,
            "FAILOVERD_CLUSTER": self._layout.cluster,
            "FAILOVERD_NODE": self._layout.node,
            name: value,
        }
        request = RunRequest(argv=argv, env=env, timeout_s=STOP_S)
        try:
            found = await self.spawner.detach(request, str(self._layout.log_file))
        except SpawnFailed as error:
            raise CannotRun(str(error)) from error
        return Running(pid=found.pid, start_ticks=found.start_ticks, fingerprint=fingerprint)

    def _program(self) -> Path:
        return found_program(PROGRAM, "etcd-server", self.path)


def found_program(name: str, package: str, search: str) -> Path:
    """``search``: as PATH. Raises ``CannotRun``, with the Debian package to install."""
    found = shutil.which(name, path=search)
    if found is not None:
        return Path(found)
    there = [Path(directory) / name for directory in search.split(":")]
    broken = next((path for path in there if path.is_file()), None)
    if broken is not None:
        raise CannotRun(f"{broken} is not executable: chmod +x it, or apt-get install --reinstall {package}")
    raise CannotRun(f"{name} is not found in PATH ({search}): apt-get install {package}")


def find(mark: bytes) -> Running | None:
    """A walk through /proc (milliseconds)."""
    for pid in procfs.pids():
        environment = procfs.environ(pid)
        if mark not in environment:
            continue
        entry = next((item for item in environment.split(b"\0") if item.startswith(mark)), None)
        there = procfs.stat(pid)
        if entry is not None and there is not None and there.alive:
            return Running(pid=pid, start_ticks=there.start_ticks, fingerprint=entry[len(mark) :].decode("ascii"))
    return None
