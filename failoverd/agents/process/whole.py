"""All that belongs to a component, by every sign: its mark, its session, its control groups."""

import anyio
from anyio import to_thread

from failoverd import procfs
from failoverd.agents.process.census import Census, Member
from failoverd.agents.process.identity import Identity
from failoverd.agents.process.place import Place
from failoverd.kernel import cgroups

_PAUSE_S = 0.01
_BURIAL_TRIES = 20

_UNSEEN = Member(procfs.Stat(pid=0, state="?", ppid=0, pgid=0, sid=0, start_ticks=0), "")
"""Somebody is in a control group who cannot be seen from here."""


class Whole:
    """A control group misses nothing that was forked, whatever it made of itself, but what was moved out of it; that is
    found by its mark. So the two are always asked together: who cannot be found is taken for absent."""

    def __init__(self, census: Census, prefix: str, place: Place) -> None:
        self._census = census
        self._prefix = prefix
        self._directories = place.directories
        self._own = place.own

    async def members(self, session: Identity | None) -> list[Member]:
        """Empty: none of it runs. Raises OSError where that cannot be told."""
        found = (await self._census.take()).members(self._prefix, session)
        known = {one.pid for one in found}
        return found + [one for one in self.grouped() if one.pid not in known]

    def grouped(self) -> list[Member]:
        """In its control groups alone: a few files read, whose answers wait for nobody. Raises OSError."""
        busy = [directory for directory in self._directories if cgroups.busy(directory)]
        pids = sorted({pid for directory in busy for pid in cgroups.pids(directory) if pid > 0})
        there = [one for one in map(procfs.stat, pids) if one is not None and one.alive]
        return [Member(one, "") for one in there] if there or not busy else [_UNSEEN]

    async def kill_groups(self) -> None:
        """Once. Raises OSError."""
        for directory in self._directories:
            if cgroups.busy(directory):
                await to_thread.run_sync(cgroups.kill, directory, abandon_on_cancel=True)

    async def remove(self) -> None:
        """Leave no empty control group behind; a process that has ended may hold it a moment longer. (What systemd has
        made, it removes.)"""
        if self._own is None or not cgroups.exists(self._own):
            return
        for _ in range(_BURIAL_TRIES):
            if await to_thread.run_sync(cgroups.remove, self._own, abandon_on_cancel=True):
                return
            await anyio.sleep(_PAUSE_S)
