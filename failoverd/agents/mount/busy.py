"""A mount that is busy: who holds it, and what is done about them, by policy. Nobody else is ever signalled."""

import signal
from dataclasses import dataclass, field

import anyio
from anyio import CapacityLimiter, to_thread

from failoverd.agents.mount.params import BusyKeys, Signals
from failoverd.kernel.holders import Holder, foreign_users, holders, obstacles
from failoverd.kernel.mounts import Mount, table

_SHOWN_MAX = 6


@dataclass(slots=True)
class Busy:
    """One attempt to get a mount free; ``began`` is ``anyio.current_time()``."""

    mount: Mount
    keys: BusyKeys
    threads: CapacityLimiter
    forced: bool
    """``clean``: no grace."""
    began: float = field(default_factory=anyio.current_time)
    holders: list[Holder] = field(default_factory=list)
    obstacles: list[str] = field(default_factory=list)
    _sent: set[tuple[int, int, int]] = field(default_factory=set)
    signalled: list[str] = field(default_factory=list)

    async def press(self) -> None:
        """Look who holds it now, and signal them as far as it is time to."""
        found = await to_thread.run_sync(_look, self.mount, abandon_on_cancel=True, limiter=self.threads)
        self.holders, self.obstacles = found
        number = self._number()
        for holder in self.holders if number else ():
            mark = (holder.pid, holder.start_ticks, number)
            if mark not in self._sent:
                self._sent.add(mark)
                holder.send(number)
                self.signalled.append(str(holder))

    def _number(self) -> int:
        if self.keys.signal is not Signals.KILL:
            return self.keys.signal.strongest
        over = self.forced or anyio.current_time() - self.began >= self.keys.grace
        return int(signal.SIGKILL if over else signal.SIGTERM)

    def describe(self) -> str:
        shown = [*(str(one) for one in self.holders), *self.obstacles]
        more = f" and {len(shown) - _SHOWN_MAX} more" if len(shown) > _SHOWN_MAX else ""
        return f"busy: {', '.join(shown[:_SHOWN_MAX])}{more}" if shown else "busy, though no process holds it"


async def still_used_by(mount: Mount, threads: CapacityLimiter) -> str:
    """Who has a file system mounted that is unmounted here."""
    found = await to_thread.run_sync(foreign_users, mount, abandon_on_cancel=True, limiter=threads)
    where = f"mounted in another mount namespace, of {', '.join(found[:_SHOWN_MAX])}" if found else "still in use"
    return f"unmounted here, but {where}"


def _look(mount: Mount) -> tuple[list[Holder], list[str]]:
    mounts = table()
    return holders(mount, mounts), obstacles(mount, mounts)
