"""One host of a lab: its power, and what runs on it."""

import os
import select
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from failoverd import procfs
from failoverd.kernel import cgroups
from tests.hosts.commands import LabFailed
from tests.hosts.network import Network
from tests.hosts.storage import lose_what_is_not_written, wait_released

INIT = Path(__file__).parent / "init.sh"
UP_TIMEOUT_S = 10.0
DEAD_TIMEOUT_S = 10.0
RUN_TIMEOUT_S = 20.0
SIGNAL_SWEEPS_MAX = 100
POLL_S = 0.01
PATIENCE_S = 30.0
ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "HOME", "PYTHONPATH", "PYTHONWARNINGS")
"""What a host's processes are given of ours."""


def boottime() -> float:
    """CLOCK_BOOTTIME, seconds: the same on all hosts of a lab, which are one kernel."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def until(what: str, true: Callable[[], Any], within_s: float = PATIENCE_S, why: Callable[[], Any] = str) -> Any:
    """What ``true`` returned once it was not false. Raises ``LabFailed``, with what ``why`` says then."""
    deadline = boottime() + within_s
    while not (found := true()):
        if boottime() > deadline:
            raise LabFailed(f"not within {within_s:g}s: {what}\n{why()}")
        time.sleep(POLL_S)
    return found


@dataclass(frozen=True, kw_only=True)
class Running:
    """A process on a host, held by its pidfd: a number used anew hits nobody."""

    host: str
    pid: int
    """Outside."""
    inner: int
    """On the host."""
    descriptor: int

    @property
    def alive(self) -> bool:
        return not select.select([self.descriptor], [], [], 0)[0]

    def signal(self, number: signal.Signals) -> None:
        """Nothing where it is gone."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.descriptor, number)

    def wait(self, timeout_s: float = 10.0) -> None:
        """Until it has ended. Raises ``LabFailed``."""
        if not select.select([self.descriptor], [], [], timeout_s)[0]:
            raise LabFailed(f"process {self.inner} on host {self.host} has not ended within {timeout_s:g}s")

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.wait()

    def __del__(self) -> None:
        with suppress(OSError):
            os.close(self.descriptor)


