"""Where the processes of a component are kept together: a unit of systemd, a control group of our own, or a session."""

import contextlib
import hashlib
import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self
from urllib.parse import quote

from failoverd.kernel.cgroups import Hierarchy, group_of, hierarchies
from failoverd.ports import AgentHost

BOOTED = Path("/run/systemd/system")
"""There where systemd is the first process (sd_booted(3))."""
_BUS = Path("/run/dbus/system_bus_socket")
_INIT = "/init.scope"
_SLICE = "/system.slice"
_SUITABLE = ("", "freezer", "name=", "pids")
"""Trees in which a process may be moved without any other effect, the best first: of version 1 the freezer can hold
still what is being killed."""


class Form(StrEnum):
    UNIT = "unit"
    CGROUP = "cgroup"
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class Machine:
    """What this machine offers."""

    systemd: bool
    """It runs, and lets us start units."""
    home: str | None
    """The directory in which control groups of our own can be made."""
    slices: tuple[str, ...] = ()
    """Where the control groups of systemd's units are."""
    root: bool = False
    """We are root: what it lacks, it lacks for everybody."""

    @classmethod
    def here(cls) -> Self:
        """Reads /proc alone. What cannot be found out is not there."""
        trees = hierarchies(_read("/proc/self/mountinfo"))
        root = os.geteuid() == 0
        systemd = root and BOOTED.is_dir() and _BUS.exists()
        return cls(systemd, _home(trees), _slices(trees, _read("/proc/1/cgroup")), root)

    def form(self, wanted: str) -> Form:
        """What ``contain`` comes to here: what was asked for by its name is taken at its word."""
        if wanted != "auto":
            return Form(wanted)
        if self.systemd:
            return Form.UNIT
        return Form.SESSION if self.home is None else Form.CGROUP

    def lacks(self, form: Form) -> str:
        """Why a component cannot be kept so on this machine; empty where it can."""
        if form is Form.UNIT and not self.systemd:
            return "systemd does not run on this machine, or its bus is missing, or failoverd is not run as root"
        if form is Form.CGROUP and self.home is None:
            return "no tree of control groups (cgroup2, or the freezer of version 1) is mounted here and writable"
        return ""


def _home(trees: tuple[Hierarchy, ...]) -> str | None:
    for wanted in _SUITABLE:
        for tree in trees:
            fits = not tree.name if not wanted else any(one.startswith(wanted) for one in tree.name.split(","))
            if fits and os.access(tree.directory, os.W_OK) and os.access(f"{tree.directory}/cgroup.procs", os.W_OK):
                return tree.directory
    return None


def _slices(trees: tuple[Hierarchy, ...], first_process: str) -> tuple[str, ...]:
    found = []
    for tree in trees:
        group = group_of(first_process, tree) if tree.tracks else None
        place = None if group is None else tree.place(group.removesuffix(_INIT).rstrip("/") + _SLICE)
        if place is not None:
            found.append(place)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Place:
    """One component's."""

    unit: str
    own: str | None
    """The directory of its control group where we make that ourselves; None where we cannot."""
    directories: tuple[str, ...]
    """Every control group that it may be in, whatever it was started as: by us now or by an earlier daemon."""

    @classmethod
    def of(cls, host: AgentHost, machine: Machine) -> Self:
        name = f"failoverd-{host.group}@{host.component}-{_whose(host.cluster, host.node, host.run_dir)}"
        unit = f"{name}.service"
        own = None if machine.home is None else f"{machine.home}/{name}"
        slices = tuple(f"{place}/{unit}" for place in machine.slices)
        return cls(unit, own, (*([] if own is None else [own]), *slices))


def groups_of(cluster: str, node: str, run_dir: Path) -> list[Path]:
    """The control groups of our own that daemons of this node have made and not removed."""
    home = Machine.here().home
    return [] if home is None else list(Path(home).glob(f"failoverd-*-{_whose(cluster, node, run_dir)}"))


def _whose(cluster: str, node: str, run_dir: Path) -> str:
    """The same for every daemon that uses this run_dir in this process table, and for no other: control groups are seen
    by the whole machine, containers included."""
    names = "/".join(quote(name, safe="") for name in (cluster, node, str(run_dir.resolve()), str(_process_table())))
    return hashlib.sha256(names.encode()).hexdigest()[:12]


def _process_table() -> int:
    with contextlib.suppress(OSError):
        return Path("/proc/self/ns/pid").stat().st_ino
    return 0


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
