"""What an administrator is told of a ``systemd`` component; what a unit's state means; what systemd is told."""

from pathlib import Path

import pytest

from failoverd.agents.systemd import dropin
from failoverd.agents.systemd.state import UnitState, judge
from failoverd.ports import Presence
from tests.unit.agents.configured import faults


@pytest.mark.parametrize(
    ("unit", "said"),
    [
        ("nginx", "needs the kind of unit at its end (nginx.service?)"),
        ("nginx.servce", "needs the kind of unit at its end"),
        ("a/b.service", "is no name of a unit"),
        ("failoverd.service", "failoverd cannot manage itself"),
        ("[a.service]", "must be the name of a unit"),
        ("session-1.scope", "one of service, socket, timer"),
    ],
)
def test_each_fault_is_named_with_its_place(tmp_path: Path, unit: str, said: str) -> None:
    found = faults(tmp_path, f"{{type: systemd, unit: {unit}}}")
    assert len(found) == 1
    assert found[0].startswith("33: 'unit': ")
    assert said in found[0]


def state(active: str, job: int = 0, load: str = "loaded") -> UnitState:
    return UnitState(load, active, "x", "/unit", job)


@pytest.mark.parametrize(
    ("active", "processes", "presence"),
    [
        ("active", 3, Presence.ONLINE),
        ("reloading", 3, Presence.ONLINE),
        ("activating", 1, Presence.UNKNOWN),
        ("deactivating", 1, Presence.UNKNOWN),
        ("maintenance", 0, Presence.UNKNOWN),
        ("inactive", 0, Presence.OFFLINE),
        ("failed", 0, Presence.OFFLINE),
        ("inactive", 1, Presence.FAILED),
        ("failed", 2, Presence.FAILED),
    ],
)
def test_states(active: str, processes: int, presence: Presence) -> None:
    assert judge("x.service", state(active), processes).presence is presence


def test_one_about_to_be_started_is_not_at_rest() -> None:
    assert not state("inactive", job=7).settled
    assert state("inactive").settled
    assert state("reloading", job=7).settled
    assert not state("activating").settled


def test_the_drop_in_is_written_once(tmp_path: Path) -> None:
    text = dropin.content("x.service", "failoverd.service")
    assert "Before=failoverd.service" in text
    assert "Restart=no" in text
    assert dropin.write("x.service", text, tmp_path)
    assert not dropin.write("x.service", text, tmp_path)
    assert [path.name for path in (tmp_path / "x.service.d").iterdir()] == ["50-failoverd.conf"]
    assert "Restart" not in dropin.content("x.timer", "failoverd.service")
