"""What a benchmark found, and the table that shows it."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Row:
    case: str
    what: str
    measured: float
    bound: float | None = None
    """The largest value that is good; None: only for information."""
    unit: str = ""
    digits: int = 3
    note: str = ""

    @property
    def ok(self) -> bool:
        return self.bound is None or self.measured <= self.bound

    def cells(self) -> tuple[str, ...]:
        bound = "" if self.bound is None else f"<= {self.bound:g}{self.unit}"
        share = "" if not self.bound else f"{self.measured / self.bound:.2f}"
        verdict = "" if self.bound is None else "ok" if self.ok else "NOT OK"
        return (self.case, self.what, f"{self.measured:.{self.digits}f}{self.unit}", bound, share, verdict, self.note)


HEADER = ("case", "what", "measured", "bound", "of bound", "", "")
RIGHT = (2, 3, 4)


def show(rows: Sequence[Row]) -> None:
    cells = [HEADER, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADER))]
    for index, line in enumerate(cells):
        print(
            "  ".join(
                text.rjust(width) if column in RIGHT else text.ljust(width)
                for column, (text, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
        )
        if index == 0:
            print("-" * min(140, sum(widths) + 2 * len(widths)))


def machine() -> str:
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    return f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}, load {load}"
