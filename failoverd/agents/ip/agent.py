"""The operations of the ``ip`` type.

Requests to the kernel are made in threads, for they may wait for its lock of the network configuration; a change that
has been begun is waited for, so that nothing happens after an operation was given up. What remains of a burst of
announcements goes out while the component is watched.
"""

import contextlib
import errno
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import anyio
from anyio import CapacityLimiter, to_thread

from failoverd.agents.ip.params import IpParams
from failoverd.agents.ip.sight import Sight, fault_of, judge, look
from failoverd.kernel import addresses
from failoverd.kernel.announce import Announcer, owner_of
from failoverd.kernel.netlink import Change, Configured, Events, Link, Netlink
from failoverd.ports import AddressWill, AgentHost, Call, Outcome, Presence, Probe, Result, Will

CARRIER_GRACE_S = 1.0
"""A link that is back within this time has only been replugged, or renegotiated."""
_TENTATIVE_S = 5.0
_LOOK_AGAIN_S = 0.25

T = TypeVar("T")


class IpAgent:
    def __init__(self, params: IpParams, host: AgentHost, threads: CapacityLimiter, announcer: Announcer) -> None:
        """``threads`` and ``announcer`` are shared by all components."""
        self._params = params
        self._announcer = announcer
        self._clock = host.clock
        self._threads = threads
        self._due: list[float] = []
        """When the next announcements are to go out, ``Clock.now()`` seconds."""
        self._called = anyio.Event()
        """There is a new burst."""

    # --- ports.Agent --------------------------------------------------------------------------------------------

    async def probe(self, call: Call) -> Probe:
        with anyio.move_on_after(call.timeout_s):
            try:
                sight = await self._look()
                if sight.tentative:
                    sight = await self._detected(_TENTATIVE_S)
                return judge(sight, self._params)
            except OSError as error:
                return Probe(presence=Presence.UNKNOWN, detail=f"the kernel cannot be asked: {error}")
        return Probe(presence=Presence.UNKNOWN, detail="the kernel did not answer in time")

    async def prepare(self, _call: Call) -> Result:
        return Result(outcome=Outcome.DONE)

    async def online(self, call: Call) -> Result:
        return await _timed(call, self._online)

    async def offline(self, call: Call) -> Result:
        return await _timed(call, self._offline)

    async def clean(self, call: Call) -> Result:
        return await _timed(call, self._offline)

    async def watch(self, call: Call) -> Probe | None:
        try:
            events = Events()
        except OSError:
            return None  # no file descriptor is free: it is polled
        try:
            return await self._watch(call, events)
        finally:
            events.close()

    def will(self, call: Call) -> Will | None:
        """``ports.Testator``."""
        own = self._params
        return AddressWill(address=str(own.ip), prefix=own.prefix, interface=own.interface, timeout_s=call.timeout_s)

    async def reclaim(self, call: Call) -> None:
        """``ports.Claimant``."""
        with anyio.move_on_after(call.timeout_s), contextlib.suppress(OSError):
            await self._tell(await self._look())

    # --- online -------------------------------------------------------------------------------------------------

    async def _online(self, call: Call) -> Result:
        del call
        sight = await self._look()
        if foreign := sight.foreign():
            found = ", ".join(sight.describe(one) for one in foreign)
            return _failed(f"somebody else has configured {found}: not touched")
        for one in sight.wrong:
            await self._remove(one)
        link = sight.link if sight.here else await self._choose(sight)
        if link is None:
            return _failed(self._no_link())
        if fault := fault_of(link, self._params):
            return _failed(fault)
        if sight.here is None and (refused := await self._add(link)):
            return _failed(refused)
        return await self._settle()

    async def _choose(self, sight: Sight) -> Link | None:
        """The interface that it goes on."""
        own = self._params
        if own.interface is not None:
            return sight.named(own.interface)
        index = await self._ask(lambda netlink: netlink.link_to(own.ip))
        return sight.links.get(index or 0)

    def _no_link(self) -> str:
        if self._params.interface is not None:
            return f"interface {self._params.interface} is not there"
        return f"no interface reaches {self._params.ip} without a gateway: name one as 'interface'"

    async def _add(self, link: Link) -> str:
        """Why it was not configured; empty where it was."""
        own = self._params
        if own.detects and own.ip.version == 4:
            other = await to_thread.run_sync(owner_of, own.ip, link, abandon_on_cancel=True, limiter=self._threads)
            if other is not None:
                return f"another host has {own.ip}: {other} answers for it on {link.name}"
        add = partial(Netlink.add, address=own.ip, prefix=own.prefix, link=link.number, label=own.label or "")
        try:
            await self._change(partial(add, no_dad=not own.detects))
        except OSError as error:
            if error.errno != errno.EEXIST:
                return f"{own.address} cannot be configured on {link.name}: {error.strerror}"
        return ""

    async def _settle(self) -> Result:
        """It is online once no other host has objected; then everybody is told."""
        sight = await self._detected(None)
        if sight.duplicate and sight.here is not None and sight.here.ours:
            await self._remove(sight.here)
        found = judge(sight, self._params)
        if found.presence is not Presence.ONLINE:
            return _failed(found.detail or f"{self._params.address} has gone again")
        note = ""
        try:
            await self._tell(sight)
        except OSError as error:
            note = f"cannot be announced: {error.strerror}"
        return Result(outcome=Outcome.DONE, detail=note)

    async def _detected(self, within_s: float | None) -> Sight:
        """What is there once duplicate-address detection is over. ``None``: the caller sets the deadline."""
        with contextlib.closing(Events()) as events, anyio.move_on_after(within_s):
            while (sight := await self._look()).tentative:
                with anyio.move_on_after(_LOOK_AGAIN_S):
                    await anyio.wait_readable(events.fileno())
                events.read()
            return sight
        return await self._look()

    # --- offline ------------------------------------------------------------------------------------------------

    async def _offline(self, call: Call) -> Result:
        del call
        self._due.clear()
        sight = await self._look()
        for one in (sight.here, *sight.wrong):
            if one is not None and (one.ours or one is sight.here):
                await self._remove(one)
        sight = await self._look()
        left = ", ".join(sight.describe(one) for one in (sight.here, *sight.wrong) if one is not None)
        if sight.here is None and sight.wrong:
            return _failed(f"somebody else has configured {left}: not touched, remove it by 'ip address del'")
        return _failed(f"still there: {left}") if left else Result(outcome=Outcome.DONE)

    # --- announcements ------------------------------------------------------------------------------------------

    async def _tell(self, sight: Sight) -> None:
        """The first announcement at once, the others as they fall due."""
        keys, link, now = self._params.announce, sight.link, self._clock.now()
        if keys.count == 0 or link is None or sight.tentative or sight.duplicate:
            return
        burst = [number * keys.interval for number in range(keys.count)]
        again = [burst[-1] + keys.again + offset for offset in burst] if keys.again else []
        self._due = [now + after for after in (*burst[1:], *again)]
        self._called.set()
        self._called = anyio.Event()
        await self._announce(link)

    async def _announce(self, link: Link) -> None:
        say = partial(self._announcer.announce, self._params.ip, link)
        await to_thread.run_sync(say, abandon_on_cancel=True, limiter=self._threads)

    # --- events -------------------------------------------------------------------------------------------------

    async def _watch(self, call: Call, events: Events) -> Probe:
        changes: int | None = None
        while True:
            try:
                sight = await self._look()
                found = judge(sight, self._params)
                if found.presence is not Presence.ONLINE:
                    if sight.here is not None and await self._recovers(events):
                        continue
                    found = await self.probe(call)
                    if found.presence is not Presence.ONLINE:
                        return self._gone(found)
                elif sight.link is not None and changes != sight.link.carrier_changes:
                    if changes is not None:  # switches have forgotten who is behind a port that was down
                        await self._tell(sight)
                    changes = sight.link.carrier_changes
                await self._news(events, sight)
            except OSError:
                await anyio.sleep(_LOOK_AGAIN_S)

    async def _recovers(self, events: Events) -> bool:
        """Whether an address that is there, but cannot be used, can be soon."""
        with anyio.move_on_after(CARRIER_GRACE_S):
            while judge(await self._look(), self._params).presence is not Presence.ONLINE:
                await anyio.wait_readable(events.fileno())
                events.read()
            return True
        return False

    async def _news(self, events: Events, sight: Sight) -> None:
        """Announce what is due until something has happened that may concern the address."""
        while True:
            left = self._due[0] - self._clock.now() if self._due else None
            if left is not None and left <= 0:
                self._due.pop(0)
                if sight.link is not None:
                    await self._announce(sight.link)
                continue
            if await self._readable(events, left):
                changes = events.read()
                if changes is None or any(self._concerns(change, sight) for change in changes):
                    return

    async def _readable(self, events: Events, within_s: float | None) -> bool:
        """False: the time is over, or there is a new burst of announcements."""
        happened = False
        async with anyio.create_task_group() as tasks:

            async def new_burst() -> None:
                await self._called.wait()
                tasks.cancel_scope.cancel()

            tasks.start_soon(new_burst)
            with anyio.move_on_after(within_s):
                await anyio.wait_readable(events.fileno())
                happened = True
            tasks.cancel_scope.cancel()
        return happened

    def _concerns(self, change: Change, sight: Sight) -> bool:
        if change.configured is not None:
            return change.configured.address == self._params.ip
        return change.link is not None and sight.here is not None and change.link.number == sight.here.link

    def _gone(self, found: Probe) -> Probe:
        if found.presence is Presence.OFFLINE:
            detail = found.detail or f"{self._params.address} was taken from its interface"
            return Probe(presence=Presence.OFFLINE, detail=detail)
        return found

    # --- the kernel ---------------------------------------------------------------------------------------------

    async def _look(self) -> Sight:
        return await self._ask(lambda netlink: look(netlink, self._params))

    async def _ask(self, question: Callable[[Netlink], T]) -> T:
        return await to_thread.run_sync(_with_netlink, question, abandon_on_cancel=True, limiter=self._threads)

    async def _remove(self, one: Configured) -> None:
        await self._change(partial(addresses.remove, one=one))

    async def _change(self, change: Callable[[Netlink], None]) -> None:
        await to_thread.run_sync(_with_netlink, change, limiter=self._threads)


def _with_netlink(work: Callable[[Netlink], T]) -> T:
    with Netlink() as netlink:
        return work(netlink)


def _failed(detail: str) -> Result:
    return Result(outcome=Outcome.FAILED, detail=detail)


async def _timed(call: Call, operation: Callable[[Call], Awaitable[Result]]) -> Result:
    with anyio.move_on_after(call.timeout_s):
        try:
            return await operation(call)
        except OSError as error:
            return _failed(f"{call.action}: {error.strerror or error}")
    return Result(outcome=Outcome.TIMED_OUT, detail=f"{call.action}: the kernel did not finish in time")
