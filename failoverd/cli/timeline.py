"""The timeline of a handover on the terminal: live while it runs, and its record afterwards.

Drawn from a handover document alone. What has happened is drawn where it happened; what has not is dotted where it is
expected, and never in the past.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from failoverd.cli.bars import (
    STYLES,
    Axis,
    Bar,
    Glyphs,
    comparison,
    flow,
    glyphs_for,
    label,
    label_width,
    paint,
    printable,
    ruler,
    seconds,
)
from failoverd.cli.plan_view import legend_parts, step_rows

Document = Mapping[str, Any]
NAME_CELLS_MAX = 20
STATUS_CELLS = 18
FINAL_ROWS = 60
MIN_ROWS = 5
OTHER_LINES = 8
"""Of a running timeline, beside the rows of its components: title, progress, axis, rest, legend and some room."""
DOING = {"offline": "offlining", "online": "onlining", "prepare": "preparing"}


class Interest(IntEnum):
    """Of a component, the most interesting first: in this order rows are chosen where not all fit."""

    FAILED = 0
    RUNNING = 1
    CRITICAL = 2
    WAITING = 3
    DONE = 4


@dataclass(frozen=True, slots=True)
class Track:
    """One component's steps, real and expected."""

    name: str
    steps: list[dict[str, Any]]
    """Each with ``state``: done, failed, running or waiting; ``end_s`` is expected where it is not over."""
    interest: Interest
    first_s: float


def render_timeline(document: Document, width: int, max_rows: int | None = None) -> RenderableType:
    """``width``: cells of the terminal. Of more than ``max_rows`` components the most interesting: failed, running,
    critical, waiting, done. Where it is not given, a running handover keeps to the terminal's height, since what is
    drawn again and again must fit; one that is over may scroll."""
    return _TimelineView(document, max(40, width), max_rows)


def plain_timeline(document: Document) -> list[str]:
    """For a pipe: one line for each step that has begun, in the order of their begins, then the outcome."""
    steps = sorted(document.get("steps", []), key=lambda one: (one["begin_s"], one["component"]))
    return [_title(document, "->"), *(plain_step(step) for step in steps), plain_outcome(document)]


def plain_step(step: Document) -> str:
    """One line: begin, end (or nothing while it runs), what, where."""
    end = step.get("end_s")
    shown = "        -" if end is None else f"{end:9.3f}"
    state = "running" if end is None else "done" if step.get("ok", True) else "FAILED"
    return (
        f"{step['begin_s']:9.3f} {shown} {step['action']:<7} {printable(step['component'])} "
        f"on {printable(step['node'])} {state}"
    )


def plain_outcome(document: Document) -> str:
    """One line: the state, and once it is over the makespan beside what it is measured against."""
    state, reason = document.get("state", "running"), printable(document.get("reason") or "")
    over = ("makespan_s", "limit_s", "phased_s", "serial_s", "detect_s")
    names = ("elapsed_s", "eta_s") if state == "running" else over
    parts = [f"{name}={document[name]:.3f}" for name in names if document.get(name) is not None]
    return " ".join([state, *parts, *([f"reason={reason}"] if reason else [])])


def tracks(document: Document) -> list[Track]:
    """The components with their steps, in the order in which they are expected to begin."""
    elapsed = float(document.get("elapsed_s") or 0.0)
    planned = {_key(step): step for step in document.get("plan", [])}
    running = document.get("state") == "running"
    steps: list[dict[str, Any]] = [
        _happened(step, planned.get(_key(step)), elapsed, running=running) for step in document.get("steps", [])
    ]
    begun = {_key(step) for step in steps}
    if document.get("state") != "done":
        steps += [_expected(step, elapsed, running=running) for key, step in planned.items() if key not in begun]
    of: dict[str, list[dict[str, Any]]] = {}
    for step in steps:
        of.setdefault(step["component"], []).append(step)
    found = [
        Track(name, ours, _interest(ours), min(planned.get(_key(step), step)["begin_s"] for step in ours))
        for name, ours in of.items()
    ]
    return sorted(found, key=lambda track: track.first_s)


