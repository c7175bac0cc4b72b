"""What the components and the customer wrote down: the demonstration believes them and not the daemons."""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Life:
    """One component on one node from its very begin to its very end, seconds of CLOCK_MONOTONIC."""

    component: str
    node: str
    begin: float
    up: float | None = None
    end: float | None = None
    """None while it lives."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    node: str
    at: float


@dataclass(frozen=True, kw_only=True)
class Gap:
    """A time without an answer, from the last one before it to the first one after it."""

    begin: float
    end: float
    before: str
    after: str

    @property
    def length_s(self) -> float:
        return self.end - self.begin


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Whole lines only: the last one may be half written."""
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n"):
                yield json.loads(line)


def lives(root: Path, cuts: list[Cut]) -> tuple[list[Life], list[str]]:
    """(every life, what was wrong by the components' own word). A power cut ends what lived on its node."""
    found: list[Life] = []
    living: dict[tuple[str, str], Life] = {}
    wrong: list[str] = []
    pending = sorted(cuts, key=lambda cut: cut.at)
    for line in sorted(read_lines(root / "records.jsonl"), key=lambda line: float(line["t"])):
        while pending and pending[0].at < line["t"]:
            cut = pending.pop(0)
            found += ended(living, cut)
        key = (line["node"], line["component"])
        match line["what"]:
            case "begin":
                if key in living:
                    wrong.append(f"{line['component']} began twice on node {line['node']}")
                living[key] = Life(component=line["component"], node=line["node"], begin=line["t"])
            case "up":
                living[key] = replace(living[key], up=line["t"])
            case "down":
                found.append(replace(living.pop(key), end=line["t"]))
            case "conflict":
                wrong.append(f"{line['component']} found itself running elsewhere when it began on node {line['node']}")
    for cut in pending:
        found += ended(living, cut)
    return [*found, *living.values()], wrong


def ended(living: dict[tuple[str, str], Life], cut: Cut) -> list[Life]:
    keys = [key for key in living if key[0] == cut.node]
    return [replace(living.pop(key), end=cut.at) for key in keys]


def double_runs(found: list[Life]) -> list[str]:
    """Components that lived on two nodes at once."""
    by_component: dict[str, list[Life]] = defaultdict(list)
    for life in found:
        by_component[life.component].append(life)
    return [
        f"{name} lived on {one.node} and {other.node} at once"
        for name, its in by_component.items()
        for index, one in enumerate(its)
        for other in its[index + 1 :]
        if one.node != other.node and overlap(one, other)
    ]


def overlap(one: Life, other: Life) -> bool:
    return (one.end is None or other.begin < one.end) and (other.end is None or one.begin < other.end)


def pipelined(found: list[Life], source: str, target: str, since: float) -> bool:
    """Whether something was already coming up on the target while something else still lived on the source."""
    last_end = max((life.end for life in found if life.node == source and life.end and life.end > since), default=0.0)
    first_begin = min((life.begin for life in found if life.node == target and life.begin > since), default=last_end)
    return first_begin < last_end


# --- the customer -----------------------------------------------------------------------------------------------


def gaps(path: Path, since: float) -> list[Gap]:
    return [
        Gap(begin=line["begin"], end=line["end"], before=line["before"], after=line["after"])
        for line in read_lines(path)
        if line["what"] == "gap" and line["end"] > since
    ]


def is_open(path: Path) -> bool:
    return any(line["what"] == "open" for line in read_lines(path))


def acknowledged(path: Path) -> set[int]:
    """The orders that the shop has confirmed."""
    return {int(line["number"]) for line in read_lines(path) if line["what"] == "order"}


def stored(root: Path) -> set[int]:
    """The orders that are in the store's file."""
    path = root / "shared" / "store.log"
    keys = (line.split(" ", 1)[0] for line in path.read_text().splitlines()) if path.exists() else iter(())
    return {int(key.removeprefix("order-")) for key in keys if key.startswith("order-")}
