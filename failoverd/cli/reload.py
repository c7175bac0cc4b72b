"""``failoverd reload``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from failoverd.cli.output import print_json, print_line
from failoverd.control.client import call

TIMEOUT_S = 30.0
"""Reading and checking a large configuration takes seconds; the daemon goes on meanwhile."""


def ask(run_dir: Path, *, as_json: bool) -> int:
    document = call(run_dir, "reload", {}, timeout_s=TIMEOUT_S)
    if as_json:
        print_json(document)
    else:
        print_line(f"reloaded: {_changes(document)}")
    return 0


def _changes(document: Mapping[str, Any]) -> str:
    """Whatever the daemon says that it changed, in its own words; empty lists say nothing."""
    said = [
        f"{key} {', '.join(map(str, value)) if isinstance(value, list) else value}"
        for key, value in document.items()
        if key != "version" and value not in ([], {}, None, "")
    ]
    return "; ".join(said) or "nothing changed"
