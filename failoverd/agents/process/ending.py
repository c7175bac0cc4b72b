"""Ending all of an instance: politely, then by force, until nothing of it is left."""

import contextlib
import os
import signal
from collections.abc import Iterable

import anyio

from failoverd import procfs
from failoverd.agents.process.census import Member
from failoverd.agents.process.identity import Identity
from failoverd.agents.process.whole import Whole

_PAUSE_S = 0.01
_REST_S = 1.0
"""What is left after the main process has ended gets so long to follow it."""


class Ending:
    """One attempt. ``left`` tells afterwards what is still there."""

    def __init__(self, whole: Whole, session: Identity | None) -> None:
        self._whole = whole
        self._session = session
        self._over = False
        self.left: list[Member] = []
        self.forced = False
        """Something had to be killed."""

    async def gracefully(self, number: int, wait_s: float) -> None:
        """Signal the main process's group and wait for the main process; then what is left of the instance."""
        with anyio.move_on_after(wait_s):
            if self._session is not None:
                await _signal_and_wait(self._session, number)
            if await self._look():
                send(self.left, number)
                with anyio.move_on_after(_REST_S):
                    while await self._look():  # noqa: ASYNC110 (/proc has no event)
                        await anyio.sleep(_PAUSE_S)

    async def by_force(self) -> None:
        """SIGKILL whatever is left, until nothing is: what forks in between is found by the next look. The caller sets
        the deadline."""
        while not self._over and await self._look():
            self.forced = True
            with contextlib.suppress(OSError):  # then one by one
                await self._whole.kill_groups()
            if self._session is not None and any(one.stat.pgid == self._session.pid for one in self.left):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._session.pid, signal.SIGKILL)
            send(self.left, signal.SIGKILL)
            await anyio.sleep(_PAUSE_S)

    async def _look(self) -> bool:
        ours = os.getpid()
        members = await self._whole.members(self._session)
        self.left = [one for one in members if one.pid != ours]
        self._over = not self.left  # nothing comes of nothing: no second look
        return bool(self.left)


async def wait_for_end(identity: Identity) -> None:
    """Return once the process has ended (pidfd_open(2): an event, not a poll). Raises OSError without descriptors."""
    try:
        descriptor = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return
    try:
        if identity.alive:  # asked after the descriptor was taken: so it is of this very process
            await anyio.wait_readable(descriptor)
    finally:
        os.close(descriptor)


def send(members: Iterable[Member], number: int) -> None:
    """Signal each process, and no other that has got its pid since (pidfd_send_signal(2))."""
    for one in members:
        if one.pid <= 0:  # in a control group, and not to be seen from here
            continue
        with contextlib.suppress(ProcessLookupError, PermissionError):
            descriptor = os.pidfd_open(one.pid)
            try:
                there = procfs.stat(one.pid)
                if there is not None and there.start_ticks == one.stat.start_ticks:
                    signal.pidfd_send_signal(descriptor, number)
            finally:
                os.close(descriptor)


async def _signal_and_wait(identity: Identity, number: int) -> None:
    if not identity.alive:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(identity.pid, number)
        os.killpg(identity.pid, signal.SIGCONT)  # a stopped process hears nothing but this
    await wait_for_end(identity)
