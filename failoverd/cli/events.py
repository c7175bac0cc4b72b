"""``failoverd events``: one readable line per event."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from failoverd.cli.guard import say
from failoverd.cli.output import print_json, print_json_line, print_line
from failoverd.control.client import call
from failoverd.log.line import readable

TIMEOUT_S = 5.0
_COLOURS = {"debug": "2", "warning": "33", "error": "31", "critical": "1;31"}
"""SGR parameters (ECMA-48); info has none."""
_INDENTED = ("traceback", "output")


def show(run_dir: Path, limit: int, *, as_json: bool) -> int:
    document = call(run_dir, "events", {"follow": False, "limit": limit}, timeout_s=TIMEOUT_S)
    if as_json:
        print_json(document)
        return 0
    for event in document.get("events", ()):
        print_line(_line(event))
    return 0


def follow(run_dir: Path, limit: int, *, as_json: bool) -> int:
    """Until interrupted or until the daemon ends."""

    def on_update(document: dict[str, Any]) -> None:
        event = document.get("event")
        if isinstance(event, dict):
            if as_json:
                print_json_line(event)
            else:
                print_line(_line(event))

    def on_lost(count: int) -> None:
        say(f"{count} events were lost here, because this end read too slowly")

    call(run_dir, "events", {"follow": True, "limit": limit}, timeout_s=None, on_update=on_update, on_lost=on_lost)
    return 0


def _line(event: Mapping[str, Any]) -> str:
    """``12:34:56.789 a warning  link.down peer=b …``, with an agent's output and tracebacks indented below."""
    level = str(event.get("level", "info"))
    name, _, fields = readable(event).partition(" ")
    head = f"{_time(event)} {event.get('node', '?')} {_coloured(f'{level:<8} {name}', level)} {fields}".rstrip()
    below = [
        f"    {line}"
        for key in _INDENTED
        if isinstance(event.get(key), str)
        for line in _printable(event[key]).splitlines()
    ]
    return "\n".join([head, *below])


def _time(event: Mapping[str, Any]) -> str:
    """Date and time of day to the millisecond, of an RFC 3339 time in UTC."""
    stamp = str(event.get("ts", ""))
    return f"{stamp[:10]} {stamp[11:23]}" if len(stamp) >= 23 else stamp or "-"


def _printable(text: str) -> str:
    """An agent may print what it likes; it must not command our terminal."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "�" for letter in text)


def _coloured(text: str, level: str) -> str:
    code = _COLOURS.get(level)
    plain = code is None or not sys.stdout.isatty() or "NO_COLOR" in os.environ
    return text if plain else f"\x1b[{code}m{text}\x1b[0m"
