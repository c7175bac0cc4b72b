"""Where events go: JSON lines, a coloured terminal, or the journal. Each renders and writes in its own thread."""

import errno
import json
import os
import select
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

import structlog

from failoverd.log.journal import JournalSocket, datagram

Record = dict[str, Any]
WRITE_TIMEOUT_S = 5.0
"""For how long a non-blocking output may refuse a batch before it is dropped."""

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_HIDDEN_ON_TERMINAL = ("cluster", "node")


def json_line(record: Mapping[str, Any]) -> bytes:
    """One line. Lone surrogates (file names that are no UTF-8) become escapes, which JSON reads back."""
    return _ENCODER.encode(record).encode("utf-8", "backslashreplace") + b"\n"


def write_all(fd: int, data: bytes) -> None:
    """Write everything, also where ``fd`` is non-blocking. Raises ``OSError``, or ``TimeoutError`` after
    ``WRITE_TIMEOUT_S`` without progress."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError as error:
            poll = select.poll()
            poll.register(fd, select.POLLOUT)
            if not poll.poll(WRITE_TIMEOUT_S * 1000):
                raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)) from error


class _Lines:
    """The innermost logger of structlog's chain: collects what was rendered until the batch is written."""

    def __init__(self) -> None:
        self.rendered: list[str] = []

    def msg(self, line: str) -> None:
        self.rendered.append(line)

    debug = info = warning = error = critical = msg

    def taken(self) -> bytes:
        lines, self.rendered = self.rendered, []
        return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")


class StreamOutput:
    """Renders records by structlog's processors and writes them to a file descriptor.

    An output that fails (a pipe whose reader has gone, a full disk) loses its batch: there is nowhere left to say so.
    """

    def __init__(self, fd: int, processors: Sequence[Callable[..., Any]]) -> None:
        self._fd = fd
        self._lines = _Lines()
        # Bound once: what structlog does for each event is then one call of the chain.
        self._logger = structlog.wrap_logger(
            self._lines,
            processors=[_event_first, *processors],
            wrapper_class=structlog.make_filtering_bound_logger(0),
            context_class=dict,
        ).bind()

    def write(self, records: Sequence[Record]) -> None:
        for record in records:
            getattr(self._logger, record["level"])(**record)
        try:
            write_all(self._fd, self._lines.taken())
        except OSError:
            return


class JournalOutput:
    """Native journal entries; JSON lines on the stream that systemd connected where the journal takes no datagram."""

    def __init__(self, fallback: StreamOutput, message: Callable[[Record], str], journal: JournalSocket) -> None:
        self._fallback = fallback
        self._message = message
        self._journal = journal

    def write(self, records: Sequence[Record]) -> None:
        for record in records:
            try:
                self._journal.send(datagram(record, self._message(record)))
            except OSError:
                self._fallback.write([record])


def json_processors() -> list[Callable[..., Any]]:
    return [structlog.processors.JSONRenderer(serializer=_serialise)]


def console_processors(*, colors: bool) -> list[Callable[..., Any]]:
    renderer = structlog.dev.ConsoleRenderer(
        colors=colors,
        sort_keys=False,
        timestamp_key="ts",
        pad_event_to=22,
        exception_formatter=structlog.dev.plain_traceback,
    )
    return [_for_people, renderer]


def _serialise(record: Mapping[str, Any], **_ignored: Any) -> str:
    return _ENCODER.encode(record)


def _event_first(_logger: Any, _method: str, record: MutableMapping[str, Any]) -> Record:
    return {"event": record["event"], **record}


def _for_people(_logger: Any, _method: str, record: MutableMapping[str, Any]) -> Record:
    """On one's own terminal cluster and node are known, and a traceback is to be read."""
    shown = {key: value for key, value in record.items() if key not in _HIDDEN_ON_TERMINAL and value is not None}
    shown["level"] = record["level"]
    if "traceback" in shown:
        shown["exception"] = shown.pop("traceback")
    return shown
