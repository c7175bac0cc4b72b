"""The connection to systemd that all components share.

It is made when it is first needed and again when it was lost. systemd itself may come back as another process behind
it (daemon-reexec): jobs go on, and whoever waits for one looks at the unit instead.
"""

import os
from collections import OrderedDict
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import anyio
from anyio import to_thread

from failoverd.agents.systemd import dropin
from failoverd.agents.systemd.params import OWN_UNIT
from failoverd.agents.systemd.state import UnitState
from failoverd.errors import FailoverdError

if TYPE_CHECKING:
    from dbus_fast import Message
    from dbus_fast.aio import MessageBus

SYSTEMD, PATH = "org.freedesktop.systemd1", "/org/freedesktop/systemd1"
MANAGER = "org.freedesktop.systemd1.Manager"
_UNIT = "org.freedesktop.systemd1.Unit"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_BUS, _BUS_PATH = "org.freedesktop.DBus", "/org/freedesktop/DBus"
_CONNECT_S = 5.0
_RELOAD_S = 60.0
_RESULTS_MAX = 1000
_RULES = (
    f"type='signal',sender='{SYSTEMD}',interface='{MANAGER}',member='JobRemoved'",
    f"type='signal',sender='{_BUS}',interface='{_BUS}',member='NameOwnerChanged',arg0='{SYSTEMD}'",
)


class NoAnswer(FailoverdError):  # noqa: N818 (what is the case)
    """Whether systemd did what it was asked for is not known: no connection, or no reply in time."""


