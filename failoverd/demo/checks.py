"""What must have happened, each checked by the components' and the customer's own records."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from failoverd.demo.evidence import Cut, Gap, acknowledged, double_runs, lives, pipelined, stored
from failoverd.demo.shop import PARTS

Document = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Check:
    what: str
    ok: bool
    detail: str = ""

    def document(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Handover:
    """A handover in numbers, seconds."""

    title: str
    source: str
    target: str
    makespan_s: float
    limit_s: float
    phased_s: float
    serial_s: float
    detect_s: float | None
    silence_s: float
    """How long the HTTP service did not answer."""

    @classmethod
    def of(cls, title: str, document: Document, gap: Gap | None) -> "Handover":
        return cls(
            title=title,
            source=str(document.get("source")),
            target=str(document.get("target")),
            makespan_s=float(document.get("makespan_s") or 0.0),
            limit_s=float(document.get("limit_s") or 0.0),
            phased_s=float(document.get("phased_s") or 0.0),
            serial_s=float(document.get("serial_s") or 0.0),
            detect_s=document.get("detect_s"),
            silence_s=gap.length_s if gap else 0.0,
        )

    def document(self) -> dict[str, Any]:
        return asdict(self)


def handed_over(document: Document, source: str, target: str) -> Check:
    """By the daemon's own word."""
    said = (document.get("state"), document.get("source"), document.get("target"))
    return Check(
        what=f"the group was handed over from {source} to {target}",
        ok=said == ("done", source, target),
        detail=f"the daemon says {said}, {document.get('reason', '')}",
    )


def moved(root: Path, cuts: list[Cut], source: str, target: str) -> Check:
    found, _ = lives(root, cuts)
    on_source = {life.component for life in found if life.node == source and life.end is None}
    on_target = {life.component for life in found if life.node == target and life.end is None and life.up}
    missing = set(PARTS) - on_target
    return Check(
        what=f"all {len(PARTS)} components run on {target} and none on {source}, by their own records",
        ok=not on_source and not missing,
        detail=f"left on {source}: {sorted(on_source)}, missing on {target}: {sorted(missing)}",
    )


def overlapped(root: Path, source: str, target: str, since: float) -> Check:
    found, _ = lives(root, [])
    return Check(
        what=f"components came up on {target} while others were still going down on {source}",
        ok=pipelined(found, source, target, since),
        detail="the first begin on the target came after the last end on the source",
    )


def faster(handover: Handover) -> Check:
    return Check(
        what="it took less time than taking everything offline first would have (phased)",
        ok=0 < handover.makespan_s < handover.phased_s,
        detail=f"{handover.makespan_s:.2f}s against {handover.phased_s:.2f}s",
    )


def answers_again(gap: Gap | None, source: str, target: str) -> Check:
    return Check(
        what=f"the HTTP service answers from {target}, where it answered from {source} before",
        ok=gap is not None and (gap.before, gap.after) == (source, target),
        detail=f"the customer saw {gap}",
    )


def took_nothing(root: Path, node: str, since: float) -> Check:
    found, _ = lives(root, [])
    begun = [life.component for life in found if life.node == node and life.begin > since]
    return Check(what=f"node {node} has taken nothing", ok=not begun, detail=f"it began {begun}")


def same_owner(witness: str, before: Document, after: Document) -> Check:
    owners = [(group["owner"], group["generation"]) for group in (before, after)]
    return Check(
        what=f"the group stayed where it was, at the same generation, as node {witness} sees it",
        ok=owners[0] == owners[1],
        detail=f"{owners}",
    )


def ran_once(root: Path, cuts: list[Cut]) -> Check:
    found, wrong = lives(root, cuts)
    problems = [*wrong, *double_runs(found)]
    what = f"no component ever ran on two nodes at once ({len(found)} lives, locks included)"
    return Check(what=what, ok=not problems and bool(found), detail="; ".join(problems))


def kept_orders(root: Path, customer: Path) -> Check:
    confirmed, kept = acknowledged(customer), stored(root)
    lost = sorted(confirmed - kept)
    return Check(
        what=f"all {len(confirmed)} orders that were confirmed are in the store",
        ok=bool(confirmed) and not lost,
        detail=f"lost: {lost}",
    )
