"""The group of the demonstration: a small shop, its components' dependencies, and how long each takes."""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from failoverd.demo import components, customer
from failoverd.demo.local import HOST, LocalCluster

GROUP = "shop"
NODES = ("a", "b")
LISTENING = ("store", "search", "queue", "web")
"""What listens on a port, always the same one: the address that moves with the group."""
FAST = 0.4
"""What ``--fast`` multiplies every duration with."""


@dataclass(frozen=True, kw_only=True)
class Part:
    program: str
    online_s: float
    offline_s: float
    depends_on: tuple[str, ...] = ()
    what: str


PARTS: dict[str, Part] = {
    "volume": Part(program="volume", online_s=0.4, offline_s=0.3, what="the shared volume"),
    "store": Part(
        program="store", online_s=0.5, offline_s=0.4, depends_on=("volume",), what="key-value store, on the volume"
    ),
    "search": Part(
        program="search",
        online_s=1.7,
        offline_s=0.2,
        depends_on=("volume",),
        what="search index, built when it comes up",
    ),
    "queue": Part(program="queue", online_s=0.2, offline_s=2.4, what="message queue, drained when it goes down"),
    "assets": Part(program="assets", online_s=0.9, offline_s=0.1, what="static pages, rendered"),
    "worker-1": Part(program="worker", online_s=0.2, offline_s=0.2, depends_on=("store",), what="worker on the store"),
    "worker-2": Part(program="worker", online_s=0.3, offline_s=0.3, depends_on=("store",), what="worker on the store"),
    "mailer": Part(program="mailer", online_s=0.3, offline_s=0.2, depends_on=("queue",), what="takes from the queue"),
    "web": Part(
        program="web",
        online_s=0.3,
        offline_s=0.2,
        depends_on=("store", "search", "queue", "assets"),
        what="the HTTP service",
    ),
}


def program(file: str | None, *arguments: object) -> list[str]:
    """An argument vector for one of the small programs: isolated, standard library only."""
    return [sys.executable, "-I", "-S", str(file), *map(str, arguments)]


def ready(root: Path, name: str, ports: dict[str, int]) -> dict[str, str]:
    """How the daemon can tell that a process has come up: as each kind of program allows."""
    if name == "web":
        return {"http": f"http://{HOST}:{ports[name]}/"}
    if name in ports:
        return {"tcp": f"{HOST}:{ports[name]}"}
    return {"command": f'test -e {shlex.quote(str(root))}/"$FAILOVERD_NODE"/volatile/{name}.ready'}


def component(root: Path, name: str, part: Part, ports: dict[str, int], scale: float) -> dict[str, Any]:
    """One component's configuration. ``$FAILOVERD_NODE`` is filled in by a shell, as both nodes share this text."""
    programs = components.__file__
    words = shlex.join(program(programs, part.program, root))
    common = {
        "depends_on": list(part.depends_on),
        "expect": {"online": seconds(part.online_s * scale), "offline": seconds(part.offline_s * scale)},
    }
    if part.program in components.STEPS:
        command = f"exec {words} $FAILOVERD_NODE {name}"
        return {
            "type": "exec",
            **{action: f"{command} {action}" for action in ("online", "offline", "monitor")},
            **common,
        }
    return {
        "type": "process",
        "command": f"exec {words} $FAILOVERD_NODE {name}",
        "contain": "session",  # the same for root, for others, and where systemd would make units of them
        "ready": ready(root, name, ports),
        **common,
    }


def seconds(value: float) -> str:
    return f"{round(value * 1000)}ms"


def settings(ports: dict[str, int], scale: float) -> dict[str, Any]:
    """What the small programs read themselves."""
    return {
        "ports": ports,
        "seconds": {
            name: {"online": part.online_s * scale, "offline": part.offline_s * scale} for name, part in PARTS.items()
        },
    }


def configuration(root: Path, ports: dict[str, int], scale: float) -> dict[str, Any]:
    return {
        "heartbeat": {"interval": "50ms", "dead_after": "300ms"},
        "lease": {"ttl": "1s"},
        "groups": {
            GROUP: {
                "nodes": list(NODES),
                "components": {name: component(root, name, part, ports, scale) for name, part in PARTS.items()},
            }
        },
    }


def customer_command(cluster: LocalCluster, port: int) -> list[str]:
    return program(customer.__file__, port, cluster.root / "customer.jsonl")
