"""What the daemon, its guard and that guard's successor say to each other: JSON objects over SOCK_SEQPACKET.

To the guard, one in each line of a packet, with a number ``n``; answered, in lines too, by ``{"n": n}`` or
``{"n": n, "refused": why}``:
``{"do": "arm"|"hold", "key": [group, component], "will": {…}}``, ``{"do": "disarm", "key"}``,
``{"do": "extend", "fires_at", "ends"}``, ``{"do": "helper", "pid", "ticks"}``, ``{"do": "leave"}``.
From the guard, once: ``{"ready": pid, "realtime", "locked", "inherited": [key, …]}`` or ``{"broken": why}``.

A successor to the guard that it finds: ``{"do": "succeed"}``; answered by ``{"key", "will"}`` for each will,
then ``{"all": count, "version", "fires_at", "ends"}``; then ``{"do": "taken"}``, answered by ``{"yours": true}``.
Instead of any of it: ``{"firing": true}`` (wait for the lock) or ``{"refused": why}``.

A will: ``{"kind": "command", "argv", "env", "cwd", "uid", "gid", "groups", "timeout_s"}``,
``{"kind": "mark", "mark", "pid", "ticks", "cgroups"}``,
``{"kind": "address", "address", "prefix", "interface", "timeout_s"}``,
``{"kind": "mount", "spec", "signal", "lazy", "timeout_s"}``
or ``{"kind": "none"}``.
"""

import json
from typing import Any

VERSION = 2
PACKET_MAX = 128 * 1024
"""Bytes; below what a socket buffer takes by default, so that a packet is never refused as too long (EMSGSIZE)."""

BUFFER_WANTED = 1 << 20
"""Bytes asked for as the socket's buffers (the system may grant less)."""

SOCKET_NAME = "guard.sock"
LOCK_NAME = "guard.lock"
DEADLINE_NAME = "guard.deadline"
RECORD_NAME = "guard.json"

Key = tuple[str, str]
"""Group and component."""

Message = dict[str, Any]

_ENCODER = json.JSONEncoder(separators=(",", ":"))
_DECODER = json.JSONDecoder()


def encode(message: Message) -> bytes:
    return _ENCODER.encode(message).encode()


def decode(packet: bytes) -> Message:
    """Raises ValueError for what is no message."""
    message = _DECODER.decode(packet.decode())
    if not isinstance(message, dict):
        raise ValueError("not a message")  # noqa: TRY004 (one error for all that is malformed)
    return message
