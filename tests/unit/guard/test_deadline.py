"""The guard's deadline where it outlives the guard: what is read is what was last written whole, in this boot."""

from pathlib import Path

import pytest

from failoverd import procfs
from failoverd.guard.deadline import Deadline
from failoverd.guard.protocol import DEADLINE_NAME


def test_the_next_guard_reads_what_was_written_last(tmp_path: Path) -> None:
    first = Deadline(str(tmp_path))
    assert first.read() is None
    for number in range(5):
        first.write(10.0 + number, 11.0 + number)
    assert Deadline(str(tmp_path)).read() == (14.0, 15.0)
    Deadline(str(tmp_path)).write(20.0, 21.0)
    assert Deadline(str(tmp_path)).read() == (20.0, 21.0)


def test_nothing_has_to_go_down_once_it_is_cleared(tmp_path: Path) -> None:
    first = Deadline(str(tmp_path))
    first.write(10.0, 11.0)
    first.clear()
    assert Deadline(str(tmp_path)).read() is None


def test_another_boot_says_nothing_of_this_one(tmp_path: Path) -> None:
    Deadline(str(tmp_path)).write(10.0, 11.0)
    boot = procfs.boot_id()
    path = tmp_path / DEADLINE_NAME
    other = ("0" if boot[0] != "0" else "1") + boot[1:]
    path.write_bytes(path.read_bytes().replace(boot.encode(), other.encode()))
    assert Deadline(str(tmp_path)).read() is None


@pytest.mark.parametrize("cut", range(0, 68, 5))
def test_one_that_was_killed_while_it_wrote_leaves_what_it_wrote_before(tmp_path: Path, cut: int) -> None:
    first = Deadline(str(tmp_path))
    first.write(10.0, 11.0)
    before = (tmp_path / DEADLINE_NAME).read_bytes()
    first.write(20.0, 21.0)
    after = (tmp_path / DEADLINE_NAME).read_bytes()
    differs = next(place for place in range(len(after)) if before[place] != after[place])
    torn = after[: differs + cut] + before[differs + cut :]
    (tmp_path / DEADLINE_NAME).write_bytes(torn)
    assert Deadline(str(tmp_path)).read() in {(10.0, 11.0), (20.0, 21.0)}


def test_nonsense_is_no_deadline(tmp_path: Path) -> None:
    (tmp_path / DEADLINE_NAME).write_bytes(b"\xff" * 9000)
    assert Deadline(str(tmp_path)).read() is None
