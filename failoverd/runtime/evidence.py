"""What this daemon said lately that may explain what it did: the evidence of an incident."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from failoverd.log.catalogue import CATALOGUE, Event, Level
from failoverd.ports import Clock, EventLog

KEPT = 500
TEXT_MAX = 500
OUTPUT_MAX = 2_000
_ALSO = frozenset(
    {
        Event.OPERATOR_COMMAND,
        Event.PEER_LEFT,
        Event.NODE_DRAINING,
        Event.GROUP_FROZEN,
        Event.GROUP_THAWED,
        Event.GROUP_CLEARED,
    }
)
"""Beside everything that is a warning or worse."""


@dataclass(frozen=True, slots=True)
class Seen:
    at: float
    """This node's clock."""
    event: Event
    fields: dict[str, Any]


class EvidenceLog:
    """``EventLog``: passes everything on, and remembers a bounded number of what was not plain."""

    def __init__(self, log: EventLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._seen: deque[Seen] = deque(maxlen=KEPT)
        self.on_event: list[Callable[[Event, dict[str, Any]], None]] = []

    def emit(self, event: Event, **fields: Any) -> None:
        self._log.emit(event, **fields)
        if event in _ALSO or CATALOGUE[event].level not in {Level.DEBUG, Level.INFO}:
            self._seen.append(Seen(self._clock.now(), event, fields))
        for callback in self.on_event:
            callback(event, fields)

    def between(self, begin: float, end: float) -> list[Seen]:
        return [each for each in self._seen if begin <= each.at <= end]


def document(seen: Seen, began: float) -> dict[str, Any]:
    """For an incident record: ``at_s`` counts from the incident's begin, and is mostly below 0."""
    fields = {key: _bounded(key, value) for key, value in seen.fields.items() if value is not None}
    return {"at_s": round(seen.at - began, 3), "event": seen.event.value, **fields}


def _bounded(key: str, value: Any) -> Any:
    if isinstance(value, bool | int | float):
        return value
    text = str(value)
    return text[-OUTPUT_MAX:] if key == "output" else text[:TEXT_MAX]
