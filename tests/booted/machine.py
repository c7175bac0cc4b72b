"""A machine with a systemd of its own: this one's files below, what it writes in memory, its own network and cgroups.

Nothing of this machine is changed by it, and nothing of it is left afterwards. It boots in about a second.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CGROUPS = [Path("/sys/fs/cgroup") / name for name in ("systemd", "unified")]
BOOT_S = 60.0
_NEEDED = ("systemd-nspawn", "dbus-daemon", "nsenter", "mount")
_UNWANTED = ("console-getty.service", "getty.target", "systemd-timesyncd.service", "systemd-logind.service")
_CAPABILITIES = "CAP_NET_ADMIN,CAP_NET_RAW,CAP_IPC_LOCK,CAP_SYS_NICE"
_COMMAND = f'#!/bin/sh\nexec {sys.executable} -m failoverd "$@"\n'


def missing() -> str:
    """Why no machine can be booted here; empty where one can."""
    if os.geteuid() != 0:
        return "only root boots machines"
    lacking = [name for name in _NEEDED if shutil.which(name) is None]
    if lacking:
        return f"not installed: {', '.join(lacking)} (Debian: systemd-container, dbus)"
    return "" if any(path.is_dir() for path in CGROUPS) or _unified() else "no cgroups that systemd could use"


def _unified() -> bool:
    return Path("/sys/fs/cgroup/cgroup.procs").exists()


class Machine:
    def __init__(self, root: Path, leader: int, process: "subprocess.Popen[bytes]") -> None:
        self.root = root
        """Its root directory, as seen from outside."""
        self.leader = leader
        """Its first process, by our number."""
        self._process = process

    def run(self, *words: str, within_s: float = 30.0, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command inside."""
        argv = ["nsenter", "-t", str(self.leader), "--all", "--", *words]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=within_s, check=False)
        assert not check or done.returncode == 0, f"{' '.join(words)}: {done.returncode}: {done.stdout}{done.stderr}"
        return done

    def systemctl(self, words: str, *, check: bool = True, within_s: float = 30.0) -> str:
        return self.run("systemctl", *words.split(), check=check, within_s=within_s).stdout.strip()

    def show(self, unit: str, name: str) -> str:
        return self.systemctl(f"show --value -p {name} {unit}")

    def journal(self, unit: str) -> str:
        return self.run("journalctl", "--no-pager", "-o", "cat", "-u", unit).stdout

    def events(self, unit: str, event: str | None = None) -> list[dict[str, Any]]:
        """What a daemon has logged, oldest first."""
        argv = ("journalctl", "--no-pager", "-o", "json", "-u", unit)
        lines = [json.loads(line) for line in self.run(*argv).stdout.splitlines() if line.startswith("{")]
        return [line for line in lines if event is None or line.get("MESSAGE", "").startswith(event)]

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)

    def read(self, path: str) -> str:
        target = self.root / path.lstrip("/")
        return target.read_text() if target.exists() else ""

    def until(self, true: Callable[[], Any], what: str, within_s: float = 20.0) -> Any:
        deadline = time.monotonic() + within_s
        while not (found := true()):
            assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
            time.sleep(0.05)
        return found

    def power_off(self, within_s: float = 60.0) -> float:
        """As an administrator does it; the seconds that it took."""
        began = time.monotonic()
        self.run("systemctl", "poweroff", check=False)
        self._process.wait(within_s)
        return time.monotonic() - began


@contextmanager
def machine(name: str) -> Iterator[Machine]:
    """Boot it; its power is cut at the end."""
    name = f"{name}-{os.getpid()}"
    with ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="failoverd-machine-")))
        root = _file_system(base, stack)
        _furnish(root, name)
        cgroups = [path / name for path in CGROUPS if path.is_dir()]
        for path in cgroups:
            path.mkdir()
            stack.callback(_remove_cgroup, path)
        booted = _boot(base, root, name, cgroups, stack)
        yield booted


def _file_system(base: Path, stack: ExitStack) -> Path:
    _mount(stack, base, "-t", "tmpfs", "tmpfs")
    for part in ("upper", "work", "root"):
        (base / part).mkdir()
    options = f"lowerdir=/,upperdir={base}/upper,workdir={base}/work"
    _mount(stack, base / "root", "-t", "overlay", "-o", options, "overlay")
    return base / "root"


def _mount(stack: ExitStack, directory: Path, *words: str) -> None:
    subprocess.run(["mount", *words, str(directory)], check=True, timeout=20)
    stack.callback(subprocess.run, ["umount", "-l", str(directory)], check=False, timeout=20)


def _furnish(root: Path, name: str) -> None:
    """No services but those that a test brings along."""
    (root / "etc/machine-id").write_text("")
    (root / "etc/hostname").write_text(f"{name}\n")
    units = root / "etc/systemd/system"
    for wants in ("multi-user.target.wants", "timers.target.wants", "sockets.target.wants"):
        for link in (units / wants).glob("*"):
            link.unlink()
    for unit in _UNWANTED:
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    command = root / "usr/local/bin/failoverd"
    command.unlink(missing_ok=True)
    command.write_text(_COMMAND)
    command.chmod(0o755)


def _boot(base: Path, root: Path, name: str, cgroups: list[Path], stack: ExitStack) -> Machine:
    notify = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    notify.bind(str(base / "notify"))
    argv = ["systemd-nspawn", "-D", str(root), "--boot", "--register=no", "--keep-unit", "-M", name]
    argv += ["--private-network", "--notify-ready=yes", "--console=passive", "--link-journal=no"]
    argv += [f"--capability={_CAPABILITIES}", *_binds()]
    join = "; ".join([*(f"echo $$ > {path}/cgroup.procs" for path in cgroups), 'exec "$@"'])
    log = stack.enter_context((base / "console").open("wb"))
    process = subprocess.Popen(
        ["/bin/sh", "-ec", join, "sh", *argv],
        env={**os.environ, "NOTIFY_SOCKET": str(base / "notify")},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )
    stack.callback(process.wait, 20)
    stack.callback(process.kill)
    leader = _wait_for_boot(notify, process, base / "console")
    notify.close()  # else systemd inside waits for a reader of what it reports later on
    stack.callback(_kill, leader)
    return Machine(root, leader, process)


def _binds() -> list[str]:
    """The project and its interpreter, where the container would cover them."""
    places = {ROOT, Path(sys.prefix)}
    return [f"--bind-ro={path}" for path in sorted(places) if not path.is_relative_to(ROOT) or path == ROOT]


def _wait_for_boot(notify: socket.socket, process: "subprocess.Popen[bytes]", console: Path) -> int:
    leader, deadline = 0, time.monotonic() + BOOT_S
    notify.settimeout(0.5)
    while True:
        with contextlib.suppress(TimeoutError):
            for line in notify.recv(4096).decode().splitlines():
                if line.startswith("X_NSPAWN_LEADER_PID="):
                    leader = int(line.partition("=")[2])
                if line == "READY=1" and leader:
                    return leader
        said = f"the machine did not boot: {console.read_text(errors='replace')[-2000:]}"
        assert process.poll() is None, said
        assert time.monotonic() < deadline, said


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _remove_cgroup(path: Path, within_s: float = 5.0) -> None:
    """Once the kernel has buried what was in it."""
    deadline = time.monotonic() + within_s
    while path.exists():
        for inner in sorted(path.rglob("*"), reverse=True):
            if inner.is_dir():
                with contextlib.suppress(OSError):
                    inner.rmdir()
        with contextlib.suppress(OSError):
            path.rmdir()
        if time.monotonic() > deadline:
            return
        time.sleep(0.02)
