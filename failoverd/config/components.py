"""One component: the common keys, and its agent's own ones checked by the agent's model."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pydantic import BaseModel

from failoverd.config.document import ComponentKeys
from failoverd.config.durations import format_duration
from failoverd.config.examination import Examination
from failoverd.config.fault import Mark
from failoverd.config.findings import Findings
from failoverd.config.messages import suggest
from failoverd.config.table import families_of, names_of
from failoverd.config.tree import Entry, Map, Scalar, locate, strings
from failoverd.domain.model import (
    Action,
    Component,
    Expected,
    HandoverMode,
    MonitorPolicy,
    RestartPolicy,
    Timeouts,
)
from failoverd.ports import AgentType, Examiner, Installable, Timed

COMMON = frozenset(ComponentKeys.model_fields)
PROBE_TIMEOUT_S = Timeouts().probe_s


@dataclass(frozen=True, slots=True)
class Draft:
    """A component on its way: ``component`` is None where it has a fault of its own."""

    name: str
    tree: Map
    key: Mark
    component: Component | None
    declared: Timeouts | None = None
    """Its time-outs without what its agent adds on this node: what other nodes must agree about."""
    agent: AgentType | None = None
    params: BaseModel | None = None

    @property
    def depends_on(self) -> Mapping[str, Mark]:
        """As written, whatever else is wrong with the component."""
        return strings(self.tree.get("depends_on"))

    @property
    def make_first(self) -> bool:
        value = self.tree.get("handover")
        return isinstance(value, Scalar) and value.value == HandoverMode.MAKE_FIRST.value


def read_component(name: str, entry: Entry, agent_types: Mapping[str, AgentType], findings: Findings) -> Draft | None:
    """The component as far as it is well-formed; None where it is not even a mapping."""
    findings.name("component", name, entry.key)
    tree = findings.mapping(name, entry.value)
    if tree is None:
        return None
    agent = _agent(tree, agent_types, findings)
    common, own = split(tree, agent)
    within = f"component '{name}'"
    keys = findings.validate(ComponentKeys, common, within=within)
    params = findings.validate(agent.params, own, known=COMMON, within=within) if agent else None
    if agent is None or keys is None or params is None:
        return Draft(name, tree, entry.key, None)
    component = _build(name, keys, params=params.model_dump(mode="json", by_alias=True))
    timeouts = _timeouts(keys, agent, params)
    _check_durations(tree, keys, timeouts, findings)
    complete = replace(component, has_prepare=agent.prepares(params), timeouts=timeouts)
    return Draft(name, tree, entry.key, complete, component.timeouts, agent, params)


def _agent(tree: Map, agent_types: Mapping[str, AgentType], findings: Findings) -> AgentType | None:
    written = tree.get("type")
    if not isinstance(written, Scalar) or not isinstance(written.value, str):
        return None  # ComponentKeys says so
    agent = agent_types.get(written.value)
    if agent is None:
        there = [*sorted(agent_types), *(f"{family.prefix}…" for family in families_of(agent_types))]
        hint = suggest(written.value, names_of(agent_types)) or f" (there are: {', '.join(there)})"
        findings.fault(written.mark, f"unknown component type '{written.value[:80]}'{hint}")
    return agent


def split(tree: Map, agent: AgentType | None) -> tuple[Map, Map]:
    """The common keys and the agent's own.

    ``monitor`` is both for an agent that takes a command of that name: a command, or a mapping of the common monitor
    keys with the command as ``command``.
    """
    common, own = tree.only(COMMON), tree.without(COMMON)
    entry = tree.entries.get("monitor")
    if entry is not None and agent is None and not isinstance(entry.value, Map):
        del common.entries["monitor"]  # nobody knows whether it may be a command
    if entry is None or agent is None or "monitor" not in agent.params.model_fields:
        return common, own
    if not isinstance(entry.value, Map):
        own.entries["monitor"] = common.entries.pop("monitor")
        return common, own
    command = entry.value.entries.get("command")
    if command is not None:
        own.entries["monitor"] = command
    common.entries["monitor"] = Entry(entry.key, entry.value.without({"command"}))
    return common, own


def _build(name: str, keys: ComponentKeys, params: Mapping[str, Any]) -> Component:
    return Component(
        name=name,
        type=keys.type,
        depends_on=tuple(keys.depends_on),
        params=params,
        handover=keys.handover,
        critical=keys.critical,
        on_fault=keys.on_fault,
        restart=RestartPolicy(
            attempts=keys.restart.attempts, window_s=keys.restart.window, backoff_s=keys.restart.backoff
        ),
        on_offline_failure=keys.on_offline_failure,
        monitor=MonitorPolicy(interval_s=keys.monitor.interval, fall=keys.monitor.fall, rise=keys.monitor.rise),
        check=keys.check.check() if keys.check else None,
        timeouts=_declared_timeouts(keys),
        expect=Expected(prepare_s=keys.expect.prepare, online_s=keys.expect.online, offline_s=keys.expect.offline),
    )


def _declared_timeouts(keys: ComponentKeys) -> Timeouts:
    return Timeouts(
        probe_s=keys.timeout.monitor or keys.monitor.timeout or PROBE_TIMEOUT_S,
        prepare_s=keys.timeout.prepare,
        online_s=keys.timeout.online,
        offline_s=keys.timeout.offline,
        clean_s=keys.timeout.clean,
    )


def _timeouts(keys: ComponentKeys, agent: AgentType, params: BaseModel) -> Timeouts:
    """As written; else as the agent says; else the same for all."""
    written = {name for name in keys.timeout.model_fields_set if getattr(keys.timeout, name) is not None}
    if keys.monitor.timeout is not None:
        written.add("monitor")
    found = dict(agent.timeouts(params)) if isinstance(agent, Timed) else {}
    given = {
        f"{action.value}_s": seconds
        for action, seconds in found.items()
        if ("monitor" if action is Action.PROBE else action.value) not in written
    }
    return replace(_declared_timeouts(keys), **given)


def _check_durations(tree: Map, keys: ComponentKeys, timeouts: Timeouts, findings: Findings) -> None:
    if keys.timeout.monitor is not None and keys.monitor.timeout is not None:
        mark = locate(tree, ("timeout", "monitor")).key
        findings.fault(mark, "the time of a probe is given twice, as 'monitor.timeout' and as 'timeout.monitor'")
    for action in (Action.ONLINE, Action.OFFLINE, Action.PREPARE):
        expected: float | None = getattr(keys.expect, action)
        limit = timeouts.of(action)
        if expected is not None and expected > limit:
            findings.fault(
                locate(tree, ("expect", action)).mark,
                f"'expect.{action}' is {format_duration(expected)}, but 'timeout.{action}' ends it after "
                f"{format_duration(limit)}",
            )


def examinations_of(draft: Draft) -> list[Examination]:
    """What ``failoverd check`` may ask its agent on this machine."""
    agent, params = draft.agent, draft.params
    if not isinstance(agent, Examiner) or params is None:
        return []
    return [Examination(draft.tree.value_mark("type"), draft.name, partial(agent.examine, params, draft.name))]


def warn_of(draft: Draft, *, here: bool, self_stop_s: float | None, findings: Findings) -> None:
    """What is no fault. ``here``: this node may run it, so what its commands need should be on this machine."""
    if draft.component is None or draft.agent is None or draft.params is None:
        return
    if here:
        if isinstance(draft.agent, Installable) and (why := draft.agent.missing()):
            findings.fault(draft.tree.value_mark("type"), f"component '{draft.name}': {why}")
        for path, message in draft.agent.warnings(draft.params):
            findings.warn(_agent_place(draft.tree, path), f"component '{draft.name}': {message}")
    offline_s = draft.component.expect.offline_s
    if offline_s is not None and self_stop_s is not None and offline_s > self_stop_s / 2:
        findings.warn(
            locate(draft.tree, ("expect", "offline")).mark,
            f"component '{draft.name}' is expected to take {format_duration(offline_s)} to go offline, longer than "
            f"half of lease.self_stop ({format_duration(self_stop_s)}), which is what the guard has for it: a "
            "node that loses its lease ends it by force",
        )


def _agent_place(tree: Map, path: tuple[str | int, ...]) -> Mark:
    """A place below the component; the agent's ``monitor`` may be written as ``monitor.command``."""
    monitor = tree.get("monitor")
    if path[:1] == ("monitor",) and isinstance(monitor, Map) and "command" in monitor.entries:
        path = ("monitor", "command", *path[1:])
    return locate(tree, path).mark
