"""What a client wrote down of what it asked for and what it was told, and whether the server kept its word.

The file has a line for each thing, in order, with the time (CLOCK_BOOTTIME, seconds): ``ask NUMBER VALUE`` before an
entry is sent, ``ack NUMBER VALUE NODE`` once the server has said that it is committed, ``alone NUMBER VALUE NODE``
where it was written and the server has said that it has no replica to keep it, ``lost NUMBER WHY`` where no answer
came. A number is asked for once. What was asked for and not acknowledged may be there or not; what was acknowledged
must be.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path

SHOWN_MAX = 5


@dataclass(frozen=True, kw_only=True)
class Ack:
    at: float
    number: int
    value: str
    node: str


@dataclass
class Ledger:
    path: Path

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def tail(self, lines: int = 10) -> str:
        return "\n".join(self._text().splitlines()[-lines:])

    def _text(self, offset: int = 0) -> str:
        if not self.path.exists():
            return ""
        with self.path.open() as file:
            file.seek(offset)
            text = file.read()
        return text[: text.rfind("\n") + 1]

    def _of(self, *what: str, offset: int = 0) -> Iterator[tuple[float, list[str]]]:
        for line in self._text(offset).splitlines():
            at, kind, *rest = line.split(" ")
            if kind in what:
                yield float(at), rest

    def acknowledged(self) -> Iterator[Ack]:
        return self._acks("ack")

    def answered(self, offset: int = 0) -> Iterator[Ack]:
        """From that place of the file on, which must be the beginning of a line; also those that may be lost."""
        return self._acks("ack", "alone", offset=offset)

    def _acks(self, *what: str, offset: int = 0) -> Iterator[Ack]:
        for at, (number, value, node) in self._of(*what, offset=offset):
            yield Ack(at=at, number=int(number), value=value, node=node)

    def asked(self) -> dict[int, str]:
        return {int(number): value for _at, (number, value) in self._of("ask")}

    def silence(self, offset: int) -> float:
        """The longest time between two answers from that place on, seconds."""
        times = [ack.at for ack in self.answered(offset)]
        return max((later - former for former, later in pairwise(times)), default=0.0)

    def judge(self, acknowledged: Sequence[Ack], content: Iterable[tuple[int, str, str]]) -> list[str]:
        """``content`` was read after ``acknowledged``."""
        rows = list(content)
        there = {number: (value, node) for number, value, node in rows}
        lost = [ack.number for ack in acknowledged if ack.number not in there]
        changed = [ack.number for ack in acknowledged if there.get(ack.number, (ack.value, ack.node))[0] != ack.value]
        elsewhere = [ack.number for ack in acknowledged if there.get(ack.number, ("", ack.node))[1] != ack.node]
        twice = [number for number, count in Counter(number for number, _, _ in rows).items() if count > 1]
        asked = self.asked()
        unasked = [number for number, value, _ in rows if asked.get(number) != value]
        said = {
            "lost, though acknowledged": lost,
            "other than acknowledged": changed,
            "written by another server than the one that acknowledged it": elsewhere,
            "there twice": twice,
            "there, but never asked for": unasked,
        }
        return [f"{len(those)} {what}: {those[:SHOWN_MAX]}" for what, those in said.items() if those]

    def servers(self, offset: int) -> list[str]:
        """The nodes that answered from that place on, one after another. Entries are asked for one by one, so one that
        answers, then another, then the first again is listed twice."""
        return [node for node, _ in groupby(ack.node for ack in self.answered(offset))]
