"""Time, what is going to happen, and what has happened.

The world knows the truth of every component; the daemons know what their ports tell them. One thread turns everything
in an order that only the seed decides, so a run repeats exactly.
"""

import hashlib
import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol


class Process(Protocol):
    """Something that the world turns: a daemon."""

    name: str

    def next_at(self) -> float | None:
        """World time; None: not by time."""

    def turn(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the trace."""

    at: float
    who: str
    """A node, or ``world``."""
    what: str
    fields: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        said = " ".join(f"{key}={value}" for key, value in self.fields.items())
        return f"{self.at:10.4f} {self.who:<8} {self.what} {said}".rstrip()


@dataclass(frozen=True, slots=True)
class Violation:
    rule: str
    at: float
    text: str

    def __str__(self) -> str:
        return f"{self.rule} at {self.at:.4f}: {self.text}"


class Broken(AssertionError):  # noqa: N818 (the rule was)
    """The first violation ends the run."""

    def __init__(self, violation: Violation) -> None:
        super().__init__(str(violation))
        self.violation = violation


class World:
    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.random = random.Random(seed)
        self.trace: list[Entry] = []
        self.processes: list[Process] = []
        self.steps = 0
        self.violation: Violation | None = None
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._tickets = 0

    def at(self, when: float, action: Callable[[], None]) -> None:
        self._tickets += 1
        heapq.heappush(self._queue, (max(when, self.now), self._tickets, action))

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        self.at(self.now + seconds, action)

    def note(self, who: str, what: str, **fields: Any) -> None:
        self.trace.append(Entry(self.now, who, what, fields))

    def broken(self, rule: str, text: str) -> None:
        """Noted at once; the run ends as soon as the step at hand is through (a daemon must not see it happen)."""
        if self.violation is None:
            self.note("checker", "VIOLATION", rule=rule, text=text)
            self.violation = Violation(rule, self.now, text)

    def run_until(self, end: float) -> None:
        """Let everything happen that is due by ``end``: at one time, the world first and then the daemons in order."""
        while True:
            chosen: Process | None = None
            when = self._queue[0][0] if self._queue else end + 1.0
            for process in self.processes:
                at = process.next_at()
                if at is not None and at < when:
                    chosen, when = process, at
            if when > end:
                break
            self.now = max(self.now, when)
            self.steps += 1
            if chosen is not None:
                chosen.turn()
            else:
                heapq.heappop(self._queue)[2]()
            self.stop_if_broken()
        self.now = end

    def stop_if_broken(self) -> None:
        if self.violation is not None:
            raise Broken(self.violation)

    def digest(self) -> str:
        """Of the whole trace: two runs of one seed have the same."""
        digest = hashlib.sha256()
        for entry in self.trace:
            digest.update(f"{entry.at!r} {entry}\n".encode())
        return digest.hexdigest()[:16]
