"""The daemon's side of the control socket's commands."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anyio

from failoverd.domain.operator import Denied, request_offline, request_online, request_switch
from failoverd.domain.requires import all_dependents
from failoverd.domain.view import GroupView, View
from failoverd.errors import Refused, UsageError
from failoverd.log.catalogue import Event
from failoverd.log.ring import EventRing
from failoverd.ports import Caller, Emit
from failoverd.runtime.confirm_off import confirm_off
from failoverd.runtime.dependents import brought_along
from failoverd.runtime.handovers import Handover, HandoverBook
from failoverd.runtime.node import Node
from failoverd.runtime.operations import OPERATIONS, Operations
from failoverd.runtime.planning import Request, plan_for
from failoverd.runtime.status import status_document
from failoverd.runtime.why import why_document

WRITE_ATTEMPTS = 5
"""A lost race means that something changed: the request is judged again on what is true then."""
UPDATE_S = 0.1
UPDATE_SHARE = 30
"""Times its own cost, how long an update is the newest at the least."""
PLANNED_AHEAD = 100
"""Up to so many components the plan is made while they move, and who waits for the end alone does not wait for that as
well; a larger one's would take the interpreter from the handover itself."""
WATCH_S = 0.25
WAIT_S_DEFAULT = 600.0
COMMANDS_THAT_ACT = frozenset({"switch", "online", "offline", "reload", "confirm_off"}) | OPERATIONS

Answer = Callable[[View, GroupView], Any]


