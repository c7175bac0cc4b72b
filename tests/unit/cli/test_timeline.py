"""What an operator sees, in the width and the colours of a poor terminal."""

from io import StringIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, RenderableType

from failoverd.cli.bars import UNICODE, Axis, Bar, paint, seconds
from failoverd.cli.plan_view import plain_plan, render_plan
from failoverd.cli.timeline import plain_timeline, render_timeline
from failoverd.domain.handover import HandoverGraph, Move
from failoverd.domain.model import Component, Expected, Group
from failoverd.domain.plan import make_plan, plan_document, step_documents
from failoverd.domain.schedule import Progress
from tests.strategies import group_of, handovers, max_parallels

Document = dict[str, Any]


def component(name: str, *depends_on: str, off: float, on: float) -> Component:
    return Component(name=name, type="exec", depends_on=depends_on, expect=Expected(online_s=on, offline_s=off))


TRIANGLE = group_of(
    {
        "A": component("A", "B", "C", off=0.2, on=0.2),
        "B": component("B", off=0.2, on=1.0),
        "C": component("C", off=1.0, on=0.2),
    }
)


def shown(renderable: RenderableType, width: int = 80, encoding: str = "utf-8", height: int = 50) -> list[str]:
    class Output(StringIO):
        @property
        def encoding(self) -> str:  # type: ignore[override]  # rich asks the file for it
            return encoding

    output = Output()
    console = Console(
        file=output, width=width, height=height, color_system=None, force_terminal=False, legacy_windows=False
    )
    console.print(renderable)
    return output.getvalue().splitlines()


def handover(group: Group = TRIANGLE, move: Move | None = None, now: float = 1.0, **changes: Any) -> Document:
    """A handover that goes to plan, as it is at ``now``."""
    plan = make_plan(group, move or Move.switchover(group.components, "a", "b"))
    times = plan.predict(Progress(now_s=0.0))
    steps = [
        {
            "component": step.component,
            "node": step.node,
            "action": step.action.value,
            "begin_s": begin,
            "end_s": end if end <= now else None,
            "ok": True,
        }
        for step, begin, end in zip(plan.graph.steps, times.begin_s, times.end_s, strict=True)
        if begin <= now
    ]
    over = now >= times.predicted_s
    return {
        "version": 1,
        "group": group.name,
        "source": plan.source,
        "target": plan.target,
        "generation": 7,
        "cause": "operator",
        "state": "done" if over else "running",
        "elapsed_s": now,
        "eta_s": None if over else times.predicted_s - now,
        "makespan_s": times.predicted_s if over else None,
        "detect_s": None,
        "limit_s": plan.numbers.limit_s,
        "phased_s": plan.numbers.phased_s,
        "serial_s": plan.numbers.serial_s,
        "predicted_s": plan.predicted_s,
        "reason": "",
        "steps": steps,
        "plan": step_documents(plan),
        **changes,
    }


def row(lines: list[str], name: str) -> str:
    return next(line for line in lines if f" {name} " in line[:12])


def test_while_it_runs() -> None:
    lines = shown(render_timeline(handover(now=1.0), 80))
    assert "1.00 s elapsed, 2 of 6 steps done, about 600 ms to go" in lines[1]
    assert "offlining 800 ms" in row(lines, "C")
    assert "onlining 600 ms" in row(lines, "B")
    assert "waits" in row(lines, "A")
    done, to_come = row(lines, "B").count(UNICODE.online), row(lines, "B").count(UNICODE.predicted)
    assert done > to_come > 0, "six tenths are drawn as done and four as expected"


def test_the_overlap_is_seen() -> None:
    lines = shown(render_timeline(handover(now=2.0), 80))
    online = {column for column, cell in enumerate(row(lines, "B")) if cell == UNICODE.online}
    offline = {column for column, cell in enumerate(row(lines, "C")) if cell == UNICODE.offline}
    assert len(online & offline) > 10


def test_when_it_is_done_the_makespan_stands_beside_its_measures() -> None:
    text = "\n".join(shown(render_timeline(handover(now=2.0, makespan_s=1.65), 80)))
    assert "done in 1.65 s, 1.03 × the limit" in text  # noqa: RUF001 (the sign that is printed)
    for words in ("limit      1.60 s", "phased     2.40 s", "serial     2.80 s", "750 ms sooner", "away 1.60 s"):
        assert words in text


def test_a_failure_is_told_and_what_never_began_is_not_called_done() -> None:
    document = handover(now=1.0, state="failed", reason="B did not come online on b: exit status 1")
    failed = next(step for step in document["steps"] if (step["component"], step["action"]) == ("B", "online"))
    failed.update(end_s=0.9, ok=False)
    lines = shown(render_timeline(document, 80))
    assert "failed after 1.00 s: B did not come online on b: exit status 1" in lines[1]
    assert "online failed" in row(lines, "B")
    assert UNICODE.failed in row(lines, "B").removeprefix(f" {UNICODE.failed}"), "where it failed, on the axis"
    assert "no online" in row(lines, "A")
    assert UNICODE.done not in row(lines, "A")
    assert not any(UNICODE.predicted in line[12:60] for line in lines[3:7]), "nothing is expected any more"


def test_a_step_that_waits_is_never_expected_in_the_past() -> None:
    document = handover(now=0.1, elapsed_s=9.0, eta_s=0.9)
    lines = shown(render_timeline(document, 80))
    now = next(line for line in lines if UNICODE.now in line).index(UNICODE.now)
    assert row(lines, "B").index(UNICODE.predicted, 4) >= now


