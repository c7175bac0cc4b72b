"""The journal's native datagram protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL), so that fields stay fields.

``journalctl FAILOVERD_GROUP=shop`` then finds what concerns one group, and ``-p warning`` goes by level.
"""

import json
import os
import socket
import struct
from collections.abc import Mapping
from typing import Any

JOURNAL_SOCKET = "/run/systemd/journal/socket"
SEND_TIMEOUT_S = 2.0

PRIORITIES = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}
"""By level, as in syslog(3)."""


def is_journal(fd: int, environ: Mapping[str, str]) -> bool:
    """Whether ``fd`` is connected to the journal: JOURNAL_STREAM names its device and inode (systemd.exec(5))."""
    named = environ.get("JOURNAL_STREAM", "")
    try:
        status = os.fstat(fd)
    except OSError:
        return False
    return named == f"{status.st_dev}:{status.st_ino}"


def datagram(record: Mapping[str, Any], message: str) -> bytes:
    """One journal entry: ``message`` for people, and each key of ``record`` as ``FAILOVERD_<KEY>``."""
    parts = [
        _field("MESSAGE", message),
        _field("PRIORITY", str(PRIORITIES.get(str(record.get("level")), 6))),
        _field("SYSLOG_IDENTIFIER", "failoverd"),
    ]
    parts += [_field(_name(key), _plain(value)) for key, value in record.items() if value is not None]
    return b"".join(parts)


class JournalSocket:
    """Sends entries; raises ``OSError`` where the journal does not take one (not running, entry too large)."""

    def __init__(self, path: str = JOURNAL_SOCKET) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(SEND_TIMEOUT_S)

    def send(self, entry: bytes) -> None:
        # Not connected, so that a restarted journal is found again by its path.
        self._socket.sendto(entry, self._path)

    def close(self) -> None:
        self._socket.close()


def _name(key: str) -> str:
    """Journal field names: upper case, digits and underscores, at most 64 characters."""
    kept = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in key)
    return f"FAILOVERD_{kept.upper()}"[:64]


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _field(name: str, text: str) -> bytes:
    value = text.encode("utf-8", "backslashreplace")
    if b"\n" not in value:
        return b"%s=%s\n" % (name.encode(), value)
    return b"%s\n%s%s\n" % (name.encode(), struct.pack("<Q", len(value)), value)
