"""A short run of the benchmarks with wide margins, and the checkers' own tests."""

import dataclasses
import os
from pathlib import Path

import pytest

from tests.bench import agents, handovers, latency, ocf, power, shapes, storm
from tests.bench.table import Row
from tests.harness import Move, Operation, Part, limit, nominal, read_operations


def operation(node: str, action: str, component: str, begin: float, end: float) -> Operation:
    return Operation(node=node, action=action, component=component, begin=begin, end=end)


def good_triangle() -> Move:
    return Move(
        shape=shapes.triangle(),
        source="a",
        target="b",
        offline={
            "A": operation("a", "offline", "A", 0.0, 0.2),
            "B": operation("a", "offline", "B", 0.2, 0.4),
            "C": operation("a", "offline", "C", 0.2, 1.2),
        },
        online={
            "B": operation("b", "online", "B", 0.4, 1.4),
            "C": operation("b", "online", "C", 1.2, 1.4),
            "A": operation("b", "online", "A", 1.4, 1.6),
        },
        asked_at=0.0,
    )


def test_limits_are_as_published() -> None:
    for shape, expected in (
        (shapes.triangle(), 1.6),
        (shapes.wide(40, 0.5), 2.0),
        (shapes.wide(26, 2.0), 8.0),
        (shapes.chain(20, 0.2), 8.0),
        ({"only": Part(online_s=1.0, offline_s=2.0)}, 3.0),
    ):
        assert limit(shape, nominal(shape)) == pytest.approx(expected)


def test_a_perfect_move_is_its_own_limit() -> None:
    move = good_triangle()

    assert move.violations() == []
    assert move.makespan_s == pytest.approx(move.limit_s) == pytest.approx(1.6)
    assert move.hops() == pytest.approx([0.0, 0.0])


@pytest.mark.parametrize(
    ("half", "component", "begin", "rule"),
    [
        ("offline", "B", 0.1, "before A is offline"),
        ("online", "B", 0.3, "before it is released"),
        ("online", "A", 1.3, "before B is online"),
    ],
)
def test_each_broken_order_rule_is_found(half: str, component: str, begin: float, rule: str) -> None:
    move = good_triangle()
    operations = move.offline if half == "offline" else move.online
    operations[component] = dataclasses.replace(operations[component], begin=begin)

    assert any(rule in text for text in move.violations())


def test_records_are_paired_and_a_cut_one_has_no_end(tmp_path: Path) -> None:
    path = tmp_path / "records"
    path.write_text("1.0 begin a online x\n1.5 begin b online y\n2.0 end a online x\n")

    assert read_operations(path) == [
        operation("a", "online", "x", 1.0, 2.0),
        Operation(node="b", action="online", component="y", begin=1.5, end=None),
    ]


def test_the_bare_twin_keeps_the_order_rules(tmp_path: Path) -> None:
    shape = shapes.tangled(3, 25, longest_s=0.0)

    assert storm.bare(shape, tmp_path) > 0

    operations = read_operations(tmp_path / "records")
    assert len(operations) == 50
    halves = {
        action: {each.component: each for each in operations if each.action == action}
        for action in ("offline", "online")
    }
    move = Move(shape=shape, source="a", target="b", offline=halves["offline"], online=halves["online"], asked_at=0.0)
    assert move.violations() == []


def test_a_row_is_judged_by_its_bound() -> None:
    row = Row(case="x", what="y", measured=1.05, bound=1.05)

    assert row.ok
    assert not dataclasses.replace(row, measured=1.06).ok
    assert dataclasses.replace(row, measured=99, bound=None).ok


def test_monitors_are_judged() -> None:
    even = [(turn + number / 10, turn + number / 10 + 0.05, f"c{number}") for turn in range(6) for number in range(10)]

    assert (ocf.overlaps(even), ocf.crowding(even), ocf.punctual(even)) == (0, 1.0, 10)
    assert ocf.overlaps([(0.0, 1.0, "x"), (0.5, 0.6, "x"), (0.7, 0.8, "y")]) == 1
    assert ocf.crowding([*even, *((3.0, 3.1, f"d{number}") for number in range(10))]) > 1.5
    assert ocf.punctual([*even, (0.0, 0.1, "late"), (20.0, 20.1, "late")]) == 10


def assert_within(rows: list[Row], *, factor: float, extra: float = 0.0) -> None:
    """Bounds are for a machine at rest: here they are widened, except where the bound is none at all."""
    for row in rows:
        if row.bound is not None:
            assert row.measured <= row.bound * factor + (extra if row.bound else 0.0), row


@pytest.mark.processes
def test_a_triangle_is_pipelined() -> None:
    rows, _ = handovers.against_nominal("triangle", shapes.triangle())
    assert_within(rows, factor=1.3)


@pytest.mark.processes
def test_a_random_graph_moves_in_order_and_near_its_limit() -> None:
    rows, _ = handovers.against_nominal("random", shapes.tangled(11, 40, longest_s=0.4))
    assert_within(rows, factor=1.5)


@pytest.mark.processes
def test_a_release_is_followed_soon() -> None:
    assert_within(latency.hops(switches=1), factor=1.0, extra=100.0)


@pytest.mark.processes
def test_a_power_cut_is_answered_soon() -> None:
    assert_within(power.power_cut(cuts=2), factor=1.0, extra=1000.0)


@pytest.mark.processes
@pytest.mark.skipif(os.geteuid() != 0 or not agents.PROGRAM.is_dir(), reason="needs root and resource-agents")
def test_native_agents_take_less_time_than_resource_agents() -> None:
    found = agents.agents(rounds=2)
    assert len(found) == 18
    assert_within(found, factor=1.5)
