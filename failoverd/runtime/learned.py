"""Learned durations in ``state_dir/durations.json``: a help for predictions, never needed for safety."""

import json
import os
import tempfile
from pathlib import Path

from failoverd.domain.durations import LearnedDurations

BYTES_MAX = 4 * 1024 * 1024


class LearnedStore:
    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "durations.json"

    def read(self) -> LearnedDurations:
        """Nothing is learned yet where the file is missing, unreadable or not ours."""
        try:
            with self._path.open("rb") as file:
                return LearnedDurations.from_dict(json.loads(file.read(BYTES_MAX)))
        except (OSError, ValueError, RecursionError):
            return LearnedDurations()

    def write(self, learned: LearnedDurations) -> None:
        """Replace the file as a whole (blocking). Raises ``OSError``."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=".durations-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(json.dumps(learned.to_dict()))  # json.dump would be slow, and the interpreter is shared
            Path(name).replace(self._path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
