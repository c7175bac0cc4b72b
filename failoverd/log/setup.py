"""The event log of a daemon: one call of ``setup`` puts it together, ``close`` writes out what is left.

``emit`` itself only makes the fields safe, keeps the event in memory and queues it; rendering and writing happen in
threads, so that no output can hold up a decision (``failoverd.log.background``).
"""

import contextlib
import logging
import os
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from failoverd.log.background import Background
from failoverd.log.catalogue import CATALOGUE, Event, Level
from failoverd.log.journal import JournalSocket, is_journal
from failoverd.log.line import readable
from failoverd.log.outputs import JournalOutput, StreamOutput, console_processors, json_line, json_processors
from failoverd.log.ring import SIZE, EventRing, Record
from failoverd.log.store import EventFile, tail
from failoverd.log.values import safe

STDERR = 2
_OWN_KEYS = frozenset({"event", "ts", "level", "cluster", "node"})


class StructlogEventLog:
    """Implements ``ports.EventLog``. May be used from any thread; never raises, never waits."""

    def __init__(self, *, cluster: str, node: str, wall: Callable[[], str], ring: EventRing) -> None:
        self.ring = ring
        self._identity = {"cluster": cluster, "node": node}
        self._wall = wall
        self._outputs: list[Background[Record]] = []

    def emit(self, event: Event, **fields: Any) -> None:
        entry = CATALOGUE.get(event)
        record: Record = {
            "event": event.value,
            "ts": self._wall(),
            "level": entry.level.value if entry else Level.WARNING.value,
            **self._identity,
        }
        for key, value in fields.items():
            record[f"field_{key}" if key in _OWN_KEYS else key] = safe(value)
        self.ring.add(record)
        for output in self._outputs:
            output.put(record)

    def add_output(self, write: Callable[[Sequence[Record]], None], name: str) -> None:
        """``write`` gets batches in a thread of its own."""

        def lost(count: int) -> None:
            self.emit(Event.EVENTS_LOST, lost=count, output=name)

        self._outputs.append(Background(write, name=f"log-{name}", lost=lost))

    def drain(self, timeout_s: float = 2.0) -> bool:
        """Wait until everything emitted so far was written (each output up to ``timeout_s`` seconds)."""
        return all(output.drain(timeout_s) for output in self._outputs)

    def close(self, timeout_s: float = 2.0) -> None:
        """Write what is left (each output up to ``timeout_s`` seconds). Events emitted later reach the ring only."""
        for output in self._outputs:
            output.close(timeout_s)


class LibraryMessages(logging.Handler):
    """What other packages say through the standard library's logging, from warnings up, as events of ours."""

    def __init__(self, log: StructlogEventLog) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {"logger": record.name, "severity": record.levelname.lower()}
        if record.exc_info and record.exc_info[0] is not None:
            fields["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        try:
            fields["message"] = record.getMessage()
        except (TypeError, ValueError):
            # The library's own format string does not fit its arguments.
            fields["message"] = safe(record.msg)
        self._log.emit(Event.DAEMON_LIBRARY_MESSAGE, **fields)


@contextlib.contextmanager
def setup(
    *,
    cluster: str,
    node: str,
    wall: Callable[[], str],
    state_dir: Path | None,
    fd: int = STDERR,
    environ: Mapping[str, str] = os.environ,
) -> Iterator[StructlogEventLog]:
    """The daemon's log on ``fd``: journal fields where that is the journal, colours where it is a terminal, else JSON
    lines; beside it the ring (with what ``state_dir`` remembers) and ``state_dir/events.jsonl``."""
    earlier = tail(state_dir, SIZE) if state_dir else []
    log = StructlogEventLog(cluster=cluster, node=node, wall=wall, ring=EventRing(earlier))
    log.add_output(_stderr_writer(fd, environ), "stderr")
    if state_dir:
        file = EventFile(state_dir, log.emit)
        log.add_output(lambda records: file.write([json_line(record) for record in records]), "events.jsonl")
    handler = LibraryMessages(log)
    logging.getLogger().addHandler(handler)
    try:
        yield log
    finally:
        logging.getLogger().removeHandler(handler)
        log.close()


def _stderr_writer(fd: int, environ: Mapping[str, str]) -> Callable[[Sequence[Record]], None]:
    stream = StreamOutput(fd, json_processors())
    if is_journal(fd, environ):
        return JournalOutput(stream, readable, JournalSocket()).write
    if _is_terminal(fd):
        return StreamOutput(fd, console_processors(colors="NO_COLOR" not in environ)).write
    return stream.write


def _is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False
