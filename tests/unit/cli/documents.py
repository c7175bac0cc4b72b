"""Documents as a daemon gives them, and a handler that serves them."""

from collections.abc import Mapping
from typing import Any

import anyio

from failoverd.errors import Refused, UsageError
from failoverd.ports import Caller, Emit

SINCE = "2026-01-02T03:04:05.000000Z"


def step(component: str, node: str, action: str, begin: float, end: float | None, *, ok: bool = True) -> dict[str, Any]:
    return {"component": component, "node": node, "action": action, "begin_s": begin, "end_s": end, "ok": ok}


STEPS = [
    step("web", "a", "offline", 0.001, 0.201),
    step("db", "a", "offline", 0.202, 1.202),
    step("db", "b", "online", 1.203, 1.403),
    step("web", "b", "online", 1.404, 1.604),
]


def handover(state: str = "done", steps: list[dict[str, Any]] | None = None, **changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = {
        "version": 1,
        "group": "shop",
        "source": "a",
        "target": "b",
        "generation": 8,
        "cause": "operator",
        "state": state,
        "elapsed_s": 1.604,
        "eta_s": None if state == "done" else 0.4,
        "makespan_s": 1.604 if state == "done" else None,
        "detect_s": None,
        "limit_s": 1.6,
        "phased_s": 1.6,
        "serial_s": 1.6,
        "predicted_s": 1.6,
        "reason": "",
        "steps": STEPS if steps is None else steps,
        "plan": [{**each, "basis": "declared"} for each in STEPS],
    }
    return document | changes


def component(state: str, reason: str = "") -> dict[str, Any]:
    return {"state": state, "since": SINCE, "reason": reason}


def shot(result: str, by: str, reason: str, duration_s: float, **changes: Any) -> dict[str, Any]:
    """A line of a node's fence history."""
    entry = {"result": result, "by": by, "reason": reason, "duration_s": duration_s, "at": SINCE, "incarnation": "3d"}
    return {"how": "fence_agent", "level": 2, "agent": "fence_apc", **entry, **changes}


def status() -> dict[str, Any]:
    """One of everything that is not plain."""
    return {
        "version": 1,
        "cluster": "shop",
        "node": "a",
        "coordinator": {"type": "sqlite", "state": "ok"},
        "faults_of_config": [],
        "nodes": {
            "a": {
                "state": "up", "self": True, "role": "member", "ready": True, "incarnation": "1f", "lease_s": 2.71,
                "lease": {"state": "live", "remaining_s": 2.71}, "links": {}, "coordinator": "ok", "reason": "",
                "fencing": {
                    "levels": ["fence_x"], "state": "shooting", "attempt": 1, "by": "b_2", "history": [],
                    "reason": "silent on every link",
                },
            },
            "b_2": {
                "state": "suspected", "self": False, "role": "member", "ready": True, "incarnation": "2e",
                "lease_s": 0.4, "lease": {"state": "live", "remaining_s": 0.4}, "coordinator": "lost",
                "links": {
                    "10.0.0.2:7800": {"state": "down", "heard_s": 12.34},
                    "10.1.0.2:7800": {"state": "one_way", "heard_s": 0.05},
                },
                "reason": "silent for 1.2 s on 10.0.0.2:7800",
            },
            "w": {
                "state": "down", "self": False, "role": "witness", "ready": False, "incarnation": "", "lease_s": None,
                "lease": {"state": "fenced", "remaining_s": None}, "coordinator": "ok",
                "links": {"10.0.0.3:7800": {"state": "down", "heard_s": None}}, "reason": "",
                "fencing": {
                    "levels": ["fence_ipmilan", "fence_apc"], "state": "off", "attempt": 2, "by": "a",
                    "reason": "confirmed by the agent",
                    "history": [
                        shot("off", "a", "confirmed by the agent", 3.21),
                        shot("failed", "b_2", "off: exit status 1: \x1b[31mno", 21.5),
                        shot("off", "a uid=0 pid=7", "an operator said so", 0.0, how="operator", level=None, agent=""),
                    ],
                },
            },
        },
        "groups": {
            "shop": {
                "state": "faulted", "owner": "a", "generation": 7, "holders": ["a", "b_2"], "wanted": "online",
                "cause": "node_lost", "reason": "db faulted on a", "frozen": False, "nodes": ["a", "b_2"],
                "mode": "failover", "refusals": {"b_2": "suspected: silent on every link"},
                "spec": {
                    "disk": {"type": "exec", "depends_on": [], "critical": True},
                    "db": {"type": "process", "depends_on": ["disk"], "critical": True},
                    "web": {"type": "process", "depends_on": ["db", "disk"], "critical": False},
                },
                "components": {
                    "disk": {"a": component("online"), "b_2": component("offline")},
                    "db": {"a": component("faulted", "online: exit status 1: [red]no[/red] \x1b[31mspace"),
                           "b_2": component("unknown")},
                    "web": {"a": component("offlining"), "b_2": component("offline")},
                },
                "handover": handover(),
            },
            "mail": {
                "state": "online", "owner": "b_2", "generation": 1, "holders": ["b_2"], "wanted": "online",
                "cause": "initial", "reason": "", "frozen": False, "nodes": ["b_2", "a"], "mode": "failover",
                "refusals": {}, "spec": {"smtp": {"type": "exec", "depends_on": [], "critical": True}},
                "components": {"smtp": {"b_2": component("online"), "a": component("offline")}}, "handover": None,
            },
        },
    }  # fmt: skip


EVENTS = [
    {
        "event": "daemon.ready", "ts": "2026-01-02T03:04:05.123456Z", "level": "info", "cluster": "shop", "node": "a",
        "duration_s": 0.1234567,
    },
    {
        "event": "component.faulted", "ts": "2026-01-02T03:04:06.000001Z", "level": "error", "cluster": "shop",
        "node": "a", "component": "db", "group": "shop", "action": "online", "reason": "exit status 1",
        "output": "no\x1b[31m\nspace",
    },
]  # fmt: skip

PLAN = {
    "version": 1, "group": "shop", "source": "a", "target": "b", "limit_s": 1.6, "phased_s": 1.6, "serial_s": 1.6,
    "predicted_s": 1.6,
    "critical_path": [{"component": "web", "node": "a", "action": "offline"}],
    "steps": [
        {"component": "web", "node": "a", "action": "offline", "begin_s": 0.0, "end_s": 0.2, "basis": "declared"},
    ],
}  # fmt: skip


def _hold(command: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """As ``runtime.operations`` makes them; node b_2 is slow to confirm."""
    scope = next(key for key in ("all", "group", "node") if params.get(key))
    document: dict[str, Any] = {"version": 1, "command": command, "unconfirmed": {"b_2": "sends no heartbeats"}}
    if command == "clear":
        fault = {"b_2": {"component": "db", "reason": "exit status 1"}}
        return document | {"group": params["group"], "component": params.get("component"),
                           "node": params.get("node"), "faults": fault}  # fmt: skip
    still = {"shop": "frozen (node a) by b_2 uid=0 pid=1: new memory"}
    return document | {"scope": scope, "name": None if scope == "all" else params[scope], "by": "a uid=0 pid=1",
                       "reason": params.get("reason", ""), "frozen": still}  # fmt: skip


def _draining(state: str, elapsed_s: float, **groups: dict[str, Any]) -> dict[str, Any]:
    return {"version": 1, "command": "drain", "scope": "node", "name": "a", "by": "a uid=0 pid=1", "reason": "",
            "node": "a", "state": state, "elapsed_s": elapsed_s, "groups": groups}  # fmt: skip


def _drained(state: str, to: str | None = None, reason: str = "", **more: Any) -> dict[str, Any]:
    return {"state": state, "to": to, "reason": reason, **more}


_STAYS = _drained("refused", reason="b_2 sends no heartbeats")
DRAINS = [
    _draining("running", 0.01, shop=_drained("waiting"), mail=_STAYS),
    _draining("running", 0.06, shop=_drained("moving", "b"), mail=_STAYS),
    _draining("incomplete", 1.7, shop=_drained("moved", "b", handover=handover(cause="drain")), mail=_STAYS),
]


def _evidence(at_s: float, event: str, **fields: Any) -> dict[str, Any]:
    return {"at_s": at_s, "event": event, **fields}


def _incident(kind: str, day: int, **fields: Any) -> dict[str, Any]:
    at = f"2026-01-{day:02}T03:04:05.000000Z"
    return {"version": 1, "id": f"202601{day:02}T030405.000000Z-shop-{kind}", "kind": kind, "group": "shop",
            "ended_at": at, "began_ago_s": 1.6, "recorded_by": "b", "evidence": [], **fields}  # fmt: skip


INCIDENTS = [
    _incident(
        "handover", 3, generation=8, source="a", target="b", cause="node_lost", reason="a was lost", state="done",
        failure="", detect_s=3.31, makespan_s=0.42, limit_s=0.4, phased_s=0.4, serial_s=0.4,
        downtime_s={"db": 3.51, "web": 3.73, "job": None},
        steps=[step("db", "b", "online", 0.001, 0.201), step("web", "b", "online", 0.202, 0.42, ok=False)],
        evidence=[
            _evidence(-2.31, "peer.suspected", peer="a", reason="nothing heard for 1s over any link"),
            _evidence(-0.002, "peer.down", peer="a", reason="its lease has run out", unrenewed_s=3.1),
            _evidence(0.42, "component.faulted", component="web", reason="exit status 1", output="no\x1b[31m\nspace"),
        ],
    ),
    _incident("restart", 2, component="db", reason="monitor exit 1", makespan_s=0.7, downtime_s={"db": 0.7}),
    _incident("self_stop", 1, reason="the lease could not be renewed in time", components=["db", "web"]),
]  # fmt: skip
HISTORY = {"version": 1, "incidents": INCIDENTS, "warnings": ["20251231T000000Z-x-handover.json: not JSON"]}
WHY = {
    "version": 1, "group": "shop", "seen_by": "b", "state": "online", "reason": "",
    "sentences": [
        {"topic": "state", "text": "shop is online.", "about": None},
        {"topic": "node", "text": "a cannot take it: it is fenced.", "about": "a"},
    ],
    "incident": INCIDENTS[0],
}  # fmt: skip


class Daemon:
    """A ControlHandler: group ``shop`` exists and moves well; the other groups are named for what happens."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def handle(self, command: str, params: Mapping[str, Any], caller: Caller, emit: Emit) -> dict[str, Any]:
        del caller
        self.asked.append((command, dict(params)))
        plain = {"plan": PLAN | {"group": params.get("group")}, "why": WHY,
                 "history": HISTORY | {"incidents": INCIDENTS[: params.get("limit", 0)]}}  # fmt: skip
        if command in plain:
            return plain[command]
        match command:
            case "status":
                return await self._status(params, emit)
            case "events":
                return await self._events(params, emit)
            case "confirm_off" if params["node"] == "b_2":
                raise Refused("b_2 is not off: its heartbeats arrive")
            case "confirm_off":
                return {"version": 1, "node": params["node"], "incarnation": "3d", "by": "a uid=0 pid=7"}
            case "reload":
                return {"version": 1, "added": ["mail"], "changed": ["shop/db"], "removed": []}
            case "freeze" | "thaw" | "resume" | "clear":
                return _hold(command, params)
            case "drain":
                for document in DRAINS[:-1]:
                    emit(document)
                return DRAINS[-1] if params["wait"] else DRAINS[0]
        return await self._move(params, emit)

    async def _status(self, params: Mapping[str, Any], emit: Emit) -> dict[str, Any]:
        document = status()
        if "group" in params and params["group"] not in document["groups"]:
            raise UsageError(f"there is no group {params['group']!r}")
        if params.get("watch"):
            emit(document)
            emit(document | {"node": "changed"})
        return document

    async def _events(self, params: Mapping[str, Any], emit: Emit) -> dict[str, Any]:
        if params["follow"]:
            for event in EVENTS:
                emit({"event": event})
            return {"version": 1, "events": []}
        return {"version": 1, "events": EVENTS[: params["limit"]]}

    async def _move(self, params: Mapping[str, Any], emit: Emit) -> dict[str, Any]:
        match params["group"]:
            case "refused":
                raise Refused("b is suspected: silent on every link")
            case "fails":
                return handover("failed", group="fails", reason="web on b: exit status 1")
            case "hangs":
                emit(handover("running", STEPS[:1], group="hangs"))
                await anyio.sleep_forever()
            case "late":
                raise TimeoutError("not done within 1s")
            case "breaks":
                raise ZeroDivisionError("a defect")
            case "shop":
                if not params["wait"]:
                    return handover("running", [])
                running = [*STEPS[:1], step("db", "a", "offline", 0.202, None)]
                emit(handover("running", running, elapsed_s=0.5))
                emit(handover("running", [*STEPS[:1], step("db", "a", "offline", 0.205, 1.202)], elapsed_s=1.3))
                return handover()
        raise UsageError(f"there is no group {params['group']!r}; there are: mail, shop")
