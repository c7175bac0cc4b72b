"""The checkers find what they are there to find."""

from pathlib import Path

from tests.hosts.records import Beat, Line, Records, moved, never_two, stints, untouched


def line(text: str) -> Line:
    what, node, action, component = text.split()
    return Line(up=0.0, wall=0.0, what=what, node=node, action=action, component=component)


def lines(*texts: str) -> list[Line]:
    return [line(text) for text in texts]


DEAD_A = Line(up=0.0, wall=0.0, what="dead", node="a")
OFFLINE_A = ("begin a offline x", "end a offline x")
ONLINE_B = ("begin b online x", "end b online x")


def test_one_after_the_other_is_fine() -> None:
    assert never_two(lines(*OFFLINE_A, *ONLINE_B), online_on="a") == []
    assert never_two([DEAD_A, *lines(*ONLINE_B)], online_on="a") == []
    assert never_two(lines("begin b online y", "end b online y")) == []


def test_two_at_once_are_found() -> None:
    assert never_two(lines("begin b online x"), online_on="a")
    assert never_two(lines("begin a offline x", "begin b online x", "end a offline x"), online_on="a")
    assert never_two(lines("begin a online x", "end a online x", *ONLINE_B))
    assert never_two(lines("begin a online x", *OFFLINE_A, "end a online x", *ONLINE_B))
    assert never_two([*lines("begin b online x"), DEAD_A], online_on="a")


def beats(text: str) -> list[Beat]:
    return [Beat(wall=n, node=node, component="p", pid=1) for n, node in enumerate(text)]


def test_a_process_on_two_nodes_is_found() -> None:
    assert stints(beats("aaabb")) == {"p": [("a", 1), ("b", 1)]}
    assert stints(beats("aabab")) == {"p": [("a", 1), ("b", 1), ("a", 1), ("b", 1)]}


def written(directory: Path, records: str, beats: str) -> Records:
    (directory / "records").write_text(records)
    (directory / "beats").write_text(beats)
    return Records(directory=directory)


def test_a_move_is_judged_by_both_files(tmp_path: Path) -> None:
    offline = "1.00 1.0 begin a offline x 3\n1.02 1.02 end a offline x 3\n"
    online = "1.50 1.5 begin b online x 4\n1.52 1.52 end b online x 4\n"
    good = written(tmp_path, offline + online, "1.00 1.0 a p 7\n1.60 1.6 b p 7\n1.6")
    judged = moved(good, "a", "b", ["x"], ["p"])
    assert judged.problems == ()
    assert (judged.down_at, judged.up_at) == (1.02, 1.5)
    late = written(tmp_path, online + offline, "1.00 1.0 a p 7\n1.60 1.6 b p 7\n")
    assert moved(late, "a", "b", ["x"], ["p"]).problems
    never = written(tmp_path, online, "1.00 1.0 a p 7\n1.60 1.6 b p 7\n")
    assert any("never went offline" in problem for problem in moved(never, "a", "b", ["x"], ["p"]).problems)
    both = written(tmp_path, offline + online, "1.00 1.0 a p 7\n1.60 1.6 b p 7\n1.70 1.7 a p 7\n")
    assert any("alive on" in problem for problem in moved(both, "a", "b", ["x"], ["p"]).problems)


def test_what_was_to_stay_did(tmp_path: Path) -> None:
    records = written(tmp_path, "", "1.00 1.0 a p 7\n1.02 1.02 a p 7\n")
    assert untouched(records, "a", {"p": 7}) == []
    assert untouched(records, "a", {"p": 8})
    records = written(tmp_path, "1.00 1.0 begin a offline x 3\n", "1.00 1.0 a p 7\n")
    assert untouched(records, "a", {"p": 7})
    records.forget()
    assert records.lines() == []
