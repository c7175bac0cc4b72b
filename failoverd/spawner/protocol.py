"""What the daemon and its helper say to each other over SOCK_SEQPACKET (unix(7)), in JSON.

To the helper, one in each line of a packet: ``{"op": n, "do": "run"|"detach", "argv", "env", …}``,
``{"op": n, "do": "cancel"}``, ``{"do": "ping"}``.
From the helper: ``{"ready": pid}`` or ``{"broken": text}`` once; then for each operation one of
``{"op": n, "failed": text}``, ``{"op": n, "status", "signal", "timed_out", "truncated"}``, then a newline and
the output; or ``{"op": n, "pid", "ticks", "boot"}``; and ``{"pong": true}``.
"""

import json
from typing import Any

PACKET_MAX = 128 * 1024
"""Bytes; below what a socket buffer takes by default, so that a packet is never refused as too long (EMSGSIZE)."""

OUTPUT_MAX = 16 * 1024
"""Bytes of a command's output that are kept: the last ones."""

BUFFER_WANTED = 1 << 20
"""Bytes asked for as the socket's buffers (the system may grant less)."""

ENVIRONMENT_MARK = "FAILOVERD_OPERATION"
"""Set for each command: by it a command is found whose pid was never recorded."""


_ENCODER = json.JSONEncoder(separators=(",", ":"))
_DECODER = json.JSONDecoder()


def encode(message: dict[str, Any], output: bytes = b"") -> bytes:
    text = _ENCODER.encode(message).encode()
    return text + b"\n" + output if output else text


def decode(packet: bytes) -> tuple[dict[str, Any], bytes]:
    """The message and the output after it. Raises ValueError for what is no message."""
    head, _, output = packet.partition(b"\n")
    message = _DECODER.decode(head.decode())
    if not isinstance(message, dict):
        raise ValueError("not a message")  # noqa: TRY004 (one error for all that is malformed)
    return message, output
