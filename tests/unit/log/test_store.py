"""events.jsonl: whole lines whatever happens to the disk, rotated, and one event when it cannot be written."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from failoverd.log.catalogue import Event
from failoverd.log.store import FILE_NAME, EventFile, tail


class Reports:
    def __init__(self) -> None:
        self.events: list[tuple[Event, dict[str, Any]]] = []

    def __call__(self, event: Event, **fields: Any) -> None:
        self.events.append((event, fields))


def lines(*numbers: int) -> Sequence[bytes]:
    return [json.dumps({"event": "group.online", "number": number}).encode() + b"\n" for number in numbers]


def stored(directory: Path, limit: int = 100) -> list[int]:
    return [event["number"] for event in tail(directory, limit)]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    file = EventFile(tmp_path / "new", Reports())
    file.write(lines(1, 2))
    file.write(lines(3))
    assert stored(tmp_path / "new") == [1, 2, 3]
    assert stored(tmp_path / "new", 2) == [2, 3]
    assert tail(tmp_path / "absent", 5) == []


def test_rotation_keeps_a_bounded_number_of_bounded_files(tmp_path: Path) -> None:
    file = EventFile(tmp_path, Reports(), size_max=200, kept=2)
    for number in range(100):
        file.write(lines(number))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [FILE_NAME, f"{FILE_NAME}.1", f"{FILE_NAME}.2"]
    assert all(path.stat().st_size < 300 for path in tmp_path.iterdir())
    found = stored(tmp_path)
    assert found == list(range(found[0], 100))


def test_a_successor_goes_on_in_the_same_file_and_rotates_a_full_one(tmp_path: Path) -> None:
    EventFile(tmp_path, Reports()).write(lines(1))
    EventFile(tmp_path, Reports()).write(lines(2))
    assert stored(tmp_path) == [1, 2]
    EventFile(tmp_path, Reports(), size_max=10).write(lines(3))
    assert (tmp_path / f"{FILE_NAME}.1").exists()
    assert stored(tmp_path) == [1, 2, 3]


def test_half_a_line_spoils_no_other(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b'{"event": "group.onl')
    EventFile(tmp_path, Reports()).write(lines(1))
    assert stored(tmp_path) == [1]


def test_a_file_that_was_removed_is_made_anew(tmp_path: Path) -> None:
    file = EventFile(tmp_path, Reports())
    file.write(lines(1))
    (tmp_path / FILE_NAME).unlink()
    file.write(lines(2))
    assert stored(tmp_path) == [2]


def test_trouble_is_said_once_and_its_end_with_what_was_lost(tmp_path: Path) -> None:
    reports = Reports()
    directory = tmp_path / "state"
    directory.write_text("a file where the directory should be")
    file = EventFile(directory, reports)
    for number in range(3):
        file.write(lines(number))
    assert [event for event, _ in reports.events] == [Event.STATE_UNWRITABLE]
    assert reports.events[0][1]["path"] == str(directory / FILE_NAME)
    directory.unlink()
    file.write(lines(9))
    assert [event for event, _ in reports.events] == [Event.STATE_UNWRITABLE, Event.STATE_WRITABLE]
    assert reports.events[1][1]["lost"] == 3
    assert stored(directory) == [9]


def test_a_full_disk_is_no_exception() -> None:
    reports = Reports()
    file = EventFile(Path("/nowhere"), reports)
    file._path = Path("/dev/full")  # what the kernel offers for exactly this test: full(4)
    file.write(lines(1))
    file.write(lines(2))
    assert [event for event, _ in reports.events] == [Event.STATE_UNWRITABLE]
    assert "space" in reports.events[0][1]["reason"]
