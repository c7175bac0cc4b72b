"""Incident records as files in ``state_dir/incidents``: bounded in number and size, never needed for safety."""

import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from failoverd.bell import Bell
from failoverd.log.catalogue import Event
from failoverd.ports import EventLog

FILES_MAX = 500
BYTES_MAX = 256 * 1024
STEPS_KEPT = 200
"""Of a record that would be too large."""
WAITING_MAX = 100
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,200}")


class IncidentStore:
    """One file for each record, named by its id, which sorts by time. All of it blocks: for worker threads."""

    def __init__(self, state_dir: Path) -> None:
        self._directory = state_dir / "incidents"

    def write(self, record: dict[str, Any]) -> None:
        """Raises ``OSError``. The file is there as a whole or not at all, also when the machine dies meanwhile."""
        name = str(record["id"])
        if not _NAME.fullmatch(name) or name.startswith("."):
            raise OSError(f"{name!r} cannot be a file name")
        data = _encoded(record)
        self._directory.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=self._directory, prefix=".incident-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(self._directory / f"{name}.json")
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise
        for old in self._files()[FILES_MAX:]:
            old.unlink(missing_ok=True)

    def read(self, group: str | None, limit: int) -> tuple[list[dict[str, Any]], list[str]]:
        """The newest ``limit`` records (of a group), newest first, and a warning for each that cannot be read."""
        found: list[dict[str, Any]] = []
        warnings: list[str] = []
        try:
            files = self._files()
        except OSError as error:
            return [], [f"{self._directory}: {error.strerror or error}"]
        for path in files:
            if len(found) >= limit:
                break
            try:
                record = _decoded(path)
            except (OSError, ValueError, RecursionError) as error:
                warnings.append(f"{path.name}: {error}")
                continue
            if group in {None, record["group"]}:
                found.append(record)
        return found, warnings

    def _files(self) -> list[Path]:
        """Newest first."""
        try:
            found = [path for path in self._directory.iterdir() if path.suffix == ".json" and path.name[0] != "."]
        except FileNotFoundError:
            return []
        return sorted(found, reverse=True)


def _encoded(record: dict[str, Any]) -> bytes:
    data = json.dumps(record, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace")
    if len(data) <= BYTES_MAX:
        return data
    shorter = record | {"steps": record.get("steps", [])[:STEPS_KEPT], "evidence": [], "shortened": True}
    data = json.dumps(shorter, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace")
    if len(data) > BYTES_MAX:
        raise OSError(f"the record has {len(data)} bytes, {BYTES_MAX} are the limit")
    return data


def _decoded(path: Path) -> dict[str, Any]:
    """Raises ``ValueError`` for what is no record of ours."""
    with path.open("rb") as file:
        data = file.read(BYTES_MAX + 1)
    if len(data) > BYTES_MAX:
        raise ValueError("too large for a record")
    record = json.loads(data)
    if not isinstance(record, dict) or record.get("version") != 1:
        raise ValueError("no record of version 1")
    if not all(isinstance(record.get(key), str) for key in ("id", "group", "kind", "ended_at")):
        raise ValueError("lacks id, group, kind or ended_at")
    return record


class IncidentWriter:
    """Writes records in the order in which they come, off the event loop; a directory that cannot be written is told
    once."""

    def __init__(self, store: IncidentStore, log: EventLog) -> None:
        self._store = store
        self._log = log
        self._waiting: list[dict[str, Any]] = []
        self._bell = Bell()
        self._failing = False

    def add(self, record: dict[str, Any]) -> None:
        self._waiting = [*self._waiting, record][-WAITING_MAX:]
        self._bell.ring()

    async def run(self) -> None:
        """Until cancelled; ``flush`` writes what is left."""
        while True:
            seen = self._bell.count
            await self.flush()
            await self._bell.beyond(seen)

    async def flush(self) -> None:
        while self._waiting:
            record = self._waiting.pop(0)
            try:
                await anyio.to_thread.run_sync(self._store.write, record)
            except OSError as error:
                if not self._failing:
                    self._log.emit(Event.STATE_UNWRITABLE, reason=f"incidents: {error.strerror or error}")
                self._failing = True
            else:
                self._failing = False
