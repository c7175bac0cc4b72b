"""Real daemons for tests and benchmarks: groups of `exec` components that keep their own records, and their checkers.

The checkers are naive on purpose and share no code with what they judge.
"""

import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from failoverd.demo.local import LocalCluster, LocalNode

AGENT = Path(__file__).parent / "bench" / "agent.sh"
GROUP = "trial"


@dataclass(frozen=True, kw_only=True)
class Part:
    """One component: how long it takes and what it needs."""

    online_s: float = 0.0
    offline_s: float = 0.0
    needs: tuple[str, ...] = ()


Shape = Mapping[str, Part]


def dependents(shape: Shape, name: str) -> list[str]:
    return [other for other, part in shape.items() if name in part.needs]


def limit(shape: Shape, durations: Callable[[str, str], float]) -> float:
    """The longest path through the two-sided graph, seconds; ``durations(component, action)``."""

    @cache
    def offline_done(name: str) -> float:
        return max((offline_done(other) for other in dependents(shape, name)), default=0.0) + durations(name, "offline")

    @cache
    def online_done(name: str) -> float:
        begin = max([offline_done(name), *(online_done(other) for other in shape[name].needs)])
        return begin + durations(name, "online")

    return max(online_done(name) for name in shape)


def nominal(shape: Shape) -> Callable[[str, str], float]:
    """Durations as declared."""
    return lambda name, action: shape[name].online_s if action == "online" else shape[name].offline_s


# --- the components' own records --------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Operation:
    """Times are seconds of the wall clock (bash has no other): all of one machine's, good for differences."""

    node: str
    action: str
    component: str
    begin: float
    end: float | None


def read_operations(path: Path) -> list[Operation]:
    found: list[Operation] = []
    open_at: dict[tuple[str, str, str], float] = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        t, what, node, action, component = line.split(" ")
        key = (node, action, component)
        if what == "begin":
            assert key not in open_at, f"two at once: {line}"
            open_at[key] = float(t)
        else:
            begin = open_at.pop(key)
            found.append(Operation(node=node, action=action, component=component, begin=begin, end=float(t)))
    found += [Operation(node=n, action=a, component=c, begin=t, end=None) for (n, a, c), t in open_at.items()]
    return found


@dataclass(frozen=True, kw_only=True)
class Move:
    """One handover as its components recorded it."""

    shape: Shape
    source: str
    target: str
    offline: dict[str, Operation]
    online: dict[str, Operation]
    asked_at: float
    """Wall clock, just before the command was sent."""

    @property
    def makespan_s(self) -> float:
        """From the command to the end of the last operation."""
        return max(end_of(operation) for operation in self.online.values()) - self.asked_at

    @property
    def limit_s(self) -> float:
        """With the durations that the components recorded."""
        return limit(self.shape, self.measured)

    def measured(self, component: str, action: str) -> float:
        operation = (self.online if action == "online" else self.offline)[component]
        return end_of(operation) - operation.begin

    def violations(self) -> list[str]:
        """Where the order rules of a handover were broken."""
        found = []
        for name, part in self.shape.items():
            first = [(f"{other} is offline", self.offline[other]) for other in dependents(self.shape, name)]
            found += broken(self.offline[name], first)
            first = [(f"{other} is online", self.online[other]) for other in part.needs]
            found += broken(self.online[name], [("it is released", self.offline[name]), *first])
        return found

    def hops(self) -> list[float]:
        """From a component's own end of its offline on the source to the begin of its online on the target, seconds,
        of those that waited for nothing but their own release."""
        return [self.online[name].begin - end_of(self.offline[name]) for name in self.hopping()]

    def hopping(self) -> list[str]:
        """The components whose online waited for nothing but their own release."""
        return [
            name
            for name in self.online
            if all(end_of(self.online[other]) < end_of(self.offline[name]) for other in self.shape[name].needs)
        ]


def broken(operation: Operation, first: list[tuple[str, Operation]]) -> list[str]:
    return [
        f"{operation.action} of {operation.component} on {operation.node} began before {what}"
        for what, other in first
        if operation.begin < end_of(other)
    ]


def end_of(operation: Operation) -> float:
    assert operation.end is not None, f"{operation} never ended"
    return operation.end


