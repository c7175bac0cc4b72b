"""How a peer that lives can be reached, each way of not quite reaching it with a name of its own.

What is judged is what this node hears, what its peers say that they hear, and whether the peer renews its lease. None
of it ever is a reason to touch anybody: it is there to be shown.
"""

from dataclasses import dataclass
from enum import StrEnum

from failoverd.domain.detector import LinkState


class Reach(StrEnum):
    FULL = "full"
    REDUCED = "reduced"
    """Some of several links do not work."""
    ONE_WAY = "one_way"
    """We hear it, and it does not hear us."""
    LOST_COORDINATOR = "lost_coordinator"
    """It answers heartbeats, and cannot reach the coordinator."""
    PARTIAL = "partial"
    """Some members hear it and others do not."""
    CUT = "cut"
    """We hear nothing of it, and it renews its lease: it is the network between us that is cut."""
    SILENT = "silent"
    """We hear nothing of it, and nothing says that it lives."""


PLAIN = frozenset({Reach.FULL, Reach.SILENT})
"""No partition: all is well; or it may be dead, which the lease tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of one peer that is a member."""

    silent: bool
    """Nothing came from it over any link for ``dead_after``."""
    links: tuple[LinkState, ...] = ()
    hears_us: bool | None = None
    """As it says; None: it does not say."""
    coordinator_ok: bool = True
    """As it says."""
    renewed: bool = False
    """Its lease was renewed since it fell silent."""
    heard_by: tuple[str, ...] = ()
    """Members that we hear, and that say they hear it."""
    unheard_by: tuple[str, ...] = ()
    """Members that we hear, and that say they do not hear it."""


def reach(found: Evidence) -> tuple[Reach, str]:
    """The worst that applies, and all that does, for people."""
    return _silent(found) if found.silent else _heard(found)


def _silent(found: Evidence) -> tuple[Reach, str]:
    others = f"{_names(found.heard_by)} it" if found.heard_by else ""
    if found.renewed:
        text = "nothing is heard of it, but it renews its lease: the network between us is cut, and nobody touches it"
        return Reach.CUT, f"{text}; {others}" if others else text
    if others:
        return Reach.PARTIAL, f"nothing is heard of it here, but {others}"
    return Reach.SILENT, ""


def _heard(found: Evidence) -> tuple[Reach, str]:
    applies: list[tuple[Reach, str]] = []
    if found.hears_us is False:
        applies.append((Reach.ONE_WAY, "it does not hear us, though we hear it"))
    if found.unheard_by:
        who = ", ".join(found.unheard_by)
        applies.append((Reach.PARTIAL, f"{who} {'does' if len(found.unheard_by) == 1 else 'do'} not hear it"))
    if not found.coordinator_ok:
        applies.append((Reach.LOST_COORDINATOR, "it answers, but cannot reach the coordinator"))
    bad = sum(state in {LinkState.DOWN, LinkState.ONE_WAY} for state in found.links)
    if bad and found.hears_us is not False:
        applies.append((Reach.REDUCED, f"{bad} of {len(found.links)} links do not work"))
    if not applies:
        return Reach.FULL, ""
    return applies[0][0], "; ".join(text for _, text in applies)


def _names(names: tuple[str, ...]) -> str:
    return f"{', '.join(names)} {'hears' if len(names) == 1 else 'hear'}"
