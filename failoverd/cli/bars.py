"""Bars on a common time axis, drawn with characters: what the plan and the timeline of a handover share.

What is offline, online, prepare, predicted or failed differs by character, colour only helps; there is a set of plain
ASCII characters for terminals that have no others.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from rich.cells import set_cell_size
from rich.console import ConsoleOptions
from rich.text import Text


@dataclass(frozen=True, slots=True)
class Glyphs:
    offline: str
    online: str
    prepare: str
    predicted: str
    failed: str
    tick: str
    grid: str
    arrow: str
    ellipsis: str
    times: str
    full: str
    empty: str
    done: str
    running: str
    waiting: str
    now: str


UNICODE = Glyphs(
    offline="▒",
    online="█",
    prepare="▁",
    predicted="·",
    failed="✘",
    tick="╷",
    grid=" ",
    arrow="→",
    ellipsis="…",
    times="×",  # noqa: RUF001 (the sign for "times" is what is meant)
    full="━",
    empty="─",
    done="✔",
    running="▶",
    waiting="·",
    now="▼",
)
ASCII = Glyphs(
    offline="-",
    online="#",
    prepare="_",
    predicted=".",
    failed="X",
    tick="|",
    grid=" ",
    arrow="->",
    ellipsis="...",
    times="x",
    full="=",
    empty="-",
    done="+",
    running=">",
    waiting=".",
    now="v",
)

STYLES = {"offline": "yellow", "online": "green", "prepare": "cyan", "failed": "bold red", "predicted": "dim"}
CRITICAL = "bold"


def glyphs_for(options: ConsoleOptions) -> Glyphs:
    return ASCII if options.ascii_only else UNICODE


@dataclass(frozen=True, slots=True)
class Bar:
    begin_s: float
    end_s: float
    glyph: str
    style: str = ""
    last: str = ""
    """The character of the last cell, where it differs (how a failure shows)."""


@dataclass(frozen=True, slots=True)
class Axis:
    """Seconds to cells."""

    total_s: float
    cells: int

    def cell(self, at_s: float) -> int:
        if self.total_s <= 0:
            return 0
        return min(self.cells, max(0, round(at_s / self.total_s * self.cells)))

    def span(self, bar: Bar) -> tuple[int, int]:
        """First cell and the one after the last: whatever happened is seen, be it ever so short."""
        first = min(self.cell(bar.begin_s), self.cells - 1)
        return first, max(first + 1, self.cell(bar.end_s))

    def step_s(self) -> float:
        """Between two labels: 1, 2 or 5 times a power of ten, and at least ten cells."""
        step = 0.001
        for factor in _factors():
            step = 0.001 * factor
            if step / max(self.total_s, 1e-9) * self.cells >= 10:
                break
        return step


def _factors() -> Iterable[int]:
    for exponent in range(12):
        for factor in (1, 2, 5):
            yield factor * 10**exponent


def paint(axis: Axis, bars: Sequence[Bar], glyphs: Glyphs) -> Text:
    """One line of bars. What is only expected hides nothing real, and where rounding puts two bars into the same cell,
    the later one moves on by a cell rather than hide the earlier wholly."""
    cells = [(glyphs.grid, "")] * axis.cells
    expected = [bar for bar in bars if bar.glyph == glyphs.predicted]
    for bar in expected:
        _fill(cells, bar, *axis.span(bar))
    taken = -1
    for bar in sorted((bar for bar in bars if bar not in expected), key=lambda one: (one.begin_s, one.end_s)):
        first, after = axis.span(bar)
        if first <= taken < axis.cells - 1:
            first = taken + 1
        _fill(cells, bar, first, max(after, first + 1))
        taken = first
    line = Text(no_wrap=True)
    for style, run in groupby(cells, key=itemgetter(1)):
        line.append("".join(glyph for glyph, _ in run), style)
    return line


def _fill(cells: list[tuple[str, str]], bar: Bar, first: int, after: int) -> None:
    for cell in range(first, after):
        cells[cell] = bar.glyph, bar.style
    if bar.last:
        cells[after - 1] = bar.last, bar.style


def ruler(axis: Axis, glyphs: Glyphs, now_s: float | None = None) -> Text:
    """The labelled axis, with a mark at the present."""
    line = [" "] * axis.cells
    step = axis.step_s()
    decimals = max(0, min(3, 0 if step >= 1 else 1 if step >= 0.1 else 2 if step >= 0.01 else 3))
    ticks = int(axis.total_s / step + 1e-9) if axis.total_s > 0 else 0
    for number in range(ticks + 1):
        mark = glyphs.tick + (f"{number * step:.{decimals}f}" if number else "0 s")
        first = axis.cell(number * step)
        if first + len(mark) <= axis.cells:
            line[first : first + len(mark)] = mark
        elif first < axis.cells:
            line[first] = glyphs.tick
    text = Text("".join(line), style="dim", no_wrap=True)
    if now_s is not None and axis.total_s > 0:
        at = min(axis.cell(now_s), axis.cells - 1)
        line[at] = glyphs.now
        text = Text("".join(line), style="dim", no_wrap=True)
        text.stylize("bold cyan not dim", at, at + 1)
    return text


def seconds(value: float) -> str:
    """Three digits that matter: 45 ms, 1.60 s, 12.3 s, 4m05s."""
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 9.995:
        return f"{value:.2f} s"
    if value < 99.95:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def label(name: str, width: int, glyphs: Glyphs) -> str:
    """The name in exactly ``width`` cells."""
    name = printable(name)
    fitted = set_cell_size(name, width)
    if fitted.rstrip() == name.rstrip():
        return fitted
    return set_cell_size(name, max(0, width - len(glyphs.ellipsis))) + glyphs.ellipsis


def printable(text: str) -> str:
    """On one line, and nothing that a terminal would take for a command."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def label_width(names: Iterable[str], most: int) -> int:
    return min(most, max((Text(printable(name)).cell_len for name in names), default=0))


def comparison(entries: Sequence[tuple[str, float, str]], width: int, glyphs: Glyphs) -> list[Text]:
    """A small bar chart of (name, seconds, remark), all on one scale."""
    names = max(len(name) for name, _, _ in entries)
    remarks = max(len(remark) for _, _, remark in entries)
    most = max(value for _, value, _ in entries)
    cells = max(8, min(40, width - names - remarks - 13))
    lines = []
    for name, value, remark in entries:
        filled = round(value / most * cells) if most > 0 else 0
        line = Text(f" {name:<{names}}  {seconds(value):>7}  ", no_wrap=True)
        line.append(glyphs.full * max(filled, 1 if value > 0 else 0), "bold" if name == entries[0][0] else "")
        line.append(" " * (cells - filled + 1) + remark, "dim")
        lines.append(line)
    return lines


def flow(parts: Sequence[Text], width: int, *, separator: str, indent: str) -> list[Text]:
    """The parts, as many to a line as fit, none of them broken; lines but the first begin with ``indent``."""
    lines: list[Text] = []
    for part in parts:
        if lines and lines[-1].cell_len + len(separator) + part.cell_len <= width:
            lines[-1].append(separator)
        else:
            if lines and separator.strip():
                lines[-1].append(separator.rstrip())
            lines.append(Text(indent if lines else "", no_wrap=True, overflow="ellipsis"))
        lines[-1].append_text(part)
    return lines
