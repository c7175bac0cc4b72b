"""What a guard that has fired leaves behind, so that the next daemon can tell: ``<run_dir>/guard.json``."""

import contextlib
import json
import os
from pathlib import Path

from failoverd.guard.protocol import RECORD_NAME, Message

_LAST_NAME = "guard.last.json"
_SIZE_MAX = 4 << 20


def write(directory: str, record: Message) -> None:
    """Whole or not at all. Raises OSError."""
    path = f"{directory}/{RECORD_NAME}"
    beside = f"{path}.tmp"
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        os.write(descriptor, json.dumps(record, indent=1).encode())
    finally:
        os.close(descriptor)
    os.replace(beside, path)  # noqa: PTH105 (the guard's names are relative to where it is)


def take(run_dir: Path) -> Message | None:
    """The record of a firing that nobody was told of yet; from now on it is called ``guard.last.json``."""
    path = run_dir / RECORD_NAME
    try:
        with path.open("rb") as file:
            record = json.loads(file.read(_SIZE_MAX))
    except (OSError, ValueError):
        return None
    with contextlib.suppress(OSError):
        path.replace(run_dir / _LAST_NAME)
    return record if isinstance(record, dict) else None
