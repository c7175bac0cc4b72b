"""A handover's timeline on a terminal, moving between the daemon's updates."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from failoverd.cli.timeline import render_timeline

FRAMES_PER_S = 10
ROWS_AROUND = 14
"""Lines of the timeline that are no component's, at the most; a live display cannot be higher than the terminal."""
ROWS_MIN = 4


class LiveTimeline:
    """Shows the newest handover document; the last one stays on the screen."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._document: Mapping[str, Any] | None = None
        self._received = 0.0
        self._live = Live(console=console, get_renderable=self._frame, refresh_per_second=FRAMES_PER_S)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def update(self, document: Mapping[str, Any]) -> None:
        """Drawn with the next frame."""
        self._received = time.monotonic()
        self._document = document

    def _frame(self) -> RenderableType:
        if self._document is None:
            return Text("waiting for the daemon", style="dim")
        document = moved_on(self._document, time.monotonic() - self._received)
        rows = max(ROWS_MIN, self._console.height - ROWS_AROUND)
        return render_timeline(document, self._console.width, rows)


def moved_on(document: Mapping[str, Any], passed_s: float) -> dict[str, Any]:
    """The document as it would be ``passed_s`` later if nothing but time had passed."""
    later = dict(document)
    if document.get("state") != "running":
        return later
    later["elapsed_s"] = (document.get("elapsed_s") or 0.0) + passed_s
    eta = document.get("eta_s")
    if isinstance(eta, (int, float)):
        later["eta_s"] = max(0.0, eta - passed_s)
    return later
