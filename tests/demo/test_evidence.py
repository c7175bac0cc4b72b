"""The demonstration's checks must fail when what they check did not happen."""

import json
from pathlib import Path
from typing import Any

from failoverd.demo import checks, evidence
from failoverd.demo.evidence import Cut, Gap
from failoverd.demo.shop import PARTS


def write(path: Path, *lines: dict[str, Any]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def said(t: float, node: str, component: str, what: str) -> dict[str, Any]:
    return {"t": t, "node": node, "component": component, "what": what, "pid": 1}


def life(node: str, component: str, begin: float, end: float | None) -> list[dict[str, Any]]:
    lines = [said(begin, node, component, "begin"), said(begin + 0.1, node, component, "up")]
    return lines if end is None else [*lines, said(end, node, component, "down")]


def test_a_life_on_each_node_one_after_the_other_is_fine(tmp_path: Path) -> None:
    write(tmp_path / "records.jsonl", *life("a", "web", 1, 2), *life("b", "web", 2.5, None))

    assert checks.ran_once(tmp_path, []).ok


def test_a_double_run_is_found(tmp_path: Path) -> None:
    write(tmp_path / "records.jsonl", *life("a", "web", 1, 3), *life("b", "web", 2.5, None))

    check = checks.ran_once(tmp_path, [])

    assert not check.ok
    assert "web lived on a and b at once" in check.detail


def test_a_component_that_met_its_double_is_believed(tmp_path: Path) -> None:
    write(
        tmp_path / "records.jsonl",
        *life("a", "web", 1, 2),
        said(3, "b", "web", "begin"),
        said(3, "b", "web", "conflict"),
    )

    assert not checks.ran_once(tmp_path, []).ok


def test_a_power_cut_ends_what_lived_on_its_node_only(tmp_path: Path) -> None:
    write(
        tmp_path / "records.jsonl",
        *life("a", "web", 1, None),
        *life("b", "other", 1, None),
        *life("b", "web", 5.5, None),
    )

    found, wrong = evidence.lives(tmp_path, [Cut(node="a", at=5.0)])

    assert not wrong
    ends = {(life.node, life.component): life.end for life in found}
    assert ends == {("a", "web"): 5.0, ("b", "other"): None, ("b", "web"): None}
    assert checks.ran_once(tmp_path, [Cut(node="a", at=5.0)]).ok
    assert not checks.ran_once(tmp_path, [Cut(node="a", at=6.0)]).ok


def test_a_half_written_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    write(path, *life("a", "web", 1, None))
    path.write_text(path.read_text() + '{"t": 3, "no')

    assert len(evidence.lives(tmp_path, [])[0]) == 1


def test_moved_wants_every_component_up_on_the_target_and_none_on_the_source(tmp_path: Path) -> None:
    lines = [line for name in PARTS for line in [*life("a", name, 1, 2), *life("b", name, 3, None)]]
    write(tmp_path / "records.jsonl", *lines)
    assert checks.moved(tmp_path, [], "a", "b").ok

    write(tmp_path / "records.jsonl", *lines[:-1])
    assert not checks.moved(tmp_path, [], "a", "b").ok

    write(tmp_path / "records.jsonl", *lines, *life("a", "web", 5, None))
    assert not checks.moved(tmp_path, [], "a", "b").ok


def test_pipelining_is_an_overlap_of_different_components(tmp_path: Path) -> None:
    write(tmp_path / "records.jsonl", *life("a", "x", 1, 12), *life("a", "y", 1, 15), *life("b", "x", 13, None))
    assert checks.overlapped(tmp_path, "a", "b", since=10).ok

    write(tmp_path / "records.jsonl", *life("a", "x", 1, 12), *life("a", "y", 1, 15), *life("b", "x", 15.5, None))
    assert not checks.overlapped(tmp_path, "a", "b", since=10).ok


def test_a_node_that_takes_something_is_caught(tmp_path: Path) -> None:
    write(tmp_path / "records.jsonl", *life("a", "web", 1, 2))

    assert checks.took_nothing(tmp_path, "a", since=3).ok
    assert not checks.took_nothing(tmp_path, "a", since=0).ok


def test_a_lost_order_is_found(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "store.log").write_text("order-1 1\njobs-worker 7\norder-2 2\n")
    customer = tmp_path / "customer.jsonl"

    write(customer, {"what": "order", "number": 1, "t": 1}, {"what": "order", "number": 2, "t": 2})
    assert checks.kept_orders(tmp_path, customer).ok

    write(customer, {"what": "order", "number": 3, "t": 1})
    assert not checks.kept_orders(tmp_path, customer).ok


def test_the_service_must_answer_from_the_other_node() -> None:
    assert checks.answers_again(Gap(begin=1, end=2, before="a", after="b"), "a", "b").ok
    assert not checks.answers_again(Gap(begin=1, end=2, before="a", after="a"), "a", "b").ok
    assert not checks.answers_again(None, "a", "b").ok
