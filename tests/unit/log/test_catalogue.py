"""Code, catalogue and documentation say the same."""

import re
from pathlib import Path

import pytest

from failoverd.log.catalogue import CATALOGUE, RESERVED, Event, Level
from failoverd.log.document import markdown

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "failoverd"
CATALOGUE_FILE = PACKAGE / "log" / "catalogue.py"


def uses() -> dict[str, list[str]]:
    """Which events the package names, and where, the catalogue apart."""
    found: dict[str, list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if path != CATALOGUE_FILE:
            for name in re.findall(r"\bEvent\.([A-Z][A-Z_]*)\b", path.read_text()):
                found.setdefault(name, []).append(str(path.relative_to(ROOT)))
    return found


def test_every_event_has_a_level_and_a_meaning() -> None:
    assert set(CATALOGUE) == set(Event)
    for event, entry in CATALOGUE.items():
        assert isinstance(entry.level, Level), event
        assert entry.meaning.endswith("."), event
        assert len(entry.meaning) > 40, event


def test_names_are_thing_dot_happened() -> None:
    for event in Event:
        assert re.fullmatch(r"[a-z]+\.[a-z_]+", event.value)
        assert event.name.lower() == event.value.replace(".", "_")


def test_every_event_that_the_code_names_exists() -> None:
    unknown = {name: where for name, where in uses().items() if name not in Event.__members__}
    assert not unknown


def test_every_event_is_emitted_somewhere_or_reserved_with_a_reason() -> None:
    silent = {event.name for event in Event if event.name not in uses() and event not in RESERVED}
    assert not silent
    assert all(len(reason) > 10 for reason in RESERVED.values())


@pytest.mark.parametrize("name", ["start", "stop", "started", "stopped"])
def test_components_go_online_and_offline(name: str) -> None:
    assert not [event for event in Event if event.value == f"component.{name}"]


def test_the_documentation_is_the_catalogue() -> None:
    assert (ROOT / "docs" / "events.md").read_text() == markdown()
