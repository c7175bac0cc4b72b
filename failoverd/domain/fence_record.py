"""What the coordinator keeps of the fencing of a node (key ``fence/<node>``), and the devices that can do it.

One record per node: who shoots at which incarnation of it, and what came of the latest shots. It is changed by
compare-and-swap alone, so one node at a time shoots.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

HISTORY_MAX = 10
REASON_CHARS_MAX = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class FenceLevel:
    """One way to switch a node off; where it does not succeed, the next one is tried."""

    agents: tuple[str, ...]
    """Of the level's devices, all of which must confirm (a machine with two power supplies has two)."""
    attempt_s: float
    """The longest that one attempt takes."""
    attempts: int = 1
    delay_s: float = 0.0
    """Before the first attempt, as the administrator wants it."""

    @property
    def longest_s(self) -> float:
        return self.delay_s + self.attempts * self.attempt_s


class FenceState(StrEnum):
    SHOOTING = "shooting"
    OFF = "off"
    """Confirmed: that incarnation has nothing online any more."""
    FAILED = "failed"
    """No level could confirm it. Nothing is known of the node."""
    WITHDRAWN = "withdrawn"
    """It gave a sign of life, or it was not needed any more, before a shot was fired."""


class FencedHow(StrEnum):
    """How it is known that a fenced node has nothing online (releases (b), (c) and (d) of the design)."""

    FENCE_AGENT = "fence_agent"
    LEASE_EXPIRED = "lease_expired"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class FenceEntry:
    """One line of a node's fence history."""

    incarnation: str
    result: FenceState
    how: FencedHow
    by: str
    """The node that shot, and for an operator's word, who gave it."""
    level: int = 0
    """Of the configuration, from 1; 0: none was tried."""
    agent: str = ""
    reason: str = ""
    at: str = ""
    """Wall-clock time (RFC 3339): for people."""
    duration_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FenceRecord:
    incarnation: str
    """Of the node that is to be off. What is said here is said of no other incarnation."""
    state: FenceState
    by: str
    by_incarnation: str = ""
    """Of the shooter: with another one, it does not shoot any more."""
    attempt: int = 1
    """At this incarnation, whoever made it."""
    deadline_s: float = 0.0
    """By when the shooter is through with everything, in seconds from when this was written."""
    reason: str = ""
    at: str = ""
    history: tuple[FenceEntry, ...] = ()
    """The latest first, of all incarnations."""

    def concluded(self, state: FenceState, entry: FenceEntry) -> "FenceRecord":
        short = replace(entry, reason=_short(entry.reason))
        return replace(
            self, state=state, reason=short.reason, at=entry.at, history=(short, *self.history[: HISTORY_MAX - 1])
        )


def _short(text: str) -> str:
    return text[:REASON_CHARS_MAX].encode("utf-8", "replace").decode("utf-8")


def record_faults(record: FenceRecord) -> tuple[str, ...]:
    """What types alone do not say."""
    found = []
    if not record.incarnation:
        found.append("incarnation: must not be empty")
    if not record.by:
        found.append("by: must not be empty")
    if record.attempt < 1:
        found.append(f"attempt: must be 1 or above, it is {record.attempt}")
    if not 0 <= record.deadline_s < float("inf"):
        found.append(f"deadline_s: must be 0 or above, it is {record.deadline_s:g}")
    return tuple(found)
