"""Time, what is going to happen, and what has happened.

The world knows the truth of every component; the daemons know what their ports tell them. One thread turns everything
in an order that only the seed decides, so a run repeats exactly.
"""

import hashlib
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any, NamedTuple, Protocol


class Process(Protocol):
    """Something that is to run at once: the event loop of a daemon."""

    def drain(self) -> None: ...


class Entry(NamedTuple):
    """One line of the trace."""

    at: float
    who: str
    """A node, or ``world``."""
    what: str
    fields: dict[str, Any]

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
        self.due: deque[Process] = deque()
        """What has something to do now."""
        self.running: Process | None = None
        """What ran last, or runs."""
        self.steps = 0
        self.violation: Violation | None = None
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._tickets = 0

    def at(self, when: float, action: Callable[..., None], *args: Any) -> None:
        self._tickets += 1
        heappush(self._queue, (when, self._tickets, action, args))

    def after(self, seconds: float, action: Callable[..., None], *args: Any) -> None:
        self._tickets += 1
        heappush(self._queue, (self.now + seconds, self._tickets, action, args))

    def note(self, who: str, what: str, **fields: Any) -> None:
        self.trace.append(Entry(self.now, who, what, fields))

    def broken(self, rule: str, text: str) -> None:
        """Noted at once; the run ends as soon as the step at hand is through (a daemon must not see it happen)."""
        if self.violation is None:
            self.note("checker", "VIOLATION", rule=rule, text=text)
            self.violation = Violation(rule, self.now, text)

    def run_until(self, end: float) -> None:
        """Let everything happen that is due by ``end``: each event, and whatever it makes the daemons do at once."""
        queue, due, now = self._queue, self.due, self.now
        self.at(self.now, _nothing)  # what was done between two runs has made daemons ready
        while queue and queue[0][0] <= end:
            when, _, action, args = heappop(queue)
            if when > now:
                self.now = now = when
            self.steps += 1
            action(*args)
            while due:
                due.popleft().drain()
            if self.violation is not None:
                raise Broken(self.violation)
        self.now = end

    def stop_if_broken(self) -> None:
        if self.violation is not None:
            raise Broken(self.violation)


def _nothing() -> None:
    """Happens."""


def digest_of(trace: Iterable[Entry]) -> str:
    """Of a whole trace: two runs of one seed have the same."""
    digest = hashlib.sha256()
    for entry in trace:
        digest.update(f"{entry.at!r} {entry}\n".encode())
    return digest.hexdigest()[:16]