def _key(step: Document) -> tuple[str, str, str]:
    return step["component"], step["node"], step["action"]


def _happened(step: Document, plan: Document | None, elapsed: float, *, running: bool) -> dict[str, Any]:
    begin, end = step["begin_s"], step.get("end_s")
    expected = plan["end_s"] - plan["begin_s"] if plan and running else 0.0
    critical = bool(plan and plan.get("critical"))
    if end is None:
        return {**step, "state": "running", "end_s": max(elapsed, begin + expected), "critical": critical}
    return {**step, "state": "done" if step.get("ok", True) else "failed", "critical": critical}


def _expected(plan: Document, elapsed: float, *, running: bool) -> dict[str, Any]:
    """A step that has not begun; once the handover is over, it never did."""
    if not running:
        return {**plan, "state": "never", "begin_s": elapsed, "end_s": elapsed}
    begin = max(plan["begin_s"], elapsed)
    return {**plan, "state": "waiting", "begin_s": begin, "end_s": begin + plan["end_s"] - plan["begin_s"]}


def _interest(steps: list[dict[str, Any]]) -> Interest:
    latest: dict[tuple[str, str, str], str] = {_key(step): step["state"] for step in steps}
    states = set(latest.values())
    if "failed" in states:
        return Interest.FAILED
    if "running" in states:
        return Interest.RUNNING
    if any(step.get("critical") for step in steps):
        return Interest.CRITICAL
    return Interest.WAITING if states & {"waiting", "never"} else Interest.DONE


