"""How each peer can be reached (``domain.reach``), as this node finds it: to be shown, and told when it changes."""

from math import inf
from typing import TYPE_CHECKING

from failoverd.domain.placement import LeaseState
from failoverd.domain.reach import PLAIN, Evidence, Reach, reach
from failoverd.log.catalogue import Event

if TYPE_CHECKING:  # the node is made of this, so the import would be a cycle
    from failoverd.runtime.node import Node

Found = tuple[Reach, str]
UNREMARKABLE: Found = (Reach.FULL, "")


class Reaches:
    def __init__(self, node: "Node") -> None:
        self._node = node
        self.told: dict[str, Found] = {}
        """What has been so for ``dead_after``: what lasts shorter is on its way to something else."""
        self._newest: dict[str, tuple[Reach, float]] = {}
        self._judged_at = -inf

    def beat(self, now: float) -> None:
        """Judge, a few times in the time that something must have lasted to be told."""
        if now < self._judged_at + self._node.settings.dead_after_s / 4:
            return
        self._judged_at = now
        for name in self._node.settings.nodes:
            if name != self._node.me:
                self._judge(name, self.found(name, now), now)

    def _judge(self, name: str, found: Found, now: float) -> None:
        before = self._newest.get(name)
        if before is None or before[0] is not found[0]:
            self._newest[name] = found[0], now
            return
        if now - before[1] < self._node.settings.dead_after_s:
            return
        was, _ = self.told.get(name, UNREMARKABLE)
        self.told[name] = found
        if found[0] is was:
            return
        if found[0] not in PLAIN:
            self._node.log.emit(Event.PARTITION_FOUND, peer=name, state=found[0].value, was=was.value, reason=found[1])
        elif was not in PLAIN:
            self._node.log.emit(Event.PARTITION_HEALED, peer=name, state=found[0].value, was=was.value)

    def found(self, name: str, now: float) -> Found:
        """At this moment."""
        node = self._node
        member, view = node.mirror.members.get(name), node.peers.views.get(name)
        if member is None or member.record.state is not LeaseState.LIVE or view is None or view.heard_at is None:
            return UNREMARKABLE  # it was never here, or is not: that has names of its own
        silent = node.peers.suspected(name)
        said = node.peers.said.get(name)
        heard_by, unheard_by = self._as_others_say(name)
        return reach(
            Evidence(
                silent=silent,
                links=tuple(link.state for link in view.links),
                hears_us=None if silent or said is None else self._hears(said.heard.get(node.me)),
                coordinator_ok=said is None or said.coordinator_ok,
                renewed=silent and node.contact.ok and self._renewed(name, now),
                heard_by=heard_by if silent else (),
                unheard_by=() if silent else unheard_by,
            )
        )

    def _renewed(self, name: str, now: float) -> bool:
        """Whether its lease was, since it was last heard."""
        lease = self._node.mirror.leases.get(name)
        since = self._node.peers.heard_at(name) or now
        return lease is not None and lease.seen_at > since + self._node.settings.dead_after_s / 2

    def _as_others_say(self, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Who of those that we hear hears it, and who does not."""
        node = self._node
        if len(node.peers.said) < 2:
            return (), ()  # there is nobody else
        heard: list[str] = []
        unheard: list[str] = []
        for other, said in node.peers.said.items():
            if other == name or not node.peers.heard(other) or not said.ready:
                continue
            hears = self._hears(said.heard.get(name))
            if hears is not None:
                (heard if hears else unheard).append(other)
        return tuple(sorted(heard)), tuple(sorted(unheard))

    def _hears(self, ages: tuple[float | None, ...] | None) -> bool | None:
        if ages is None:
            return None
        return any(age is not None and age < self._node.settings.dead_after_s for age in ages)
