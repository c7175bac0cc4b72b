"""The closer look that ``failoverd check`` takes: what agents themselves say of their components on this machine."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass

from failoverd.config.fault import Mark
from failoverd.config.findings import Findings

_AT_ONCE = 4
WITHIN_S = 40.0
"""Then those that are under way are waited for, which takes up to 20 s."""


@dataclass(frozen=True, slots=True)
class Examination:
    mark: Mark
    component: str
    look: Callable[[], tuple[str, ...]]
    """Blocks for a bounded time."""


def examine(examinations: Iterable[Examination], findings: Findings, within_s: float = WITHIN_S) -> None:
    """Warnings, not faults: what is missing now may be there when the component's turn comes (a file system that
    another component mounts). What was not begun after ``within_s`` seconds is left out, and said so."""
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        looks = {pool.submit(one.look): one for one in examinations}
        wait(looks, timeout=within_s)
        pool.shutdown(wait=True, cancel_futures=True)
    for look, one in looks.items():
        found = look.result() if not look.cancelled() else ("not examined: the others took too long",)
        for message in found:
            findings.warn(one.mark, f"component '{one.component}': {message}")