@dataclass(kw_only=True)
class Host:
    name: str
    network: Network
    lab: Path
    """The lab's directory, the same inside and outside."""
    shell: subprocess.Popen[bytes] | None = None
    """unshare(1), the parent of the host's init."""
    init: Running | None = None
    namespace: str = ""
    """What /proc/PID/ns/pid shows of its processes."""
    _to_remove: bool = False
    """Its network namespace is still there, with all that the kernel holds in it: cut off, and nobody waits for it."""
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def disk(self) -> Path:
        """What survives a power cut: the host's own /etc and /var, and whatever a test keeps there."""
        return self.lab / self.name

    @property
    def on(self) -> bool:
        return self.init is not None and self.init.alive

    def address(self, link: int = 0) -> str:
        return self.network.address(self.name, link)

    def path(self, inside: str | Path) -> Path:
        """Where a file of the host is seen from outside, while it is on. Sockets can be connected to there too."""
        return Path(f"/proc/{self._init().pid}/root{inside}")

    def _init(self) -> Running:
        if self.init is None or not self.init.alive:
            raise LabFailed(f"host {self.name} is off")
        return self.init

    # --- power --------------------------------------------------------------------------------------------------

    def power_on(self) -> None:
        """Returns when it is up. Only from the main thread: the kernel ends a host with the thread that started it."""
        assert threading.current_thread() is threading.main_thread()
        assert not self.on, f"{self.name} is on"
        if self._to_remove:
            self.network.remove(self.name)
            self._to_remove = False
        self.network.connect(self.name)
        self.disk.mkdir(parents=True, exist_ok=True)
        with (self.lab / f"{self.name}.init.log").open("ab") as log:
            self.shell = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL", "ip", "netns", "exec", self.network.namespace(self.name)),
                    *("unshare", "--fork", "--pid", "--mount", "--uts", "--ipc", "--mount-proc", "--kill-child"),
                    *("/bin/bash", str(INIT), self.name, str(self.lab), str(self.disk)),
                ],
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # a Ctrl-C is for us to handle
            )
        self._wait_up(self.shell)
        (pid,) = (pid for pid in procfs.pids() if (it := procfs.stat(pid)) and it.ppid == self.shell.pid)
        self.init = Running(host=self.name, pid=pid, inner=1, descriptor=os.pidfd_open(pid))
        self.namespace = os.readlink(f"/proc/{pid}/ns/pid")  # noqa: PTH115 (of every process, often)

    def _wait_up(self, shell: subprocess.Popen[bytes]) -> None:
        assert shell.stdout is not None
        with shell.stdout as said:
            if not select.select([said], [], [], UP_TIMEOUT_S)[0] or said.readline() != b"up\n":
                shell.kill()
                shell.wait(DEAD_TIMEOUT_S)
                why = (self.lab / f"{self.name}.init.log").read_text(errors="replace")
                raise LabFailed(f"host {self.name} did not come up:\n{why}")

    def cut_power(self) -> float:
        """From one moment to the next nothing of it is heard and nothing runs; what was not on its disk is lost.
        Returns when that began (CLOCK_BOOTTIME, before anything was done). From any thread, and for any state."""
        with self._lock:
            groups = control_groups(self.pids()) if self.init is not None else set()
            at = boottime()
            if self.init is None or self.shell is None:
                return at
            self.network.disconnect(self.name)
            disks = lose_what_is_not_written(self.init.pid)
            self.init.kill()  # its namespace's processes are dead once it is
            self.shell.wait(DEAD_TIMEOUT_S)
            wait_released(disks, DEAD_TIMEOUT_S)
            for group in groups:
                cgroups.remove(group)
            self.init = self.shell = None
            self._to_remove = True
            return at

    # --- what runs on it ----------------------------------------------------------------------------------------

    def argv(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs ``argv`` on the host."""
        return ["nsenter", "-t", str(self._init().pid), "-m", "-u", "-i", "-n", "-p", "--", *argv]

    def run(
        self,
        *argv: str,
        text: str | None = None,
        timeout_s: float = RUN_TIMEOUT_S,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """A program, to its end; by force after ``timeout_s`` (return code -9)."""
        bounded = ["timeout", "--signal=KILL", f"{timeout_s:g}", *argv]
        return subprocess.run(
            self.argv(bounded),
            env=environment(env),
            input=text or "",
            capture_output=True,
            text=True,
            timeout=timeout_s + DEAD_TIMEOUT_S,
            check=False,
        )

    def sh(self, script: str, timeout_s: float = RUN_TIMEOUT_S) -> str:
        """A shell script that must succeed; returns what it wrote to standard output. Raises ``LabFailed``."""
        done = self.run("/bin/sh", "-euc", script, timeout_s=timeout_s)
        if done.returncode:
            raise LabFailed(f"{self.name}: {script}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def reaches(self, address: str, within_s: float = 0.3) -> bool:
        """Whether somebody there answers: a closed port's refusal is an answer too."""
        done = self.run("timeout", f"{within_s:g}", "bash", "-c", f"echo >/dev/tcp/{address}/9")
        return done.returncode == 0 or "refused" in done.stderr

    def spawn(self, *argv: str, log: Path, env: Mapping[str, str] | None = None) -> Running:
        """A program that goes on, as a child of the host's init, with a session of its own."""
        wanted = " ".join(shlex.quote(word) for word in argv)
        script = f"setsid {wanted} </dev/null >>{shlex.quote(str(log))} 2>&1 & echo $!"
        done = self.run("/bin/sh", "-euc", script, env=env)
        if done.returncode:
            raise LabFailed(f"{self.name}: {wanted}: {done.stderr}")
        return self.process(int(done.stdout))

    def process(self, inner: int) -> Running:
        """By its pid on the host. Raises ``LabFailed``."""
        for pid in self.pids():
            if inner_pid(pid) == inner:
                with suppress(ProcessLookupError):
                    return self.held(pid)
        raise LabFailed(f"there is no process {inner} on host {self.name}")

    def held(self, pid: int) -> Running:
        """By its pid outside. Raises ``ProcessLookupError``."""
        return Running(host=self.name, pid=pid, inner=inner_pid(pid) or 0, descriptor=os.pidfd_open(pid))

    def pids(self) -> Iterator[int]:
        """All its processes, as numbered outside; not those that enter it from outside, before they have."""
        for pid in procfs.pids():
            with suppress(OSError):
                if os.readlink(f"/proc/{pid}/ns/pid") == self.namespace:  # noqa: PTH115 (of every process, often)
                    yield pid

    def pause(self) -> None:
        """SIGSTOP to everything but its init, until nothing is left that runs: a paused machine, as far as its
        processes go (its kernel still answers pings and accepts connections)."""
        self._signal_all(signal.SIGSTOP, "Tt")

    def resume(self) -> None:
        self._signal_all(signal.SIGCONT, "RSDI")

    def _signal_all(self, number: signal.Signals, states: str) -> None:
        init = self._init()
        for _ in range(SIGNAL_SWEEPS_MAX):
            left = [pid for pid in self.pids() if pid != init.pid and not in_state(pid, states)]
            if not left:
                return
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            time.sleep(0.002)
        raise LabFailed(f"processes on host {self.name} do not obey {number.name}: {left}")


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    return {name: os.environ[name] for name in ENVIRONMENT if name in os.environ} | dict(more or {})


def control_groups(pids: Iterable[int]) -> set[str]:
    """The directories of those that failoverd has made for them: a machine loses them with its power."""
    trees = cgroups.hierarchies(Path("/proc/self/mountinfo").read_text())
    found: set[str] = set()
    for pid in pids:
        with suppress(OSError):
            said = Path(f"/proc/{pid}/cgroup").read_text()
            names = {tree: cgroups.group_of(said, tree) or "" for tree in trees}
            found |= {tree.place(name) or "" for tree, name in names.items() if name.startswith("/failoverd-")}
    return found - {""}


def inner_pid(pid: int) -> int | None:
    """In its own pid namespace; None where it is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                return int(line.split()[-1])
    return None


def in_state(pid: int, states: str) -> bool:
    """Or gone."""
    it = procfs.stat(pid)
    return it is None or not it.alive or it.state in states
