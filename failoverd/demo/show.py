"""What the demonstration prints: scenes, plans, timelines and a verdict."""

from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from failoverd.cli.bars import seconds
from failoverd.cli.live import LiveTimeline
from failoverd.cli.plan_view import render_plan
from failoverd.cli.timeline import render_timeline
from failoverd.demo.checks import Check, Handover
from failoverd.demo.shop import PARTS

Document = Mapping[str, Any]
PLAIN_WIDTH = 110


class Show:
    """On a terminal with bars that grow, elsewhere as plain text, or (``silent``) not at all."""

    def __init__(self, *, silent: bool) -> None:
        self._console = Console(highlight=False, emoji=False, quiet=silent, width=None)
        if not self._console.is_terminal:
            self._console = Console(highlight=False, emoji=False, quiet=silent, width=PLAIN_WIDTH)

    @property
    def live(self) -> bool:
        return self._console.is_terminal and not self._console.quiet

    def say(self, text: RenderableType = "") -> None:
        self._console.print(text)

    def scene(self, title: str) -> None:
        self.say()
        self.say(Rule(Text(title, style="bold"), align="left", style="dim"))

    def shop(self) -> None:
        """The components and what each depends on."""
        table = Table(box=None, pad_edge=True, header_style="dim", padding=(0, 2, 0, 0))
        for column in ("component", "needs", "what it is"):
            table.add_column(column)
        for name, part in PARTS.items():
            table.add_row(name, ", ".join(part.depends_on) or "-", part.what)
        self.say(table)

    def plan(self, document: Document) -> None:
        self.say(render_plan(document))

    def moving(self, watch: Callable[[Callable[[Document], None]], Document]) -> Document:
        """Show a handover while it runs; ``watch`` calls back with each document and returns the last one."""
        if self.live:
            with LiveTimeline(self._console) as screen:
                document = watch(screen.update)
                screen.update(document)
        else:
            document = watch(lambda _document: None)
            self.say(render_timeline(document, self._console.width))
        return document

    def numbers(self, handover: Handover) -> None:
        """The line that it is all about."""
        text = Text("\n the HTTP service did not answer for ")
        text.append(seconds(handover.silence_s), "bold")
        text.append(f": the last answer came from node {handover.source}, the next one from node {handover.target}")
        self.say(text)

    def check(self, check: Check) -> None:
        line = Text(" ✔ " if check.ok else " ✘ ", style="green" if check.ok else "bold red")
        line.append(check.what, "" if check.ok else "bold")
        if not check.ok and check.detail:
            line.append(f": {check.detail}", "not bold")
        self.say(line)

    def summary(self, handovers: list[Handover]) -> None:
        table = Table(box=None, header_style="dim", padding=(0, 3, 0, 1))
        for column in ("", "took", "limit", "phased", "serial", "took / limit", "no answer for"):
            table.add_column(column, justify="left" if not column else "right")
        for one in handovers:
            numbers = (one.makespan_s, one.limit_s, one.phased_s, one.serial_s)
            ratio = f"{one.makespan_s / one.limit_s:.2f}" if one.limit_s else "-"
            table.add_row(one.title, *map(seconds, numbers), ratio, seconds(one.silence_s))
        self.say(table)
