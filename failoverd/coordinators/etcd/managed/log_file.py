"""The member's own log: kept small, and read for why it ended. Blocking: call in a thread."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

SIZE_MAX = 8 << 20
KEPT_BYTES = 1 << 20
TAIL_BYTES = 32 << 10
WORST = ("fatal", "panic", "dpanic", "error")

HINTS = (
    (
        "address already in use",
        (
            "another program has the port: look with 'ss -tlnp', and end it or choose another port "
            "(coordinator.client_port, peer_port; the same on every node)"
        ),
    ),
    (
        "cannot assign requested address",
        "the node's first address is not on this machine (yet): look at 'ip address'",
    ),
    (
        "permanently removed",
        (
            "this node was removed from the etcd cluster by a node whose configuration does not name it; where it is "
            "to be one: bring the same configuration to every node, stop failoverd here, move the directory 'etcd' "
            "of the state_dir away, start failoverd"
        ),
    ),
    (
        "cluster ID mismatch",
        (
            "the data here is of another etcd cluster than that of the other nodes; where theirs is right: stop "
            "failoverd and its etcd here, move the directory 'etcd' of the state_dir away, start failoverd"
        ),
    ),
    ("already been bootstrapped", "this node's member has lost its data; it will be removed and added anew"),
    ("no space left", "make room on the file system of the state_dir"),
    ("permission denied", "look at the owner and mode of the directory 'etcd' of the state_dir"),
    ("read-only file system", "the state_dir must be writable"),
    (
        "crc mismatch",
        (
            "its data is damaged: stop failoverd here, move the directory 'etcd' of the state_dir away, start "
            "failoverd; it gets the data from the other members"
        ),
    ),
    ("database file", "another etcd runs on the same data: end it"),
    ("cannot unmarshal", "the installed etcd does not understand its configuration: 3.4 or newer is needed"),
    ("certificate", "key_file and the cluster's name must be the same on every node"),
)


def why_ended(path: Path) -> str:
    """The last complaint of etcd's log, with what to do where that is known; empty where there is none."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
        return _complaint(file.read().decode(errors="replace").splitlines())
    return ""


def _complaint(lines: list[str]) -> str:
    records = [record for line in lines if (record := _record(line)) is not None]
    worst = next((record for record in reversed(records) if record.get("level") in WORST), None)
    plain = [line for line in lines if line.strip() and not line.startswith("{")]
    if worst is None:
        text = plain[-1][:300] if plain else ""
    else:
        text = ": ".join(str(worst[key]) for key in ("msg", "error") if worst.get(key))[:300]
    return hinted(text)


def _record(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def hinted(text: str) -> str:
    for part, hint in HINTS:
        if part in text:
            return f"{text} ({hint})"
    return text


def keep_small(path: Path) -> None:
    """Where it has grown too large, keep its end in a file beside and begin anew. etcd appends, whatever its size."""
    with contextlib.suppress(OSError), path.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        if size <= SIZE_MAX:
            return
        file.seek(size - KEPT_BYTES)
        path.with_suffix(".log.1").write_bytes(file.read())
        file.truncate(0)
