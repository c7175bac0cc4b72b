"""The control protocol: one request per connection, JSON lines, on a unix socket (standard library only).

A request is ``{"version":1,"command":…,"params":{…}}`` and one newline. The answer is any number of
``{"type":"update","data":{…}}`` and ``{"type":"lost","count":…}``, then one ``{"type":"result","data":{…}}`` or
``{"type":"error","kind":…,"message":…}``. The client keeps its side open until it has its answer: an end of file
means that it has gone, and ends the request (not what the request set in motion).
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

VERSION = 1
SOCKET_NAME = "control.sock"
REQUEST_MAX = 64 * 1024
"""Bytes of a request with its newline."""
NOT_A_REQUEST = "a request is a JSON object with version, command (string) and params (object)"
ANSWER_MAX = 64 * 1024 * 1024
"""Bytes of one line of an answer that a client accepts."""


class Kind(StrEnum):
    """Why a request has no result; decides the exit status of the command line."""

    REFUSED = "refused"
    USAGE = "usage"
    TIMED_OUT = "timed_out"
    INTERNAL = "internal"


def line(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace") + b"\n"


def request(command: str, params: Mapping[str, Any]) -> bytes:
    return line({"version": VERSION, "command": command, "params": params})


def parse_request(data: bytes) -> tuple[str, dict[str, Any]]:
    """(command, params). Raises ``ValueError`` with the reason."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError("the request is not JSON") from error
    if not isinstance(document, dict):
        raise ValueError(NOT_A_REQUEST)  # noqa: TRY004 (the peer's fault, not a wrong type in our code)
    if document.get("version") != VERSION:
        raise ValueError(f"this daemon speaks version {VERSION} of the control protocol")
    command, params = document.get("command"), document.get("params", {})
    if not isinstance(command, str) or not isinstance(params, dict):
        raise ValueError(NOT_A_REQUEST)  # noqa: TRY004 (likewise)
    return command, params


@contextmanager
def short_path(run_dir: Path, name: str = SOCKET_NAME) -> Iterator[str]:
    """A path of the socket that fits the 108 bytes of sockaddr_un (unix(7)), however long ``run_dir`` is.

    Raises ``OSError`` where ``run_dir`` is missing or may not be entered.
    """
    fd = os.open(run_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{name}"
    finally:
        os.close(fd)
