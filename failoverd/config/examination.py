"""The closer look that ``failoverd check`` takes: what agents themselves say of their components on this machine."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from failoverd.config.fault import Mark
from failoverd.config.findings import Findings

_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Examination:
    mark: Mark
    component: str
    look: Callable[[], tuple[str, ...]]
    """Blocks for a bounded time."""


def examine(examinations: Iterable[Examination], findings: Findings) -> None:
    """Warnings, not faults: what is missing now may be there when the component's turn comes (a file system that
    another component mounts)."""
    todo = list(examinations)
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        for one, found in zip(todo, pool.map(lambda each: each.look(), todo), strict=True):
            for message in found:
                findings.warn(one.mark, f"component '{one.component}': {message}")
