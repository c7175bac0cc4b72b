"""Which last wills are begun, tried again and given up, on numbers alone."""

from failoverd.guard.protocol import Key, Message
from failoverd.guard.volley import RETRY_S, Shot, Volley

COMMAND = {"kind": "command", "argv": ["true"], "timeout_s": 10.0}
MARK = {"kind": "mark", "mark": "M=a/", "pid": 0, "ticks": 0}


def volley(until: float = 101.0, **wills: Message) -> Volley:
    return Volley({("g", name): will for name, will in wills.items()}, until)


def begin(shots: Volley, now: float) -> list[Shot]:
    begun = shots.to_begin(now)
    for shot in begun:
        shots.begun(shot, now)
    return begun


def left(shots: Volley) -> dict[str, str]:
    return {one["component"]: one["detail"] for one in shots.results() if not one["ok"]}


def test_everything_begins_at_once() -> None:
    shots = volley(a=COMMAND, b=COMMAND, c=MARK)
    assert [shot.key[1] for shot in begin(shots, 100.0)] == ["a", "b"]
    assert begin(shots, 100.0) == []
    assert set(shots.marks) == {("g", "c")}


def test_it_is_over_when_all_is_down() -> None:
    shots = volley(a=COMMAND, b=COMMAND, c=MARK)
    a, b = begin(shots, 100.0)
    shots.ended(a, 0, 100.1)
    shots.ended(b, 7, 100.2)
    assert not shots.over(100.2)
    shots.swept({("g", "c"): "pid 1234"})
    assert not shots.over(100.2)
    shots.swept({})
    assert shots.over(100.2)
    assert left(shots) == {}


def test_what_failed_is_tried_again_while_there_is_time() -> None:
    shots = volley(a=COMMAND)
    (a,) = begin(shots, 100.0)
    shots.ended(a, 1, 100.1)
    assert begin(shots, 100.1) == []
    assert shots.alarm() == 100.1 + RETRY_S
    assert begin(shots, 100.1 + RETRY_S) == [a]
    shots.ended(a, 0, 100.3)
    assert a.attempts == 2
    assert shots.over(100.3)


def test_nothing_begins_after_the_end() -> None:
    shots = volley(a=COMMAND)
    (a,) = begin(shots, 100.0)
    shots.ended(a, "ended by signal 9", 100.95)
    assert shots.over(101.0)
    assert begin(shots, 101.0) == []
    assert left(shots) == {"a": "ended by signal 9"}


def test_a_command_has_its_own_time_out_and_never_more_than_is_left() -> None:
    shots = volley(short={**COMMAND, "timeout_s": 0.25}, long=COMMAND)
    short, long = begin(shots, 100.0)
    assert shots.alarm() == 100.25
    assert shots.overdue(100.25) == [short]
    shots.ended(short, "killed", 100.25)
    assert shots.overdue(101.0) == [long]


def test_a_sweep_that_never_reports_leaves_all_its_marks() -> None:
    shots = volley(a=MARK, b=MARK)
    assert shots.over(101.0)
    assert set(left(shots)) == {"a", "b"}


def test_without_a_will_it_is_left_but_nobody_waits_for_it() -> None:
    shots = volley(a={"kind": "none"})
    assert shots.over(100.0)
    assert set(left(shots)) == {"a"}


def test_results_name_every_component_once() -> None:
    wills: dict[Key, Message] = {("g", "a"): COMMAND, ("h", "a"): MARK, ("h", "b"): {"kind": "none"}}
    found = [(one["group"], one["component"]) for one in Volley(wills, 101.0).results()]
    assert sorted(found) == sorted(wills)