class Refusal(FailoverdError):  # noqa: N818 (likewise)
    """systemd answered with an error; nothing was changed. ``name`` is the D-Bus name of the error."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


class Manager:
    def __init__(self) -> None:
        self._bus: MessageBus | None = None
        self._connecting = anyio.Lock()
        self._reloading = anyio.Lock()
        self._results: OrderedDict[str, str] = OrderedDict()
        """Of jobs that have ended, by their path: their end may be heard before their path is."""
        self._news = anyio.Event()
        self._followed: set[str] = set()
        self._written = self._reloaded = 0
        self._own_unit = ""

    # --- asking ---------------------------------------------------------------------------------------------------

    async def call(
        self,
        member: str,
        signature: str = "",
        body: Sequence[Any] = (),
        *,
        path: str = PATH,
        interface: str = MANAGER,
        timeout_s: float = 10.0,
    ) -> list[Any]:
        """One request; the values of the reply. Raises NoAnswer, Refusal."""
        with anyio.move_on_after(timeout_s):
            bus = await self._connected()
            return await self._ask(bus, signature, body, to=SYSTEMD, path=path, interface=interface, member=member)
        raise NoAnswer(f"no reply to {member} within {timeout_s:.3g} s")

    async def connect(self) -> None:
        """Where that has not been done: calls do it themselves. Raises NoAnswer."""
        with anyio.move_on_after(_CONNECT_S):
            await self._connected()
            return
        raise NoAnswer(f"the system bus cannot be reached within {_CONNECT_S:g} s")

    async def state(self, unit: str, timeout_s: float = 10.0) -> UnitState:
        found = (await self.call("ListUnitsByNames", "as", [[unit]], timeout_s=timeout_s))[0]
        if not found:
            raise NoAnswer(f"systemd says nothing of {unit}")
        _, _, load, active, sub, _, path, job, _, _ = found[0]
        return UnitState(load, active, sub, path, job)

    async def processes(self, unit: str, timeout_s: float = 10.0) -> list[int]:
        """What runs in the control group of a unit."""
        try:
            return [pid for _, pid, _ in (await self.call("GetUnitProcesses", "s", [unit], timeout_s=timeout_s))[0]]
        except Refusal:
            return []  # the unit is not loaded, so nothing of it runs

    async def result_of(self, unit: str, path: str) -> str:
        """Why a service failed, as systemd puts it; empty where it does not."""
        if not unit.endswith(".service"):
            return ""
        try:
            values = await self.call("Get", "ss", [f"{SYSTEMD}.Service", "Result"], path=path, interface=_PROPERTIES)
        except (Refusal, NoAnswer):
            return ""
        return str(values[0].value)

    async def going_down(self) -> bool:
        """Whether the machine is being shut down, or our own unit stopped: jobs of units that are ordered before ours
        wait for us then, unless they are told not to."""
        system = await self.call("Get", "ss", [MANAGER, "SystemState"], interface=_PROPERTIES)
        return system[0].value == "stopping" or (await self.state(await self.own_unit())).active == "deactivating"

    async def own_unit(self) -> str:
        """The service that we run in; the name it would have where we do not."""
        if not self._own_unit:
            try:
                path = (await self.call("GetUnitByPID", "u", [os.getpid()]))[0]
                name = (await self.call("Get", "ss", [_UNIT, "Id"], path=path, interface=_PROPERTIES))[0].value
            except Refusal:
                name = ""
            self._own_unit = name if name.endswith(".service") else OWN_UNIT
        return self._own_unit

    # --- news -----------------------------------------------------------------------------------------------------

    async def follow(self, unit_path: str) -> None:
        """From now on changes of this unit are news."""
        if unit_path not in self._followed:
            rule = f"type='signal',sender='{SYSTEMD}',interface='{_PROPERTIES}',member='PropertiesChanged'"
            await self._add_rule(await self._connected(), f"{rule},path='{unit_path}',arg0='{_UNIT}'")
            self._followed.add(unit_path)

    def news(self) -> anyio.Event:
        """Set at the next change of anything that is followed, the end of a job, and the loss of the connection."""
        return self._news

    def ended(self, job: str) -> str | None:
        """The result of a job, once it has ended."""
        return self._results.get(job)

    # --- drop-ins -------------------------------------------------------------------------------------------------

    async def adopt(self, unit: str) -> None:
        """Tell systemd that we manage the unit, where it has not been told. Raises NoAnswer, Refusal, OSError."""
        if dropin.write(unit, dropin.content(unit, await self.own_unit())):
            self._written += 1
        if self._reloaded < self._written:
            async with self._reloading:  # once for all that were written meanwhile: it takes long
                if self._reloaded < self._written:
                    written = self._written
                    await self.call("Reload", timeout_s=_RELOAD_S)
                    self._reloaded = written

    # --- the connection -------------------------------------------------------------------------------------------

    async def _connected(self) -> "MessageBus":
        if self._bus is not None and self._bus.connected:
            return self._bus
        async with self._connecting:
            if self._bus is None or not self._bus.connected:
                self._bus = await self._connect()
            return self._bus

    async def _connect(self) -> "MessageBus":
        # A tenth of a second, which only these components need, and which no heartbeat is to wait for.
        await to_thread.run_sync(import_module, "dbus_fast.aio")
        from dbus_fast import BusType  # noqa: PLC0415 (as said)
        from dbus_fast.aio import MessageBus  # noqa: PLC0415 (as said)
        from dbus_fast.errors import AuthError, DBusError, InvalidAddressError  # noqa: PLC0415 (as said)

        bus = MessageBus(bus_type=BusType.SYSTEM)
        try:
            with anyio.fail_after(_CONNECT_S):
                await bus.connect()
        except (OSError, EOFError, AuthError, InvalidAddressError, DBusError) as error:
            bus.disconnect()
            raise NoAnswer(f"the system bus cannot be reached: {error or type(error).__name__}") from error
        self._followed.clear()
        bus.add_message_handler(self._heard)
        for rule in _RULES:
            await self._add_rule(bus, rule)
        await self._ask(bus, "", (), to=SYSTEMD, path=PATH, interface=MANAGER, member="Subscribe")
        self._ring()
        return bus

    async def _add_rule(self, bus: "MessageBus", rule: str) -> None:
        await self._ask(bus, "s", [rule], to=_BUS, path=_BUS_PATH, interface=_BUS, member="AddMatch")

    async def _ask(
        self, bus: "MessageBus", signature: str, body: Sequence[Any], *, to: str, path: str, interface: str, member: str
    ) -> list[Any]:
        from dbus_fast import Message, MessageType  # noqa: PLC0415 (as in _connect)

        message = Message(
            destination=to, path=path, interface=interface, member=member, signature=signature, body=list(body)
        )
        try:
            reply = await bus.call(message)
        except (OSError, EOFError) as error:
            self._ring()
            raise NoAnswer(f"the connection to systemd was lost at {member}: {error}") from error
        if reply is None:
            raise NoAnswer(f"no reply to {member}")
        if reply.message_type is MessageType.ERROR:
            text = str(reply.body[0]) if reply.body else str(reply.error_name)
            if reply.error_name in (f"{_BUS}.Error.NoReply", f"{_BUS}.Error.Disconnected", f"{_BUS}.Error.Timeout"):
                raise NoAnswer(text)
            raise Refusal(str(reply.error_name), text)
        return list(reply.body)

    def _heard(self, message: "Message") -> None:
        if message.member == "JobRemoved" and message.interface == MANAGER:
            _, path, _, result = message.body
            self._results[path] = result
            while len(self._results) > _RESULTS_MAX:
                self._results.popitem(last=False)
        elif message.member == "NameOwnerChanged" and message.sender == _BUS:
            if message.body[0] != SYSTEMD:
                return
            if message.body[2]:  # another process is systemd now: it must be subscribed to anew
                self._subscribe_again()
        elif message.member != "PropertiesChanged":
            return
        self._ring()

    def _subscribe_again(self) -> None:
        """By a new connection, at the next call: nothing of what the old one was promised is relied on."""
        if self._bus is not None:
            self._bus.disconnect()
            self._bus = None

    def _ring(self) -> None:
        news, self._news = self._news, anyio.Event()
        news.set()
