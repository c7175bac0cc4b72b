"""Groups that require others: which they are in a scenario, and what must never happen with them. Judged by the truth
of the components, as the other checkers do.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from failoverd.domain.model import Group, OnStop, RequiredFault, Requirement, Where
from tests.sim.components import Part, Site, Told
from tests.sim.scenario import Happening, Scenario
from tests.sim.world import Entry, World

REQUIRED = "begun without a group that is required"
BENEATH = "taken from beneath a group that requires it"
SHARE = 0.7
"""Of the scenarios with more than one group."""
LATE_S = 7.0
"""With a lease of three seconds: how old news from another node may be (delayed datagrams arrive up to 5 s late)."""

_ENDS = ("offline.begin", "clean.begin", "gone", "died", "sickened", "cut_short", "by_hand", "lie")


# --- scenarios ------------------------------------------------------------------------------------------------------


def with_requirements(scenario: Scenario, share: float = SHARE) -> Scenario:
    """Some of its groups require earlier ones. (With dice of its own: nothing else of a seed depends on it.)"""
    rng = random.Random(f"{scenario.seed} requires")
    if len(scenario.groups) < 2 or rng.random() >= share:
        return scenario
    groups: dict[str, Group] = {}
    for name, group in scenario.groups.items():
        chosen = [each for each in groups if rng.random() < 0.7]
        groups[name] = replace(group, requires=tuple(_requirement(rng, each) for each in chosen))
    more = [each for name in groups for each in _commands(rng, scenario, name)]
    timeline = sorted((*scenario.timeline, *more), key=lambda each: each.at)
    return replace(scenario, groups=groups, timeline=tuple(timeline))


def _requirement(rng: random.Random, group: str) -> Requirement:
    where = rng.choice((Where.SAME_NODE, Where.SAME_NODE, Where.OTHER_NODE, Where.ANYWHERE))
    return Requirement(group=group, where=where, on_fault=rng.choice((RequiredFault.FOLLOW, *RequiredFault)))


def _commands(rng: random.Random, scenario: Scenario, group: str) -> list[Happening]:
    """Off with all that depend on it, and on again."""
    found: list[Happening] = []
    if rng.random() < 0.5:
        at = scenario.calm_at * rng.uniform(0.2, 0.9)
        node = rng.choice(scenario.nodes)
        asked: dict[str, Any] = {"command": "offline", "group": group, "with_dependents": True}
        found.append(Happening(at, "command", {"node": node, **asked}))
        for each in scenario.groups:
            at += rng.uniform(0.1, 1.0) * scenario.scale
            found.append(
                Happening(at, "command", {"node": rng.choice(scenario.nodes), "command": "online", "group": each})
            )
    return [each for each in found if each.at < scenario.calm_at]


def _ends(entry: Entry, part: Part) -> bool:
    if entry.what in {"crash", "boot", "ended"}:
        return entry.who == part.node
    return entry.what in _ENDS and entry.fields.get("part") == part.key


# --- rules ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Related:
    world: World
    site: Site
    groups: Mapping[str, Group]
    late_s: float = LATE_S
    frozen: Callable[[Part], Sequence[str]] = field(default=lambda _: ())
    """What the part's node has been told of that keeps hands off its group."""
    _above: dict[str, list[tuple[Group, Requirement]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for group in self.groups.values():
            for need in group.requires:
                self._above.setdefault(need.group, []).append((group, need))

    def online(self, part: Part) -> None:
        """An online of it begins."""
        for need in self.groups[part.group].requires:
            nodes = self._where(need, part.node)
            near = need.where is Where.SAME_NODE
            if not any(self._is_up(node, need.group, 0.0 if near else self.late_s) for node in nodes):
                self.world.broken(REQUIRED, f"online of {part.key}, which needs {need.group} {need.where.value}")

    def _where(self, need: Requirement, node: str) -> set[str]:
        everywhere = {part.node for part in self.site.parts.values() if part.group == need.group}
        return {
            Where.SAME_NODE: {node},
            Where.OTHER_NODE: everywhere - {node},
            Where.ANYWHERE: everywhere,
        }[need.where]

    def _is_up(self, node: str, group: str, late_s: float) -> bool:
        """All that is essential of it is online there, or was so lately."""
        essential = self._essential(node, group)
        return bool(essential) and all(self.world.now - self._up_until(each) <= late_s for each in essential)

    def _up_until(self, part: Part) -> float:
        if part.told is Told.ONLINE:
            return self.world.now
        ends = (entry.at for entry in reversed(self.world.trace) if _ends(entry, part))
        return next(ends, float("-inf"))

    def _essential(self, node: str, group: str) -> list[Part]:
        parts, components = self.site.of_group(node, group), self.groups[group].components
        return [part for part in parts if components[part.name].critical] or parts

    def offline(self, part: Part) -> None:
        """An offline of it begins (not by force)."""
        if part not in self._essential(part.node, part.group):
            return
        for group, need in self._above.get(part.group, []):
            if (
                need.where is not Where.SAME_NODE
                or need.on_fault is RequiredFault.STAY
                or group.on_stop is OnStop.LEAVE
            ):
                continue
            above = [each for each in self.site.of_group(part.node, group.name) if each.told is not Told.ABSENT]
            if above and not self.frozen(above[0]):
                said = ", ".join(each.key for each in above)
                self.world.broken(BENEATH, f"offline of {part.key} while {said} is not absent there")

    # --- at the end -------------------------------------------------------------------------------------------------

    def excuse(self, group: str, placements: Mapping[str, dict[str, Any] | None], down: frozenset[str]) -> str:
        """Why a group cannot be expected to be online: one that it requires is not (``down``), or is where it leaves no
        place for this one."""
        left = set(self.groups[group].nodes)
        for need in self.groups[group].requires:
            placement = placements.get(need.group)
            if placement is None or placement["wanted"] == "offline" or need.group in down:
                return f"{need.group} is not online"
            if need.where is Where.SAME_NODE:
                left &= {placement["owner"]}
            elif need.where is Where.OTHER_NODE:
                left -= {placement["owner"]}
        return "" if left else "no node is where all that it requires allows it to be"
