"""What a daemon has logged, read while it may be writing."""

import json
from pathlib import Path
from typing import Any


def read_events(file: Path, event: str | None = None) -> list[dict[str, Any]]:
    """Oldest first; of one kind where ``event`` names it. Nothing where there is no file yet."""
    text = file.read_text(errors="replace") if file.exists() else ""
    lines = text[: text.rfind("\n") + 1].splitlines()  # the last one may be half written
    events = [json.loads(line) for line in lines if line.startswith("{")]
    return [each for each in events if event is None or each["event"] == event]
