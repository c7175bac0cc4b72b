"""The operators' commands that change no placement themselves: freeze, thaw, drain, resume, clear."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from failoverd.domain.holds import FREEZE_ALL, Clearance, Hold, HoldKind, Subject, way_out
from failoverd.domain.model import Role
from failoverd.domain.placement import LeaseState
from failoverd.errors import Refused, UsageError
from failoverd.ports import Caller, Change, Delete, Emit, Expect, Put
from failoverd.records import clear_key, encode, fault_key, hold_key
from failoverd.runtime.draining import Draining
from failoverd.runtime.node import Node

CONFIRM_S = 2.0
"""How long the nodes that live are given to say that they know what was written."""
POLL_S = 0.01
WRITE_ATTEMPTS = 5
OPERATIONS = frozenset({"freeze", "thaw", "drain", "resume", "clear"})
REASON_CHARS_MAX = 500

Params = Mapping[str, Any]
Command = Callable[[Params, Caller, Emit, float], Awaitable[dict[str, Any]]]


class Operations:
    def __init__(self, node: Node) -> None:
        self._node = node
        self.commands: dict[str, Command] = {
            "freeze": self._freeze,
            "thaw": self._thaw,
            "drain": self._drain,
            "resume": self._resume,
            "clear": self._clear,
        }

    # --- freeze and thaw ----------------------------------------------------------------------------------------

    async def _freeze(self, params: Params, caller: Caller, emit: Emit, arrived: float) -> dict[str, Any]:
        del emit, arrived
        subject = self._subject(params)
        hold = self._hold(params, caller)
        revision = await self._write(subject, hold)
        return self._document("freeze", subject, hold) | await self._confirmation(revision) | self._frozen_groups()

    async def _thaw(self, params: Params, caller: Caller, emit: Emit, arrived: float) -> dict[str, Any]:
        del caller, emit, arrived
        subject = self._subject(params)
        if subject not in self._node.mirror.holds.held:
            raise Refused(f"{subject} is not frozen{self._frozen_otherwise(subject)}")
        revision = await self._write(subject, None)
        return self._document("thaw", subject, None) | await self._confirmation(revision) | self._frozen_groups()

    def _subject(self, params: Params) -> Subject:
        node = self._node
        given = [key for key in ("group", "node", "all") if params.get(key)]
        if len(given) != 1:
            raise UsageError("give either a GROUP, or --node NODE, or --all")
        name = params[given[0]]
        if given[0] == "all":
            return FREEZE_ALL
        known, kind = (
            (node.groups, HoldKind.FREEZE_GROUP) if given[0] == "group" else (node.settings.nodes, HoldKind.FREEZE_NODE)
        )
        subject = Subject(kind, str(name))
        if name not in known and subject not in node.mirror.holds.held:
            raise UsageError(f"there is no {given[0]} {name!r} ({given[0]}s: {', '.join(known) or 'none'})")
        return subject

    def _frozen_otherwise(self, subject: Subject) -> str:
        """What else keeps hands off it."""
        if subject.kind is not HoldKind.FREEZE_GROUP:
            return ""
        board = self._node.groups[subject.name].board
        other = self._node.mirror.holds.freeze_of(subject.name, board.placement.owner if board.placement else None)
        return f" by itself, but {other} is: {way_out(other)}" if other is not None else ""

    def _frozen_groups(self) -> dict[str, Any]:
        return {"frozen": {name: why for name, why in self._node.holds.frozen.items() if name in self._node.groups}}

    # --- drain and resume ---------------------------------------------------------------------------------------

    async def _drain(self, params: Params, caller: Caller, emit: Emit, arrived: float) -> dict[str, Any]:
        name = self._node_name(params)
        hold = self._hold(params, caller)
        draining = Draining(self._node, name, arrived)
        await self._write(Subject(HoldKind.DRAIN, name), hold)
        return self._document("drain", Subject(HoldKind.DRAIN, name), hold) | await draining.follow(params, emit)

    async def _resume(self, params: Params, caller: Caller, emit: Emit, arrived: float) -> dict[str, Any]:
        del caller, emit, arrived
        name = self._node_name(params)
        subject = Subject(HoldKind.DRAIN, name)
        if subject not in self._node.mirror.holds.held:
            raise Refused(f"{name} is not being drained")
        revision = await self._write(subject, None)
        return self._document("resume", subject, None) | await self._confirmation(revision)

    def _node_name(self, params: Params) -> str:
        name, known = params.get("node"), self._node.settings.nodes
        if not isinstance(name, str) or name not in known:
            raise UsageError(f"there is no node {name!r} (nodes: {', '.join(known)})")
        if known[name].role is Role.WITNESS:
            raise UsageError(f"{name} is a witness: it runs no group")
        return name

    # --- clear --------------------------------------------------------------------------------------------------

    async def _clear(self, params: Params, caller: Caller, emit: Emit, arrived: float) -> dict[str, Any]:
        del emit, arrived
        node = self._node
        group, component, on = params.get("group"), params.get("component"), params.get("node")
        if not isinstance(group, str) or group not in node.groups:
            raise UsageError(f"there is no group {group!r} (groups: {', '.join(node.groups) or 'none'})")
        if component is not None and component not in node.groups[group].board.group.components:
            known = ", ".join(node.groups[group].board.group.components)
            raise UsageError(f"{group} has no component {component!r} (components: {known})")
        if on is not None:
            on = self._node_name(params)
        faults = {
            where: kept.record
            for (of_group, where), kept in node.mirror.faults.items()
            if of_group == group and on in {None, where} and component in {None, kept.record.component}
        }
        record = Clearance(component=component, node=on, by=self._by(caller), at=node.clock.wall())
        writes: list[Put | Delete] = [Put(clear_key(group), encode(record))]
        writes += [Delete(fault_key(group, where)) for where in faults]
        # Faults are forgotten by members alone: what one that was fenced knows of them is old.
        revision = await self._commit([node.keeper.guard], writes)
        document = {
            "version": 1,
            "command": "clear",
            "group": group,
            "component": component,
            "node": on,
            "faults": {where: {"component": each.component, "reason": each.reason} for where, each in faults.items()},
        }
        return document | await self._confirmation(revision)

    # --- writing ------------------------------------------------------------------------------------------------

    def _by(self, caller: Caller) -> str:
        return f"{self._node.me} {caller}"

    def _hold(self, params: Params, caller: Caller) -> Hold:
        reason = params.get("reason") or ""
        if not isinstance(reason, str):
            raise UsageError("reason must be text")
        return Hold(by=self._by(caller), reason=reason[:REASON_CHARS_MAX], at=self._node.clock.wall())

    async def _write(self, subject: Subject, hold: Hold | None) -> int:
        """Put or take away a hold; returns the coordinator's revision after it."""
        key = hold_key(subject)
        write = Put(key, encode(hold)) if hold is not None else Delete(key)
        return await self._commit([], [write])

    async def _commit(self, expects: list[Expect], writes: list[Put | Delete]) -> int:
        """An operator's word needs no lease: any node that reaches the coordinator can pass it on. Raises
        ``CoordinatorUnavailable``."""
        node = self._node
        commit = await node.ports.coordinator.commit(expects, writes)
        node.contact.answered()
        if not commit.ok:
            raise Refused(f"{node.me} is no member of the cluster at present; try again, or ask another node")
        for write in writes:
            value = write.value if isinstance(write, Put) else None
            node.mirror.absorb(Change(write.key, value, commit.revision))
        return commit.revision

    async def _confirmation(self, revision: int) -> dict[str, Any]:
        """Wait until every node that lives has it: from then on none of them acts on what was true before."""
        clock = self._node.clock
        until = clock.now() + CONFIRM_S
        while (missing := self._unconfirmed(revision)) and clock.now() < until:
            await clock.sleep_until(clock.now() + POLL_S)
        return {"unconfirmed": missing}

    def _unconfirmed(self, revision: int) -> dict[str, str]:
        """The nodes that live and have not said yet that they know it, with what that means."""
        node = self._node
        missing = {}
        for name, spec in node.settings.nodes.items():
            kept = node.mirror.members.get(name)
            if name == node.me or spec.role is Role.WITNESS or kept is None or kept.record.state is not LeaseState.LIVE:
                continue
            said = node.view_builder.present(name)
            if said is None or said.known < revision or not node.peers.heard(name):
                silent = said is None or not node.peers.heard(name)
                missing[name] = "sends no heartbeats" if silent else "has not read it from the coordinator yet"
        return missing

    @staticmethod
    def _document(command: str, subject: Subject, hold: Hold | None) -> dict[str, Any]:
        scope = {HoldKind.FREEZE_GROUP: "group", HoldKind.FREEZE_ALL: "all"}.get(subject.kind, "node")
        return {
            "version": 1,
            "command": command,
            "scope": scope,
            "name": None if scope == "all" else subject.name,
            "by": hold.by if hold else None,
            "reason": hold.reason if hold else "",
        }
