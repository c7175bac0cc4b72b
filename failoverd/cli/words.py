"""Words, colours and numbers that the views share (standard library only)."""

from collections.abc import Iterable, Mapping
from typing import Any

Document = Mapping[str, Any]

STYLES = {
    "online": "green",
    "up": "green",
    "ok": "green",
    "live": "green",
    "done": "green",
    "offline": "dim",
    "left": "dim",
    "away": "dim",
    "onlining": "cyan",
    "offlining": "cyan",
    "handover": "cyan",
    "running": "cyan",
    "leader": "green",
    "follower": "green",
    "learner": "yellow",
    "no_leader": "bold red",
    "unreachable": "bold red",
    "partial": "yellow",
    "suspected": "yellow",
    "one_way": "yellow",
    "draining": "yellow",
    "frozen": "blue",
    "degraded": "yellow",
    "unknown": "yellow",
    "redirected": "yellow",
    "down": "bold red",
    "lost": "bold red",
    "fenced": "bold red",
    "faulted": "bold red",
    "blocked": "bold red",
    "stuck": "bold red",
    "failed": "bold red",
    "shooting": "bold red",
    "withdrawn": "yellow",
}
PLAIN_COMPONENT_STATES = frozenset({"online", "offline"})
_SEVERITY = ("stuck", "faulted", "unknown", "offlining", "onlining", "online", "offline")


def style(state: str) -> str:
    return STYLES.get(state, "")


def word(state: Any) -> str:
    """A state as people read it."""
    return str(state if state is not None else "-").replace("_", " ")


def plain(text: Any) -> str:
    """Text from elsewhere (an agent, a file) on one line and unable to command the terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in str(text if text is not None else "-"))


def size(count: int) -> str:
    """``20 kB``, ``1.4 MB``."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def seconds(value: Any) -> str:
    """``0.34 s``, ``12.1 s``, ``5 m``; a dash where there is none."""
    if not isinstance(value, (int, float)):
        return "-"
    if value >= 600:
        return f"{value / 60:.0f} m"
    return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"


def counted(states: Iterable[str]) -> list[tuple[int, str]]:
    """How many components are in which state, what needs attention first."""
    tally: dict[str, int] = {}
    for state in states:
        tally[state] = tally.get(state, 0) + 1
    known = [(tally.pop(state), state) for state in _SEVERITY if state in tally]
    return [(count, state) for state, count in sorted(tally.items())] + known


def on_nodes(group: Document) -> dict[str, dict[str, Document]]:
    """The components of a group by node, nodes in the group's order of preference."""
    found: dict[str, dict[str, Document]] = {node: {} for node in group.get("nodes", ())}
    for component, nodes in group.get("components", {}).items():
        for node, state in nodes.items():
            found.setdefault(node, {})[component] = state
    return found


def outcome(handover: Document) -> str:
    """``a -> b in 1.62 s (limit 1.60 s, phased 2.40 s, serial 3.60 s)``."""
    source, target = handover.get("source"), handover.get("target")
    way = f"{source} -> {target}" if source and target else f"on {target}" if target else f"off {source}"
    took = handover.get("makespan_s")
    if took is None:
        took = handover.get("elapsed_s")
    numbers = ", ".join(
        f"{name} {seconds(handover.get(key))}"
        for name, key in (("limit", "limit_s"), ("phased", "phased_s"), ("serial", "serial_s"))
        if handover.get(key) is not None
    )
    return f"{way} in {seconds(took)}" + (f" ({numbers})" if numbers else "")
