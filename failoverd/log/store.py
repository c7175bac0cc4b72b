"""events.jsonl: the newest events on disk, rotated by size. Best effort: nothing but the record depends on it."""

import json
import os
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from failoverd.log.catalogue import Event

FILE_NAME = "events.jsonl"
SIZE_MAX = 4 * 1024 * 1024
KEPT = 3
"""Older files beside the present one: events.jsonl.1 is the newest of them."""
TAIL_MAX = 2 * 1024 * 1024

Report = Callable[..., None]
"""``EventLog.emit``."""


class EventFile:
    """Appends lines; called by one thread only.

    Emits ``state.unwritable`` once when writing begins to fail and ``state.writable`` once it works again; what could
    not be written meanwhile is counted and lost.
    """

    def __init__(self, state_dir: Path, report: Report, size_max: int = SIZE_MAX, kept: int = KEPT) -> None:
        self._path = state_dir / FILE_NAME
        self._report = report
        self._size_max = size_max
        self._kept = kept
        self._fd: int | None = None
        self._torn = False
        self._lost = 0
        self._failing = False

    def write(self, lines: Sequence[bytes]) -> None:
        try:
            self._append(b"".join(lines))
        except OSError as error:
            self._close()
            self._lost += len(lines)
            if not self._failing:
                self._failing = True
                self._report(Event.STATE_UNWRITABLE, path=str(self._path), reason=error.strerror or str(error))
            return
        if self._failing:
            self._failing = False
            lost, self._lost = self._lost, 0
            self._report(Event.STATE_WRITABLE, path=str(self._path), lost=lost)

    def _append(self, data: bytes) -> None:
        fd = self._opened()
        if self._torn:
            data = b"\n" + data
        written = os.write(fd, data)
        while written < len(data):
            # A short write is what a full disk answers before it fails.
            written += os.write(fd, data[written:])
        self._torn = False

    def _opened(self) -> int:
        if self._fd is not None:
            status = os.fstat(self._fd)
            if status.st_nlink and status.st_size < self._size_max:
                return self._fd
            self._close()
        self._rotate()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        size = os.fstat(self._fd).st_size
        # A daemon that was killed, or a disk that ran full, may have left half a line.
        self._torn = size > 0 and os.pread(self._fd, 1, size - 1) != b"\n"
        return self._fd

    def _rotate(self) -> None:
        try:
            if self._path.stat().st_size < self._size_max:
                return
        except FileNotFoundError:
            return
        for number in range(self._kept, 0, -1):
            older = self._path.with_name(f"{FILE_NAME}.{number}")
            newer = self._path.with_name(f"{FILE_NAME}.{number - 1}") if number > 1 else self._path
            if newer.exists():
                newer.replace(older)

    def _close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def tail(state_dir: Path, limit: int) -> list[dict[str, Any]]:
    """The newest events that the file holds, oldest first: what happened before this daemon was started.

    Lines that are torn or no events are passed over; a file that cannot be read holds none.
    """
    found: deque[dict[str, Any]] = deque(maxlen=limit)
    for path in (state_dir / f"{FILE_NAME}.1", state_dir / FILE_NAME):
        for line in _last_lines(path):
            event = _parsed(line)
            if event is not None:
                found.append(event)
    return list(found)


def _last_lines(path: Path) -> list[bytes]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_MAX))
            return file.read(TAIL_MAX).split(b"\n")
    except OSError:
        return []


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None
