"""How commands print: JSON for programs, rich for people."""

import json
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

PIPE_WIDTH = 200
"""Where the output is no terminal nothing is wrapped that a script might want to find on one line."""


def print_json(document: Mapping[str, Any]) -> None:
    """One whole document, indented."""
    _write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")


def print_json_line(document: Mapping[str, Any]) -> None:
    """One document of a stream."""
    _write(json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n")


def print_line(text: str) -> None:
    _write(text + "\n")


def console() -> "Console":
    """For stdout; colours only where it is a terminal."""
    from rich.console import Console  # noqa: PLC0415 (50 ms that --json need not spend)

    terminal = sys.stdout.isatty()
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # of a text stream, which stdout is here
    width = None if terminal or os.environ.get("COLUMNS", "").isdigit() else PIPE_WIDTH
    return Console(highlight=False, emoji=False, width=width)


def show(renderable: "RenderableType") -> None:
    """For people; without the blanks that fill up a table where the output is no terminal."""
    out = console()
    if out.is_terminal:
        out.print(renderable)
        return
    with out.capture() as capture:
        out.print(renderable)
    print_line("\n".join(line.rstrip() for line in capture.get().splitlines()))


def _write(text: str) -> None:
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    sys.stdout.buffer.flush()
