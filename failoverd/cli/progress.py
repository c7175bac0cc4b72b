"""A handover as plain lines, for logs and pipes: one line when an operation begins, one when it ends."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from failoverd.cli.output import print_line

_BEGUN = {"prepare": "preparing", "online": "onlining", "offline": "offlining"}
_ENDED = {"prepare": "prepared", "online": "online", "offline": "offline"}


class PlainProgress:
    """Remembers what it has printed: each update holds the whole handover."""

    def __init__(self) -> None:
        self._printed: set[tuple[Any, ...]] = set()

    def update(self, handover: Mapping[str, Any]) -> None:
        generation = handover.get("generation")
        if self._first((generation, "begun")):
            print_line(_headline(handover))
        moments = []
        counts: Counter[tuple[str, ...]] = Counter()
        for step in handover.get("steps", ()):
            # Not its times: those of another node's steps are estimates, and may differ a little in each document.
            operation = (step["component"], step["node"], step["action"])
            counts[operation] += 1
            key = (*operation, counts[operation])
            if self._first((*key, "begin")):
                moments.append((step["begin_s"], _BEGUN.get(step["action"], step["action"]), step))
            if step.get("end_s") is not None and self._first((*key, "end")):
                moments.append((step["end_s"], _ended(step), step))
        for at, what, step in sorted(moments, key=lambda moment: moment[0]):
            print_line(f"{at:8.3f} s  {step['node']}  {step['component']}  {what}")

    def _first(self, key: tuple[Any, ...]) -> bool:
        known = key in self._printed
        self._printed.add(key)
        return not known


def _ended(step: Mapping[str, Any]) -> str:
    took = f"after {step['end_s'] - step['begin_s']:.3f} s"
    return f"{_ENDED.get(step['action'], step['action'])} {took}" if step.get("ok", True) else f"failed {took}"


def _headline(handover: Mapping[str, Any]) -> str:
    source, target = handover.get("source") or "-", handover.get("target") or "-"
    predicted = handover.get("predicted_s")
    expected = f", {predicted:.2f} s expected" if isinstance(predicted, (int, float)) else ""
    return f"{handover.get('group')}: {source} -> {target}, generation {handover.get('generation')}{expected}"