class Control:
    def __init__(
        self,
        node: Node,
        ring: EventRing,
        reload: Callable[[], Awaitable[dict[str, Any]]],
        coordinator_type: str,
        etcd: Callable[[], dict[str, Any] | None] = lambda: None,
    ) -> None:
        """``etcd``: what the status says of the member that we run, if any."""
        self._node = node
        self._ring = ring
        self._reload = reload
        self._coordinator_type = coordinator_type
        self._operations = Operations(node)
        self._etcd = etcd

    async def handle(self, command: str, params: Mapping[str, Any], caller: Caller, emit: Emit) -> dict[str, Any]:
        """One command. Raises ``Refused`` or ``UsageError``."""
        arrived = self._node.clock.now()
        commands: dict[str, Callable[[Mapping[str, Any], Caller, Emit, float], Awaitable[dict[str, Any]]]] = {
            "status": self._status,
            "switch": self._switch,
            "online": self._online,
            "offline": self._offline,
            "follow": self._follow_only,
            "plan": self._plan,
            "events": self._events,
            "why": self._why,
            "history": self._history,
            "reload": self._reload_config,
            **self._operations.commands,
            "confirm_off": self._confirm_off,
        }
        if command not in commands:
            raise UsageError(f"unknown command {command!r}; this daemon knows: {', '.join(sorted(commands))}")
        if command in COMMANDS_THAT_ACT:
            asked = {key: value for key, value in params.items() if value is not None}
            fields = {"command": command, "by": str(caller), "uid": caller.uid, **_named(asked)}
            self._node.log.emit(Event.OPERATOR_COMMAND, **fields)
        return await commands[command](params, caller, emit, arrived)

    # --- looking ------------------------------------------------------------------------------------------------

    async def _status(self, params: Mapping[str, Any], caller: Caller, emit: Emit, arrived: float) -> dict[str, Any]:
        del caller, arrived
        name = None if params.get("group") is None else self._group_name(params)
        last: dict[str, Any] | None = None
        while params.get("watch"):
            document = await self._document(name)
            if document != last:
                emit(document)
                last = document
            await self._node.clock.sleep_until(self._node.clock.now() + WATCH_S)
        return await self._document(name)

    async def _document(self, group: str | None) -> dict[str, Any]:
        document = await status_document(self._node, coordinator_type=self._coordinator_type, group=group)
        etcd = self._etcd()
        return document if etcd is None else {**document, "etcd": etcd}

    async def _events(self, params: Mapping[str, Any], caller: Caller, emit: Emit, arrived: float) -> dict[str, Any]:
        del caller, arrived
        limit = _whole(params, "limit", 100)
        if not params.get("follow"):
            return {"version": 1, "events": self._ring.latest(limit)}
        with self._ring.follow(limit) as follower:
            while True:
                records, lost = await follower.next()
                for record in records:
                    emit({"event": record} if not lost else {"event": record, "lost": lost})

    async def _plan(self, params: Mapping[str, Any], caller: Caller, emit: Emit, arrived: float) -> dict[str, Any]:
        del caller, emit, arrived
        return await plan_for(
            self._node,
            self._group_name(params),
            Request(source=_node_name(self._node, params, "from"), target=_node_name(self._node, params, "to"),
                    down=_node_name(self._node, params, "down")),
        )  # fmt: skip

    async def _why(self, params: Mapping[str, Any], caller: Caller, emit: Emit, arrived: float) -> dict[str, Any]:
        del caller, emit, arrived
        return await why_document(self._node, self._group_name(params))

    async def _history(self, params: Mapping[str, Any], caller: Caller, emit: Emit, arrived: float) -> dict[str, Any]:
        del caller, emit, arrived
        name = params.get("group")  # it may have been removed from the configuration since
        if name is not None and not isinstance(name, str):
            raise UsageError("group must be a name")
        incidents, warnings = await self._node.incidents.history(name, _whole(params, "limit", 20))
        return {"version": 1, "incidents": incidents, "warnings": warnings}

    # --- acting -------------------------------------------------------------------------------------------------

    async def _switch(self, params: Mapping[str, Any], caller: Caller, emit: Emit, arrived: float) -> dict[str, Any]:
        to = _node_name(self._node, params, "to")
        by = self._by(caller)
        return await self._change(params, emit, arrived, lambda v, g: request_switch(v, g, to, by=by))

    async def _online(self, params: Mapping[str, Any], caller: Caller, emit: Emit, arrived: float) -> dict[str, Any]:
        on = _node_name(self._node, params, "on")
        by = self._by(caller)
        return await self._change(params, emit, arrived, lambda v, g: request_online(v, g, on, by=by))

    async def _offline(self, params: Mapping[str, Any], caller: Caller, emit: Emit, arrived: float) -> dict[str, Any]:
        by = self._by(caller)
        if params.get("with_dependents"):
            await self._offline_above(self._group_name(params), by, arrived)
        return await self._change(params, emit, arrived, lambda v, g: request_offline(v, g, by=by))

    async def _offline_above(self, name: str, by: str, arrived: float) -> None:
        """The groups that require this one, those at the top first; none where one of them may not be touched."""
        view = self._node.view_builder.build(self._node.clock.now())
        above = all_dependents(view, view.groups[name])
        for each in above:
            if view.freeze_of(each) is not None:
                answer = request_offline(view, each, by=by)
                raise Refused(answer.text if isinstance(answer, Denied) else f"{each.group.name} is frozen")
        for each in above:
            await self._write(each.group.name, lambda v, g: request_offline(v, g, by=by), arrived)

    def _by(self, caller: Caller) -> str:
        return f"{self._node.me} {caller}"

    async def _change(self, params: Mapping[str, Any], emit: Emit, arrived: float, ask: Answer) -> dict[str, Any]:
        """Write what was asked for, then follow what comes of it."""
        name = self._group_name(params)
        timeout_s = _seconds(params, "timeout_s", WAIT_S_DEFAULT)
        await self._write(name, ask, arrived)
        book = self._node.books[name]
        mine = book.current
        if mine is None:
            raise Refused(f"{name} was removed from the configuration meanwhile")
        if not params.get("wait", True):
            return await self._node.handover_document(name, mine)
        try:
            with anyio.fail_after(timeout_s):
                document = await self._follow(book, mine, emit, updates=bool(params.get("updates", True)))
                along = await brought_along(self._node, name, mine)
                return document | ({"dependents": along} if along else {})
        except TimeoutError:
            raise TimeoutError(f"{name} is not through after {timeout_s:g}s; it goes on") from None

    async def _write(self, name: str, ask: Answer, arrived: float) -> None:
        node = self._node
        for _ in range(WRITE_ATTEMPTS):
            view = node.view_builder.build(node.clock.now())
            answer = ask(view, view.groups[name])
            if isinstance(answer, Denied):
                raise Refused(answer.text)
            node.command_at[name] = arrived
            try:
                if await node.actor.place(answer, forgiven=answer.placement.owner):
                    return
            finally:
                node.command_at.pop(name, None)
            await node.clock.sleep_until(node.clock.now() + 0.02)  # let the news of what changed arrive
        raise Refused(f"the placement of {name} keeps changing under this request; look at: failoverd status {name}")

    async def _follow_only(
        self, params: Mapping[str, Any], caller: Caller, emit: Emit, arrived: float
    ) -> dict[str, Any]:
        del caller, arrived
        name = self._group_name(params)
        book = self._node.books[name]
        if book.current is None:
            raise Refused(f"{name} has not been moved since this daemon came up")
        return await self._follow(book, book.current, emit, updates=True)

    async def _follow(self, book: HandoverBook, mine: Handover, emit: Emit, *, updates: bool) -> dict[str, Any]:
        """Updates while it runs, at most ten a second; its last document at the end."""
        pause = UPDATE_S
        while mine.running:
            with anyio.move_on_after(pause):
                await mine.over.wait()
            if mine.running and (updates or (mine.plan is None and book.size <= PLANNED_AHEAD)):
                began = self._node.clock.now()
                document = await self._node.handover_document(book.group, mine)
                if updates:
                    emit(document)
                # A large group's document takes long to make: never more than a few per cent of the time.
                pause = max(UPDATE_S, UPDATE_SHARE * (self._node.clock.now() - began))
        return await self._node.handover_document(book.group, mine)

    # --- fencing ------------------------------------------------------------------------------------------------

    async def _confirm_off(
        self, params: Mapping[str, Any], caller: Caller, emit: Emit, arrived: float
    ) -> dict[str, Any]:
        del emit, arrived
        name = _node_name(self._node, params, "node")
        if name is None:
            raise UsageError("say which node is off")
        return await confirm_off(self._node, name, by=self._by(caller))

    # --- reloading ----------------------------------------------------------------------------------------------

    async def _reload_config(
        self, params: Mapping[str, Any], caller: Caller, emit: Emit, arrived: float
    ) -> dict[str, Any]:
        del params, caller, emit, arrived
        return await self._reload()

    def _group_name(self, params: Mapping[str, Any]) -> str:
        name = params.get("group")
        if not isinstance(name, str) or name not in self._node.groups:
            known = ", ".join(self._node.groups) or "none are configured"
            raise UsageError(f"there is no group {name!r} (groups: {known})")
        return name


def _node_name(node: Node, params: Mapping[str, Any], key: str) -> str | None:
    name = params.get(key)
    if name is not None and name not in node.settings.nodes:
        raise UsageError(f"there is no node {name!r} (nodes: {', '.join(node.settings.nodes)})")
    return name


def _seconds(params: Mapping[str, Any], key: str, default: float) -> float:
    value = params.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
        raise UsageError(f"{key} must be a number of seconds, it is {value!r}")
    return float(value)


def _whole(params: Mapping[str, Any], key: str, default: int) -> int:
    value = params.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UsageError(f"{key} must be a whole number, it is {value!r}")
    return value


def _named(asked: Mapping[str, Any]) -> dict[str, Any]:
    """An operator's parameters as log fields, under names that no other field has."""
    return {("group" if key == "group" else f"asked_{key}"): value for key, value in asked.items()}