# --- daemons ----------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Trial:
    """A cluster with one group, called ``trial``, of the given shape."""

    cluster: LocalCluster
    shape: Shape

    def __getitem__(self, node: str) -> LocalNode:
        return self.cluster[node]

    @property
    def records(self) -> Path:
        return self.cluster.root / "records"

    def owner(self) -> str:
        for node in self.cluster.nodes.values():
            status = node.status()
            if status and status["groups"][GROUP]["owner"]:
                return str(status["groups"][GROUP]["owner"])
        raise AssertionError("nobody owns the group")

    def operations(self) -> list[Operation]:
        return read_operations(self.records)

    def forget(self) -> None:
        """Begin the records anew."""
        self.records.unlink(missing_ok=True)

    def settle(self, owner: str | None, timeout_s: float = 60.0) -> dict[str, Any]:
        return self.cluster.wait_group(GROUP, state="online", owner=owner, timeout_s=timeout_s)

    def switch(self, *, by: str | None = None, timeout_s: float = 120.0) -> tuple[Move, dict[str, Any]]:
        """A planned handover to the other node, asked of the source (or ``by``): (its records, its document)."""
        source = self.owner()
        target = next(name for name in self.cluster.nodes if name != source)
        self.forget()
        asked_at = wall()
        document = self[by or source].ask(
            "switch", group=GROUP, to=target, wait=True, updates=False, timeout_s=timeout_s
        )
        self.settle(target)
        return self.move(source, target, asked_at), document

    def move(self, source: str, target: str, asked_at: float) -> Move:
        operations = self.operations()
        done = [(operation.node, operation.action) for operation in operations]
        assert set(done) == {(source, "offline"), (target, "online")}, f"unexpected operations: {set(done)}"
        assert len(done) == 2 * len(self.shape), f"{len(done)} operations for {len(self.shape)} components"
        return Move(
            shape=self.shape,
            source=source,
            target=target,
            offline={operation.component: operation for operation in operations if operation.action == "offline"},
            online={operation.component: operation for operation in operations if operation.action == "online"},
            asked_at=asked_at,
        )


def wall() -> float:
    """The clock that the components' records use."""
    return time.time()


def milliseconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


def exec_component(root: Path, part: Part) -> dict[str, Any]:
    return {
        "type": "exec",
        "online": ["/bin/bash", str(AGENT), str(root), "online", f"{part.online_s:g}"],
        "offline": ["/bin/bash", str(AGENT), str(root), "offline", f"{part.offline_s:g}"],
        "monitor": ["/bin/bash", str(AGENT), str(root), "monitor", "0"],
        "depends_on": list(part.needs),
        "expect": {"online": milliseconds(part.online_s), "offline": milliseconds(part.offline_s)},
    }


@contextmanager
def trial(
    shape: Shape,
    *,
    settings: Mapping[str, Any] | Callable[[Path], Mapping[str, Any]] | None = None,
    components: Callable[[Path], dict[str, Any]] | None = None,
    group: Mapping[str, Any] | None = None,
    online: bool = True,
) -> Iterator[Trial]:
    """Two daemons with a group of `exec` components (or ``components``), online on one of them; everything is ended
    and removed at the end. ``settings`` go beside ``groups`` in the configuration, ``group`` into its group."""
    with tempfile.TemporaryDirectory(prefix="failoverd-trial-", ignore_cleanup_errors=True) as directory:
        root = Path(directory)
        os.mkfifo(root / "pipe")
        cluster = LocalCluster(root=root, name=f"trial-{secrets.token_hex(4)}")
        made = components(root) if components else {name: exec_component(root, part) for name, part in shape.items()}
        cluster.configure(
            ("a", "b"),
            {
                "heartbeat": {"interval": "100ms", "dead_after": "300ms"},
                "lease": {"ttl": "3s"},
                **((settings(root) if callable(settings) else settings) or {}),
                "groups": {
                    GROUP: {"nodes": ["a", "b"], "max_moves": "1000 per 1h", **(group or {}), "components": made}
                },
            },
        )
        try:
            cluster.start()
            made_trial = Trial(cluster=cluster, shape=shape)
            if online:
                made_trial.settle(None)
            yield made_trial
        finally:
            cluster.end()
