"""Lease arithmetic: who may count on what, until when.

No two nodes' clocks are ever compared. The owner of a lease counts from the moment it *began* its last successful
renewal, an observer from the moment it *saw* the record change, which is later; so an observer's end is never before
the owner's, but for the drift between the two clocks' rates, which ``drift`` bounds (Gray and Cheriton, "Leases",
SOSP 1989, section 2).
"""

from dataclasses import dataclass
from enum import StrEnum

DRIFT = 0.05
"""By how much one clock's rate may differ from another's, at the most."""


class LeaseAction(StrEnum):
    KILL = "kill"
    REBOOT = "reboot"


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchdogSettings:
    """The device that resets the machine where neither daemon nor guard keeps the promise of the lease."""

    device: str
    timeout_s: int
    """Whole seconds: devices know no other."""
    always: bool = False
    """As long as the lease is held, not only while something is online."""

    @property
    def spec(self) -> str:
        """For the guard."""
        return f"{self.device}:{self.timeout_s}:{int(self.always)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseSettings:
    ttl_s: float
    renew_s: float
    request_timeout_s: float
    self_stop_s: float
    action: LeaseAction = LeaseAction.KILL
    failsafe_s: float = 0.0
    """How long a promise of failsafe lasts (see ``failsafe``); 0: none are asked for or given."""
    watchdog: WatchdogSettings | None = None
    drift: float = DRIFT

    @classmethod
    def of(
        cls,
        *,
        ttl_s: float = 3.0,
        renew_s: float | None = None,
        request_timeout_s: float | None = None,
        self_stop_s: float | None = None,
        action: LeaseAction = LeaseAction.KILL,
        failsafe_s: float | None = None,
    ) -> "LeaseSettings":
        """Fill in what is not given: renew ttl/6, request_timeout as renew, self_stop ttl/3, failsafe as ttl."""
        renew = ttl_s / 6 if renew_s is None else renew_s
        return cls(
            ttl_s=ttl_s,
            renew_s=renew,
            request_timeout_s=renew if request_timeout_s is None else request_timeout_s,
            self_stop_s=ttl_s / 3 if self_stop_s is None else self_stop_s,
            action=action,
            failsafe_s=ttl_s if failsafe_s is None else failsafe_s,
        )

    def faults(self) -> tuple[str, ...]:
        """The inequalities that do not hold, each with its numbers."""
        found = [
            f"lease.{name} must be above 0, it is {value:g}s"
            for name, value in (
                ("ttl", self.ttl_s),
                ("renew", self.renew_s),
                ("request_timeout", self.request_timeout_s),
                ("self_stop", self.self_stop_s),
            )
            if value <= 0
        ]
        needed = 2 * self.renew_s + self.request_timeout_s + self.self_stop_s
        if needed > self.ttl_s * (1 + 1e-9):
            found.append(
                "2*renew + request_timeout + self_stop <= ttl does not hold: "
                f"2*{self.renew_s:g}s + {self.request_timeout_s:g}s + {self.self_stop_s:g}s = {needed:g}s, "
                f"ttl is {self.ttl_s:g}s"
            )
        return tuple(found)

    def watchdog_timeout_s(self) -> int:
        """What is taken where none is given: as long as the inequality below permits."""
        return int((self.ttl_s - self.renew_s - self.request_timeout_s) * (1 + 1e-9))

    def watchdog_faults(self) -> tuple[str, ...]:
        """The watchdog goes off within the lease even if it was opened right before a renewal and fed right after it
        was answered: else it is not fed, and nothing comes online."""
        if self.watchdog is None:
            return ()
        needed = self.renew_s + self.request_timeout_s + self.watchdog.timeout_s
        if self.watchdog.timeout_s >= 1 and needed <= self.ttl_s * (1 + 1e-9):
            return ()
        fault = (
            "renew + request_timeout + watchdog.timeout <= ttl does not hold with a time-out of at least 1s: "
            f"{self.renew_s:g}s + {self.request_timeout_s:g}s + {self.watchdog.timeout_s}s = {needed:g}s, "
            f"ttl is {self.ttl_s:g}s"
        )
        return (fault,)

    def watchdog_warning(self) -> str | None:
        """It may go off before self-stop has had its time; safe, but a reset that need not be."""
        if self.watchdog is None or self.watchdog.timeout_s >= self.ttl_s - self.self_stop_s + self.will_s:
            return None
        return (
            "ttl - self_stop/2 <= watchdog.timeout does not hold, so the machine may be reset before a self-stop is "
            f"through: {self.ttl_s:g}s - {self.self_stop_s:g}s/2 = {self.ttl_s - self.self_stop_s / 2:g}s, "
            f"the time-out is {self.watchdog.timeout_s}s"
        )

    def usable_until(self, began: float) -> float:
        """Until when the owner may begin operations; then self-stop begins. ``began``: of its last good renewal."""
        return began + self.ttl_s - self.self_stop_s

    @property
    def will_s(self) -> float:
        """How long a last will may take. Self-stop is halved: ``self_stop/2`` for the daemon's own attempt, if it is
        well, and ``self_stop/2`` for the guard's, if it is not, with everything begun at once:

            usable_until = ttl - self_stop  <  guard_fires_at = ttl - self_stop/2  <  ends = ttl

        So ``longest clean <= self_stop/2`` is what must hold. A half rather than less: a daemon that is well is not
        killed in the middle of its own self-stop. What the guard itself needs (milliseconds) is within the drift
        margin that observers add to ``ends``.
        """
        return self.self_stop_s / 2

    def guard_fires_at(self, began: float) -> float:
        """When the guard takes down what is not down, without the daemon."""
        return self.ends(began) - self.will_s

    def will_fault(self, clean_s: float) -> str | None:
        """The inequality, with its numbers, where it does not hold for something that takes so long to take down."""
        if clean_s <= self.will_s * (1 + 1e-9):
            return None
        return (
            "longest clean <= self_stop/2 does not hold: "
            f"it takes {clean_s:g}s, self_stop/2 is {self.self_stop_s:g}s/2 = {self.will_s:g}s"
        )

    def ends(self, began: float) -> float:
        """By when the owner has taken everything exclusive down."""
        return began + self.ttl_s


def expires(seen: float, ttl_s: float, drift: float = DRIFT) -> float:
    """When an observer that saw the lease change at ``seen`` may hold it for expired."""
    return seen + ttl_s * (1 + drift)


def heartbeat_faults(interval_s: float, dead_after_s: float) -> tuple[str, ...]:
    """The heartbeat's own inequality: three datagrams may be lost before a peer is suspected."""
    if interval_s <= 0:
        return (f"heartbeat.interval must be above 0, it is {interval_s:g}s",)
    if dead_after_s * (1 + 1e-9) < 3 * interval_s:
        needed = f"3*{interval_s:g}s = {3 * interval_s:g}s"
        return (f"3*interval <= dead_after does not hold: {needed}, dead_after is {dead_after_s:g}s",)
    return ()
