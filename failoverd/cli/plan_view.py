"""The plan of a handover on the terminal: from a plan document alone, so that a stored one looks the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from failoverd.cli.bars import (
    CRITICAL,
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

Document = Mapping[str, Any]
NAME_CELLS_MAX = 20
DURATION_CELLS = 9


def render_plan(document: Document, max_rows: int = 60) -> RenderableType:
    """Bars per component, the critical path, and what the prediction is to be compared with. Of many components the
    ``max_rows`` most interesting: those on the critical path, then those with the longest operations."""
    return _PlanView(document, max_rows)


def plain_plan(document: Document) -> list[str]:
    """The same for a pipe: one line for each step, by begin, then the numbers."""
    lines = [f"{_route(document, '->')}"]
    critical = _critical(document)
    for step in document.get("steps", []):
        mark = " critical" if _key(step) in critical else ""
        lines.append(
            f"{step['begin_s']:9.3f} {step['end_s']:9.3f} {step['action']:<7} {printable(step['component'])} "
            f"on {printable(step['node'])} ({step.get('basis', 'default')}{mark})"
        )
    names = ("predicted_s", "limit_s", "phased_s", "serial_s")
    lines.append(" ".join(f"{name}={document.get(name, 0.0):.3f}" for name in names))
    return lines


def step_rows(steps: Sequence[Document]) -> list[tuple[str, list[Document]]]:
    """The rows of one component: (label below the component's own, steps that do not overlap). The first holder's
    offline and the target's online share the first row; a prepare and what happens elsewhere have rows below."""
    rows: list[tuple[str, list[Document]]] = [("", [])]
    main = [step for step in steps if step["action"] != "prepare"]
    for step in sorted(main, key=lambda one: (one["begin_s"], one["action"] != "offline")):
        for _, placed in rows:
            if not placed or step["begin_s"] >= (placed[-1]["end_s"] or float("inf")) - 1e-6:
                placed.append(step)
                break
        else:
            rows.append((f" on {step['node']}", [step]))
    prepares = [step for step in steps if step["action"] == "prepare"]
    return [*rows, (" prepare", prepares)] if prepares else rows


@dataclass(frozen=True, slots=True)
class _PlanView:
    document: Document
    max_rows: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        glyphs = glyphs_for(options)
        width = max(40, options.max_width)
        yield Group(
            _heading(self.document, glyphs),
            Text(),
            *_chart(self.document, width, self.max_rows, glyphs),
            Text(),
            *_critical_lines(self.document, width, glyphs),
            *_numbers(self.document, width, glyphs),
        )


def _key(step: Document) -> tuple[str, str, str]:
    return step["component"], step["node"], step["action"]


def _critical(document: Document) -> set[tuple[str, str, str]]:
    return {_key(step) for step in document.get("critical_path", [])}


def _route(document: Document, arrow: str) -> str:
    source, target = document.get("source"), document.get("target")
    return printable(f"{document.get('group', '')}  {source or 'nowhere'} {arrow} {target or 'offline'}")


def _heading(document: Document, glyphs: Glyphs) -> Text:
    count = len({step["component"] for step in document.get("steps", [])})
    heading = Text(_route(document, glyphs.arrow), style="bold", no_wrap=True, overflow="ellipsis")
    heading.append(f"   plan: {count} component{'' if count == 1 else 's'}, ", "not bold")
    heading.append(f"predicted {seconds(document.get('predicted_s', 0.0))}", "bold")
    return heading


def _chart(document: Document, width: int, max_rows: int, glyphs: Glyphs) -> list[Text]:
    steps = document.get("steps", [])
    if not steps:
        return [Text(" nothing to do: everything is where it should be", style="dim")]
    of: dict[str, list[Document]] = {}
    for step in steps:
        of.setdefault(step["component"], []).append(step)
    critical = _critical(document)
    shown = _choose(of, critical, max_rows)
    names = label_width(shown, NAME_CELLS_MAX)
    names = max(names, 8 if any(step["action"] == "prepare" for step in steps) else 4)
    total = max(float(document.get("predicted_s", 0.0)), *(step["end_s"] for step in steps))
    axis = Axis(total, max(10, width - names - 3 - 2 * DURATION_CELLS))
    head = Text(" " * (names + 2), no_wrap=True)
    head.append_text(ruler(axis, glyphs))
    head.append(f"{'offline':>{DURATION_CELLS - 1}} {'online':>{DURATION_CELLS - 1}}", "dim")
    lines = [head]
    for name in shown:
        lines.extend(_component(name, of[name], critical=critical, axis=axis, names=names, glyphs=glyphs))
    if len(shown) < len(of):
        lines.append(Text(f" {glyphs.ellipsis} and {len(of) - len(shown)} more components", style="dim"))
    return [*lines, *_legend(document, width, glyphs)]


def _choose(of: Mapping[str, list[Document]], critical: set[tuple[str, str, str]], max_rows: int) -> list[str]:
    """In the order of the plan; where there are too many, the most interesting ones, critical first."""
    if len(of) <= max_rows:
        return list(of)

    def dullness(name: str) -> tuple[bool, float]:
        longest = max(step["end_s"] - step["begin_s"] for step in of[name])
        return not any(_key(step) in critical for step in of[name]), -longest

    return sorted(of, key=dullness)[:max_rows]


def _component(
    name: str, steps: list[Document], *, critical: set[tuple[str, str, str]], axis: Axis, names: int, glyphs: Glyphs
) -> list[Text]:
    lines = []
    for below, placed in step_rows(steps):
        line = Text(" ", no_wrap=True)
        line.append(label(below or name, names, glyphs), "dim" if below else "")
        line.append(" ")
        line.append_text(paint(axis, [_bar(step, critical, glyphs) for step in placed], glyphs))
        for action in ("offline", "online"):
            ours = [
                step for step in placed if step["action"] == action or (action, step["action"]) == ("online", "prepare")
            ]
            line.append_text(_duration(ours[0] if ours else None, critical))
        lines.append(line)
    return lines


def _bar(step: Document, critical: set[tuple[str, str, str]], glyphs: Glyphs) -> Bar:
    style = STYLES[step["action"]]
    if _key(step) in critical:
        style = f"{CRITICAL} {style}"
    return Bar(step["begin_s"], step["end_s"], getattr(glyphs, step["action"]), style)


def _duration(step: Document | None, critical: set[tuple[str, str, str]]) -> Text:
    """In ``DURATION_CELLS``: how long, ``*`` on the critical path, ``?`` where it is only the default."""
    if step is None:
        return Text(" " * DURATION_CELLS)
    on_path = _key(step) in critical
    guessed = step.get("basis") == "default"
    text = Text(f"{seconds(step['end_s'] - step['begin_s']):>{DURATION_CELLS - 2}}", style=CRITICAL if on_path else "")
    text.append("*" if on_path else "?" if guessed else " ", "bold magenta" if on_path else "dim")
    text.append("?" if on_path and guessed else " ", "dim")
    return text


def _legend(document: Document, width: int, glyphs: Glyphs) -> list[Text]:
    steps = document.get("steps", [])
    parts = legend_parts(steps, glyphs)
    if document.get("critical_path"):
        parts.append(Text.assemble(("*", "bold magenta"), (" critical path", "dim")))
    if any(step.get("basis") == "default" for step in steps):
        parts.append(Text("? a guess", style="dim"))
    return flow(parts, width - 1, separator="   ", indent=" ")


def legend_parts(steps: Sequence[Document], glyphs: Glyphs) -> list[Text]:
    """What the bars mean, and where each kind of step happens."""
    parts: list[Text] = []
    for action in ("offline", "prepare", "online"):
        nodes = sorted({printable(step["node"]) for step in steps if step["action"] == action})
        if nodes:
            bar = getattr(glyphs, action) * 2
            parts.append(
                Text.assemble(" " * (not parts), (bar, STYLES[action]), (f" {action} on {', '.join(nodes)}", "dim"))
            )
    return parts


def _critical_lines(document: Document, width: int, glyphs: Glyphs) -> list[Text]:
    path = document.get("critical_path", [])
    if not path:
        return []
    words = [f"{step['action']} {printable(step['component'])}" for step in path]
    if len(words) > 12:
        words = [*words[:6], f"({len(words) - 11} more)", *words[-5:]]
    first = Text.assemble((" critical path  ", "bold"), words[0])
    parts = [first, *(Text(each) for each in words[1:])]
    return [*flow(parts, width - 2, separator=f" {glyphs.arrow} ", indent=" " * 16), Text()]


def _numbers(document: Document, width: int, glyphs: Glyphs) -> list[Text]:
    predicted, limit, phased, serial = (
        float(document.get(name, 0.0)) for name in ("predicted_s", "limit_s", "phased_s", "serial_s")
    )
    entries = [
        ("predicted", predicted, f"{predicted / limit:.2f} {glyphs.times} the limit" if limit > 0 else ""),
        ("limit", limit, "the longest path"),
        ("phased", phased, "everything offline first"),
        ("serial", serial, "one step at a time"),
    ]
    return [*comparison(entries, width, glyphs), *_remarks(document, predicted, limit, phased)]


def _remarks(document: Document, predicted: float, limit: float, phased: float) -> list[Text]:
    lines = [Text()]
    saved = phased - limit
    if saved > 0.0005:
        lines.append(Text(f" pipelining saves {seconds(saved)} of {seconds(phased)} ({saved / phased:.0%})"))
    elif not {"offline", "online"} <= {step["action"] for step in document.get("steps", [])}:
        lines.append(Text(" only one half: there is nothing to overlap", style="dim"))
    else:
        lines.append(Text(" pipelining saves nothing here: the longest path is as long as both halves", style="dim"))
    if predicted - limit > 0.0005:
        bounds = ", ".join(f"{printable(node)} {count}" for node, count in document.get("max_parallel", {}).items())
        why = f"max_parallel ({bounds})" if bounds else "limited parallelism"
        lines.append(Text(f" {why} costs {seconds(predicted - limit)}"))
    steps = document.get("steps", [])
    known = {basis: sum(step.get("basis") == basis for step in steps) for basis in ("learned", "declared", "default")}
    if steps:
        lines.append(
            Text(f" durations: {', '.join(f'{count} {basis}' for basis, count in known.items() if count)}", style="dim")
        )
    return lines
