"""What components on hosts wrote down themselves, and the checkers, which share no code with what they judge.

All hosts append to the same two files (one kernel, O_APPEND), so the order of lines needs no clock; times are for
figures. An ``exec`` component (``part.sh``) may be online from the line that begins its online to the line that ends
its offline, or to the line that says that its host is dead, which whoever cut its power wrote after everything there
had ended. A ``process`` component (``beat.sh``) is alive from its first line to its last.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

ONLINE, OFFLINE = "online", "offline"


@dataclass(frozen=True, kw_only=True)
class Line:
    up: float
    """CLOCK_BOOTTIME, seconds, to 10 ms (rounded down)."""
    wall: float
    what: str
    """``begin`` or ``end`` of an action, or ``dead``."""
    node: str
    action: str = ""
    component: str = ""


@dataclass(frozen=True, kw_only=True)
class Beat:
    wall: float
    node: str
    component: str
    pid: int


@dataclass(kw_only=True)
class Records:
    """The two files, from ``forget`` on."""

    directory: Path
    _offsets: dict[str, int] = field(default_factory=dict)

    def forget(self) -> None:
        """What was written so far is judged no more."""
        for name in ("records", "beats"):
            path = self.directory / name
            self._offsets[name] = path.stat().st_size if path.exists() else 0

    def dead(self, node: str, up: float, wall: float) -> None:
        """Nothing runs on that host any more."""
        with (self.directory / "records").open("a") as file:
            file.write(f"{up:.2f} {wall:.6f} dead {node}\n")

    def lines(self) -> list[Line]:
        found = []
        for words in self._read("records"):
            up, wall, what, node, *of = words
            action, component = of[:2] if of else ("", "")
            found.append(Line(up=float(up), wall=float(wall), what=what, node=node, action=action, component=component))
        return found

    def beats(self) -> list[Beat]:
        return [
            Beat(wall=float(wall), node=node, component=component, pid=int(pid))
            for _up, wall, node, component, pid in self._read("beats")
        ]

    def _read(self, name: str) -> list[list[str]]:
        path = self.directory / name
        if not path.exists():
            return []
        with path.open() as file:
            file.seek(self._offsets.get(name, 0))
            text = file.read()
        return [line.split(" ") for line in text[: text.rfind("\n") + 1].splitlines()]


def never_two(lines: Iterable[Line], online_on: str | None = None) -> list[str]:
    """Where a component began to come online while it may have been online elsewhere. ``online_on``: the node where all
    of them are when the lines begin."""
    found: list[str] = []
    where: dict[str, set[str]] = {}
    for line in lines:
        if line.what == "dead":
            for nodes in where.values():
                nodes.discard(line.node)
            if online_on == line.node:
                online_on = None
            continue
        nodes = where.setdefault(line.component, {online_on} - {None} if online_on else set())
        if line.action == ONLINE:
            nodes.add(line.node)
            if others := nodes - {line.node}:
                found.append(f"{line.component}: {line.what} of online on {line.node}, may be online on {others}")
        elif line.what == "end":
            nodes.discard(line.node)
    return found


def stints(beats: Iterable[Beat]) -> dict[str, list[tuple[str, int]]]:
    """By component: the processes (node, pid) that were alive, in order. One that is alive, then another, then the
    first again is listed twice: both were alive at once."""
    found: dict[str, list[tuple[str, int]]] = {}
    for beat in beats:
        mine = found.setdefault(beat.component, [])
        if not mine or mine[-1] != (beat.node, beat.pid):
            mine.append((beat.node, beat.pid))
    return found


@dataclass(frozen=True, kw_only=True)
class Moved:
    """A move of everything from one node to another, which nobody helped on the source."""

    down_at: float
    """Wall clock: the last sign of anything on the source."""
    up_at: float
    """The first begin of an online on the target."""
    problems: tuple[str, ...]


def moved(records: Records, source: str, target: str, components: Iterable[str], processes: Iterable[str]) -> Moved:
    """Judge what was written since the group was online on ``source``, now that it is online on ``target``."""
    lines, beats = records.lines(), records.beats()
    problems = never_two(lines, online_on=source)
    gone = [line for line in lines if line.node == source and (line.what == "dead" or _ended(line, OFFLINE))]
    begun = [line for line in lines if line.node == target and line.action == ONLINE and line.what == "begin"]
    if all(line.what != "dead" for line in gone):
        problems += [f"{c} never went offline on {source}" for c in components if c not in {g.component for g in gone}]
    problems += [f"{c} never came online on {target}" for c in components if c not in {b.component for b in begun}]
    lived = stints(beats)
    for component in processes:
        nodes = [node for node, _pid in lived.get(component, [])]
        if nodes != [source, target]:
            problems.append(f"{component} was alive on {nodes}, not on {source} and then on {target}")
    last = [beat.wall for beat in beats if beat.node == source] + [line.wall for line in gone]
    first = [line.wall for line in begun] + [beat.wall for beat in beats if beat.node == target]
    down_at, up_at = max(last, default=0.0), min(first, default=0.0)
    return Moved(down_at=down_at, up_at=up_at, problems=tuple(problems))


def untouched(records: Records, node: str, processes: dict[str, int]) -> list[str]:
    """Judge what was written while nothing was to move from ``node``, whose processes had those pids."""
    problems = [f"{line.what} of {line.action} of {line.component} on {line.node}" for line in records.lines()]
    lived = stints(records.beats())
    for component, pid in processes.items():
        if lived.get(component) != [(node, pid)]:
            problems.append(f"{component} was {lived.get(component)}, not process {pid} on {node} alone")
    return problems


def _ended(line: Line, action: str) -> bool:
    return line.what == "end" and line.action == action