def test_of_hundreds_the_interesting_ones_are_shown_and_the_rest_counted() -> None:
    many = {f"c{number}": component(f"c{number}", off=0.5, on=0.5 + number / 100) for number in range(400)}
    document = handover(group_of(many), now=0.6)
    document["steps"][7].update(end_s=0.6, ok=False)
    failed = document["steps"][7]["component"]
    lines = shown(render_timeline(document, 80, max_rows=20))
    assert failed in lines[4]
    assert len(lines) < 30
    assert any("and 380 more: " in line for line in lines)


def test_while_it_runs_it_fits_the_terminal() -> None:
    many = {f"c{number}": component(f"c{number}", off=0.5, on=0.5 + number / 100) for number in range(400)}
    lines = shown(render_timeline(handover(group_of(many), now=0.6), 80), height=24)
    assert len(lines) <= 24
    few = len(shown(render_timeline(handover(now=0.6), 80), height=24))
    assert few < len(lines)


def test_nothing_from_a_document_can_command_the_terminal() -> None:
    name = "evil\x1b[2J\n[bold]x"
    document = handover(group_of({name: component(name, off=0.5, on=0.5)}), now=0.2, reason="\x1b]0;title\x07")
    for text in ("\n".join(shown(render_timeline(document, 80))), "\n".join(plain_timeline(document))):
        assert "\x1b" not in text
        assert "\x07" not in text
    assert "[bold]x" in "\n".join(shown(render_timeline(document, 80))), "shown as it is, not taken for markup"


def test_a_terminal_without_unicode_gets_ascii() -> None:
    for now in (0.5, 2.0):
        assert "\n".join(shown(render_timeline(handover(now=now), 80), encoding="ascii")).isascii()
    plan = plan_document(make_plan(TRIANGLE, Move.switchover(TRIANGLE.components, "a", "b")))
    assert "\n".join(shown(render_plan(plan), encoding="ascii")).isascii()


def test_an_old_record_without_the_newer_fields_is_still_drawn() -> None:
    document = handover(now=2.0)
    for name in ("eta_s", "detect_s", "generation", "reason", "plan", "cause"):
        del document[name]
    assert "done in" in "\n".join(shown(render_timeline(document, 80)))


def test_a_pipe_gets_one_line_for_each_step() -> None:
    lines = plain_timeline(handover(now=2.0))
    assert len(lines) == 1 + 6 + 1
    assert lines[1].split() == ["0.000", "0.200", "offline", "A", "on", "a", "done"]
    assert lines[-1] == "done makespan_s=1.600 limit_s=1.600 phased_s=2.400 serial_s=2.800"
    running = plain_timeline(handover(now=1.0))
    assert running[-1].startswith("running elapsed_s=1.000 eta_s=0.600")
    assert sum(line.endswith("running") for line in running) == 2


def test_the_plan_at_eighty_columns() -> None:
    plan = plan_document(make_plan(TRIANGLE, Move.switchover(TRIANGLE.components, "a", "b")))
    lines = shown(render_plan(plan))
    assert "200 ms*  200 ms*" in row(lines, "A")
    assert "200 ms   1.00 s" in row(lines, "B")
    assert "offline A → offline C → online C → online A" in "\n".join(lines)
    assert " pipelining saves 800 ms of 2.40 s (33%)" in [line.rstrip() for line in lines]
    assert plain_plan(plan)[1].split() == ["0.000", "0.200", "offline", "A", "on", "a", "(declared", "critical)"]


def test_a_limit_and_a_failover_are_explained() -> None:
    move = Move.failover("b")
    text = "\n".join(shown(render_plan(plan_document(make_plan(TRIANGLE, move, source="a", max_parallel={"b": 1})))))
    assert "only one half: there is nothing to overlap" in text
    assert "max_parallel (b 1) costs 200 ms" in text


@given(handovers(), max_parallels(), st.integers(40, 120), st.integers(0, 80))
@settings(deadline=None)
def test_no_line_is_wider_than_the_terminal(
    case: tuple[Group, Move, HandoverGraph], limits: dict[str, int], width: int, tick: int
) -> None:
    group, move, _ = case
    plan = plan_document(make_plan(group, move, max_parallel=limits))
    timeline = render_timeline(handover(group, move, now=tick / 8), width)
    for line in [*shown(render_plan(plan), width), *shown(timeline, width)]:
        assert cell_len(line) <= width


def test_short_steps_are_seen_however_long_the_axis() -> None:
    axis = Axis(total_s=100.0, cells=40)
    bars = [Bar(0.0, 0.01, "o"), Bar(0.01, 0.02, "n"), Bar(99.99, 100.0, "e")]
    assert paint(axis, bars, UNICODE).plain == "on" + " " * 37 + "e"


def test_what_is_expected_hides_nothing_that_happened() -> None:
    axis = Axis(total_s=100.0, cells=40)
    bars = [Bar(0.0, 0.5, "o"), Bar(0.5, 2.0, UNICODE.predicted)]
    assert paint(axis, bars, UNICODE).plain[0] == "o"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 ms"),
        (0.0449, "45 ms"),
        (0.9996, "1.00 s"),
        (9.996, "10.0 s"),
        (99.97, "1m40s"),
        (245, "4m05s"),
        (3725, "1h02m"),
    ],
)
def test_durations_are_read_at_a_glance(value: float, text: str) -> None:
    assert seconds(value) == text
