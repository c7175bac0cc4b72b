"""What of an instance runs: a walk through /proc, shared by all who ask at the same time."""

from dataclasses import dataclass
from math import inf

import anyio
from anyio import to_thread

from failoverd import procfs
from failoverd.agents.process.identity import MARK, Identity

_MARK_ITEM = f"{MARK}=".encode()
_THREADS = 4
"""A walk may hang on a process that hangs in the kernel; so many may, then callers wait until their own deadline."""


@dataclass(frozen=True, slots=True)
class Member:
    """A live process that belongs to an instance."""

    stat: procfs.Stat
    mark: str
    """Empty where only its session tells."""

    @property
    def pid(self) -> int:
        return self.stat.pid


@dataclass(frozen=True, slots=True)
class Snapshot:
    processes: tuple[Member, ...]

    def members(self, prefix: str, session: Identity | None) -> list[Member]:
        """Whatever carries a mark of the component, or is of the session that ``session`` leads or has led."""
        sid = self._session(session)
        return [one for one in self.processes if one.mark.startswith(prefix) or (sid and one.stat.sid == sid)]

    def _session(self, identity: Identity | None) -> int | None:
        """The kernel gives no pid away while a session of that number has members: another process with the leader's
        pid means that the session is gone."""
        if identity is None or not identity.this_boot:
            return None
        for one in self.processes:
            if one.pid == identity.pid and not identity.is_it(one.stat):
                return None
        return identity.pid


class Census:
    """One for all components: four hundred probes at once walk through /proc twice, not four hundred times."""

    def __init__(self) -> None:
        self._lock = anyio.Lock()
        self._limiter = anyio.CapacityLimiter(_THREADS)
        self._begun = 0
        self._latest = Snapshot(())
        self._latest_number = 0

    async def take(self) -> Snapshot:
        """A snapshot that was begun after this call. Takes milliseconds; the caller sets the deadline."""
        asked = self._begun
        async with self._lock:
            if self._latest_number > asked:
                return self._latest
            self._begun += 1
            number = self._begun
            snapshot = await to_thread.run_sync(walk, abandon_on_cancel=True, limiter=self._limiter)
            self._latest, self._latest_number = snapshot, number
            return snapshot


def walk() -> Snapshot:
    """All live processes of the machine with their marks."""
    found = []
    for pid in procfs.pids():
        there = procfs.stat(pid)
        if there is not None and there.alive:
            found.append(Member(there, _mark(procfs.environ(pid))))
    return Snapshot(tuple(found))


def _mark(environ: bytes) -> str:
    if _MARK_ITEM not in environ:
        return ""
    for item in environ.split(b"\0"):
        if item.startswith(_MARK_ITEM):
            return item[len(_MARK_ITEM) :].decode("utf-8", "replace")
    return ""


def leader_of(members: list[Member], known: str) -> Member | None:
    """Where the state file is lost or out of date: the first that leads a session is what was started, unless it is of
    the instance (``known``, its mark) whose main process is known to have ended."""
    leaders = [one for one in members if one.mark and one.mark != known and one.stat.sid == one.pid]
    return min(leaders, key=lambda one: one.stat.start_ticks or inf, default=None)
