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
class LeaseSettings:
    ttl_s: float
    renew_s: float
    request_timeout_s: float
    self_stop_s: float
    action: LeaseAction = LeaseAction.KILL
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
    ) -> "LeaseSettings":
        """Fill in what is not given: renew ttl/6, request_timeout as renew, self_stop ttl/3."""
        renew = ttl_s / 6 if renew_s is None else renew_s
        return cls(
            ttl_s=ttl_s,
            renew_s=renew,
            request_timeout_s=renew if request_timeout_s is None else request_timeout_s,
            self_stop_s=ttl_s / 3 if self_stop_s is None else self_stop_s,
            action=action,
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

    def usable_until(self, began: float) -> float:
        """Until when the owner may begin operations; then self-stop begins. ``began``: of its last good renewal."""
        return began + self.ttl_s - self.self_stop_s

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
