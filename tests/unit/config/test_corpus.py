"""Every kind of fault, as a file with the messages that it must give beside it.

``FAILOVERD_REWRITE=1 pytest tests/unit/config/test_corpus.py`` rewrites the expectations; read the difference.
"""

import os
import re
from pathlib import Path

import pytest

from failoverd.config.fault import Fault
from failoverd.config.reader import check
from tests.unit.config.support import CONFIGS, TYPES, FakeMachine

BAD = sorted((CONFIGS / "bad").glob("*.yaml"))
WARNED = sorted((CONFIGS / "warned").glob("*.yaml"))


def printed(faults: tuple[Fault, ...], directory: Path) -> str:
    return "".join(f"{fault}\n" for fault in faults).replace(f"{directory}/", "")


def compare(file: Path, text: str) -> None:
    expected = file.with_suffix(".expected")
    if os.environ.get("FAILOVERD_REWRITE"):
        expected.write_text(text, encoding="utf-8")
    assert text == expected.read_text(encoding="utf-8")


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_bad_file_gives_every_fault_with_its_place(file: Path) -> None:
    report = check(file, TYPES, machine=FakeMachine())
    assert report.config is None
    assert report.faults, "a file in bad/ must have a fault"
    compare(file, printed(report.faults, file.parent))


@pytest.mark.parametrize("file", WARNED, ids=lambda file: file.stem)
def test_warned_file_is_valid_and_gives_every_warning(file: Path) -> None:
    report = check(file, TYPES, machine=FakeMachine())
    assert report.faults == ()
    assert report.config is not None
    assert report.config.warnings == report.warnings != ()
    compare(file, printed(report.warnings, file.parent))


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_every_place_exists(file: Path) -> None:
    """A message with a place that is not in the file sends the administrator looking for nothing."""
    for line in file.with_suffix(".expected").read_text(encoding="utf-8").splitlines():
        match = re.match(r"(?P<file>[^:]+):(?P<line>\d+):(?P<column>\d+): \S", line)
        assert match, line
        lines = (file.parent / match["file"]).read_text(encoding="utf-8", errors="replace").splitlines() or [""]
        # one past the end is where something is missing
        assert int(match["line"]) <= len(lines) + 1
        at = lines[int(match["line"]) - 1] if int(match["line"]) <= len(lines) else ""
        assert 1 <= int(match["column"]) <= len(at) + 1, line


def test_no_expectation_without_its_file() -> None:
    for directory in ("bad", "warned"):
        expected = {path.stem for path in (CONFIGS / directory).glob("*.expected")}
        assert expected == {path.stem for path in (CONFIGS / directory).glob("*.yaml")}
