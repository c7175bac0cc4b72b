"""What the state of a unit means (systemctl(1), the interface in org.freedesktop.systemd1(5))."""

from typing import NamedTuple

from failoverd.ports import Presence, Probe

_ONLINE = frozenset({"active", "reloading", "refreshing"})
_OFFLINE = frozenset({"inactive", "failed"})


class UnitState(NamedTuple):
    """A unit as ListUnitsByNames gives it."""

    load: str
    active: str
    sub: str
    path: str
    job: int
    """The number of the job that is queued for it, or runs; 0: none."""

    @property
    def online(self) -> bool:
        return self.active in _ONLINE

    @property
    def offline(self) -> bool:
        return self.active in _OFFLINE

    @property
    def settled(self) -> bool:
        """Neither on its way up or down, nor about to come up. One that reloads is up, whatever job that is."""
        return self.online or (self.offline and self.job == 0)

    def __str__(self) -> str:
        return f"{self.active} ({self.sub})"


def judge(unit: str, state: UnitState, processes: int) -> Probe:
    """``processes``: how many are left of a unit that is down."""
    if state.online:
        return Probe(presence=Presence.ONLINE)
    if not state.offline:
        return Probe(presence=Presence.UNKNOWN, detail=f"{unit} is {state}")
    if processes:
        return Probe(presence=Presence.FAILED, detail=f"{unit} is {state}, but {processes} of its processes are left")
    if state.load not in ("loaded", "stub", "merged"):
        return Probe(presence=Presence.OFFLINE, detail=f"{unit} is {state.load}")
    return Probe(presence=Presence.OFFLINE, detail=f"{unit} is {state}" if state.active == "failed" else "")