@dataclass(frozen=True, slots=True)
class _TimelineView:
    document: Document
    width: int
    max_rows: int | None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        glyphs = glyphs_for(options)
        found = tracks(self.document)
        most = self.max_rows if self.max_rows is not None else self._fitting(found, console.height)
        yield Group(
            Text(_title(self.document, glyphs.arrow), style="bold", no_wrap=True, overflow="ellipsis"),
            *_state_line(self.document, found, self.width, glyphs),
            Text(),
            *_chart(self.document, found, width=self.width, max_rows=most, glyphs=glyphs),
            *_outcome(self.document, self.width, glyphs),
        )

    def _fitting(self, found: list[Track], height: int) -> int:
        if self.document.get("state", "running") != "running":
            return FINAL_ROWS
        rows = sum(len(step_rows(track.steps)) for track in found)
        extra = rows - len(found) if found else 0
        return max(MIN_ROWS, height - OTHER_LINES - min(extra, height // 3))


def _title(document: Document, arrow: str) -> str:
    source, target = document.get("source"), document.get("target")
    route = f"{source} {arrow} {target or 'offline'}" if source else f"{arrow} {target or 'offline'}"
    about = [str(document.get("cause") or "")]
    if document.get("generation") is not None:
        about.append(f"generation {document['generation']}")
    return printable(f"{document.get('group', '')}  {route}   ({', '.join(part for part in about if part)})")


def _state_line(document: Document, found: list[Track], width: int, glyphs: Glyphs) -> list[Text]:
    state = document.get("state", "running")
    if state == "running":
        return [_progress(document, found, width, glyphs)]
    makespan = document.get("makespan_s")
    took = seconds(float(makespan if makespan is not None else document.get("elapsed_s") or 0.0))
    reason = printable(document.get("reason") or "")
    if state == "done":
        return [Text.assemble((f"{glyphs.done} done in {took}", "bold green"), (_ratio(document, glyphs), "green"))]
    word, style = ("redirected", "bold yellow") if state == "redirected" else ("failed", "bold red")
    mark = glyphs.arrow if state == "redirected" else glyphs.failed
    line = Text.assemble((f"{mark} {word} after {took}", style), f": {reason}" if reason else "")
    return list(line.wrap(Console(width=width, color_system=None), width))


def _ratio(document: Document, glyphs: Glyphs) -> str:
    makespan, limit = document.get("makespan_s"), document.get("limit_s")
    return f", {makespan / limit:.2f} {glyphs.times} the limit" if makespan and limit else ""


def _progress(document: Document, found: list[Track], width: int, glyphs: Glyphs) -> Text:
    steps = [step for track in found for step in track.steps]
    over = sum(step["state"] == "done" for step in steps)
    elapsed = float(document.get("elapsed_s") or 0.0)
    eta = document.get("eta_s")
    words = f" {seconds(elapsed)} elapsed, {over} of {len(steps)} steps done"
    if eta is not None:
        words += f", about {seconds(eta)} to go"
    cells = max(0, min(24, width - len(words) - 1))
    share = elapsed / (elapsed + eta) if eta else 0.0
    filled = min(cells, round(share * cells))
    return Text.assemble(
        (glyphs.full * filled, "bold cyan"), (glyphs.empty * (cells - filled), "dim"), words, no_wrap=True
    )


def _chart(document: Document, found: list[Track], *, width: int, max_rows: int, glyphs: Glyphs) -> list[Text]:
    if not found:
        return [Text(" nothing has to be done", style="dim")]
    shown = found if len(found) <= max_rows else sorted(found, key=_urgency)[:max_rows]
    steps = [step for track in found for step in track.steps]
    names = label_width((track.name for track in shown), NAME_CELLS_MAX)
    names = max(names, 8 if any(step["action"] == "prepare" for step in steps) else 4)
    elapsed = float(document.get("elapsed_s") or 0.0)
    running = document.get("state") == "running"
    total = max([step["end_s"] for step in steps] + ([elapsed + (document.get("eta_s") or 0.0)] if running else []))
    axis = Axis(total, max(10, width - names - 5 - STATUS_CELLS))
    head = Text(" " * (names + 4), no_wrap=True)
    head.append_text(ruler(axis, glyphs, elapsed if running else None))
    lines = [head]
    for track in shown:
        lines.extend(_rows(document, track, axis, names, glyphs))
    if len(shown) < len(found):
        lines.append(_rest(found, shown, glyphs))
    return [*lines, *_legend(steps, width, glyphs)]


def _urgency(track: Track) -> tuple[Interest, float]:
    """Of equal interest what happens next comes first."""
    coming = [step["begin_s"] for step in track.steps if step["state"] in {"waiting", "running"}]
    return track.interest, min(coming, default=track.first_s)


def _rows(document: Document, track: Track, axis: Axis, names: int, glyphs: Glyphs) -> list[Text]:
    elapsed = float(document.get("elapsed_s") or 0.0)
    lines = []
    for below, placed in step_rows(track.steps):
        line = Text(no_wrap=True)
        line.append_text(Text("  ") if below else _mark(track, glyphs))
        style = "dim" if below else "bold" if any(step.get("critical") for step in track.steps) else ""
        line.append(" " + label(below or track.name, names, glyphs) + " ", style)
        bars = [bar for step in placed for bar in _bars(step, elapsed, glyphs)]
        line.append_text(paint(axis, bars, glyphs))
        if not below:
            line.append(" ")
            line.append_text(_status(document, track, elapsed))
        lines.append(line)
    return lines


def _bars(step: Document, elapsed: float, glyphs: Glyphs) -> list[Bar]:
    glyph, style = getattr(glyphs, step["action"]), STYLES[step["action"]]
    begin, end = step["begin_s"], step["end_s"]
    match step["state"]:
        case "never":
            return []
        case "waiting":
            return [Bar(begin, end, glyphs.predicted, STYLES["predicted"])]
        case "running":
            done = Bar(begin, elapsed, glyph, f"bold {style}")
            return [done] if end <= elapsed else [done, Bar(elapsed, end, glyphs.predicted, style)]
        case "failed":
            return [Bar(begin, end, glyph, STYLES["failed"], last=glyphs.failed)]
        case _:
            return [Bar(begin, end, glyph, style)]


def _mark(track: Track, glyphs: Glyphs) -> Text:
    states = {step["state"] for step in track.steps}
    if track.interest is Interest.FAILED:
        return Text(f" {glyphs.failed}", style="bold red")
    if "running" in states:
        return Text(f" {glyphs.running}", style="bold cyan")
    if states & {"waiting", "never"}:
        return Text(f" {glyphs.waiting}", style="dim")
    return Text(f" {glyphs.done}", style="green")


def _status(document: Document, track: Track, elapsed: float) -> Text:
    """What the component is doing, in a few words: the row's last column."""
    failed = [step for step in track.steps if step["state"] == "failed"]
    running = [step for step in track.steps if step["state"] == "running"]
    if running:
        step = min(running, key=lambda one: one["action"] == "prepare")
        words = f"{DOING[step['action']]} {seconds(elapsed - step['begin_s'])}"
        return Text(words[:STATUS_CELLS], style="bold cyan")
    if failed and track.interest is Interest.FAILED:
        return Text(f"{failed[-1]['action']} failed"[:STATUS_CELLS], style="bold red")
    if any(step["state"] == "waiting" for step in track.steps):
        return Text("waits", style="dim")
    never = [step["action"] for step in track.steps if step["state"] == "never"]
    if never:
        return Text(f"no {'online' if 'online' in never else never[0]}", style="yellow")
    return Text(_summary(document, track)[:STATUS_CELLS], style="dim")


def _summary(document: Document, track: Track) -> str:
    """Of a component that is through: for how long it was not online anywhere, or what it took."""
    offline = [step for step in track.steps if step["action"] == "offline"]
    online = [step for step in track.steps if step["action"] == "online"]
    if offline and online and online[-1]["node"] == document.get("target"):
        away = online[-1]["end_s"] - offline[0]["begin_s"]
        return f"away {seconds(away)}" if online[-1]["begin_s"] >= offline[0]["begin_s"] else "never away"
    last = (online or offline or track.steps)[-1]
    return f"{last['action']} {seconds(last['end_s'] - last['begin_s'])}"


def _rest(found: list[Track], shown: list[Track], glyphs: Glyphs) -> Text:
    """The components without a row of their own, counted."""
    seen = {track.name for track in shown}
    hidden = [track for track in found if track.name not in seen]
    counts: dict[str, int] = {}
    for track in hidden:
        states = {step["state"] for step in track.steps}
        state = next(state for state in ("failed", "running", "waiting", "never", "done") if state in states)
        counts[state] = counts.get(state, 0) + 1
    words = ", ".join(f"{count} {'not begun' if state == 'never' else state}" for state, count in counts.items())
    return Text(f"    {glyphs.ellipsis} and {len(hidden)} more: {words}", style="dim")


def _legend(steps: list[dict[str, Any]], width: int, glyphs: Glyphs) -> list[Text]:
    parts = legend_parts(steps, glyphs)
    if any(step["state"] in {"waiting", "running"} for step in steps):
        parts.append(Text(f"{glyphs.predicted * 2} expected", style="dim"))
    return flow(parts, width - 1, separator="   ", indent=" ")


def _outcome(document: Document, width: int, glyphs: Glyphs) -> list[Text]:
    """Once it is done: the makespan beside what it is measured against."""
    makespan = document.get("makespan_s")
    if document.get("state") != "done" or makespan is None:
        return []
    limit, phased, serial = (float(document.get(name) or 0.0) for name in ("limit_s", "phased_s", "serial_s"))
    entries = [
        ("makespan", float(makespan), _ratio(document, glyphs).removeprefix(", ")),
        ("limit", limit, "the longest path"),
        ("phased", phased, "everything offline first"),
        ("serial", serial, "one step at a time"),
    ]
    lines = [Text(), *comparison(entries, width, glyphs)]
    saved = phased - float(makespan)
    if saved > 0.0005:
        lines.append(
            Text(f" {seconds(saved)} sooner than everything offline first ({saved / phased:.0%})", style="bold")
        )
    if document.get("detect_s") is not None:
        lines.append(Text(f" the fault was noticed {seconds(document['detect_s'])} after it happened"))
    return lines
