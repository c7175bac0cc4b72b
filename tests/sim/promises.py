"""What nodes may rely on while they cannot renew (failsafe), judged from the datagrams alone: a naive twin."""

from collections.abc import Callable

from failoverd.domain.report import PeerState
from tests.sim.checkers import Checkers


class Promises:
    """A promise is worth what it says from when its question was first sent, and only with everybody else's."""

    def __init__(
        self, checkers: Checkers, nodes: tuple[str, ...], *, rate: Callable[[str], float], self_stop_s: float
    ) -> None:
        self._checkers, self._nodes, self._rate, self._self_stop_s = checkers, nodes, rate, self_stop_s
        self._asked: dict[tuple[str, str, int], float] = {}
        self._ends: dict[tuple[str, str], dict[str, float]] = {}

    def sent(self, node: str, incarnation: str, state: PeerState) -> None:
        if state.asks:
            self._asked.setdefault((node, incarnation, state.asks), self._checkers.world.now)

    def heard(self, node: str, incarnation: str, by: str, state: PeerState) -> None:
        promise = state.promises.get(node)
        asked_at = self._asked.get((node, incarnation, promise.asked)) if promise else None
        if promise is None or asked_at is None or promise.incarnation != incarnation:
            return
        rate = self._rate(node)
        ends = self._ends.setdefault((node, incarnation), {})
        ends[by] = max(ends.get(by, 0.0), asked_at + promise.for_s / rate)
        if len(ends) == len(self._nodes) - 1:
            end = min(ends.values())
            self._checkers.renewed(node, end - self._self_stop_s / rate, end)
