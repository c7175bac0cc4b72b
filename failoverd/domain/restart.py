"""What follows a component's fault: another attempt here, or giving it up on this node."""

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

from failoverd.domain.model import OnFault, RestartPolicy


class Recovery(StrEnum):
    RESTART = "restart"
    GIVE_UP = "give_up"
    IGNORE = "ignore"
    DEFER = "defer"
    """The group is frozen: judged again when it is thawed."""


@dataclass(slots=True)
class RestartBudget:
    """The attempts of one component on one node within the policy's window (a bounded memory of times)."""

    attempts: deque[float] = field(default_factory=deque)

    def after_fault(self, on_fault: OnFault, policy: RestartPolicy, now: float) -> Recovery:
        """Decide, and count the attempt where one is granted. ``now`` in seconds of the caller's monotonic clock."""
        if on_fault is OnFault.IGNORE:
            return Recovery.IGNORE
        while self.attempts and now - self.attempts[0] >= policy.window_s:
            self.attempts.popleft()
        if on_fault is OnFault.FAILOVER or len(self.attempts) >= policy.attempts:
            return Recovery.GIVE_UP
        self.attempts.append(now)
        return Recovery.RESTART

    def forget(self) -> None:
        self.attempts.clear()
