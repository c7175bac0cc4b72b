"""The groups that are measured."""

import random

from tests.harness import Part, Shape


def triangle() -> Shape:
    """Two components that are slow in opposite directions below a third: what a barrier between the halves costs."""
    return {
        "B": Part(offline_s=0.2, online_s=1.0),
        "C": Part(offline_s=1.0, online_s=0.2),
        "A": Part(offline_s=0.2, online_s=0.2, needs=("B", "C")),
    }


def wide(count: int, seconds: float) -> Shape:
    """``count`` independent components under one."""
    below = {f"part-{number:03}": Part(online_s=seconds, offline_s=seconds) for number in range(count)}
    return {**below, "top": Part(online_s=seconds, offline_s=seconds, needs=tuple(below))}


def chain(count: int, seconds: float) -> Shape:
    """Each needs the one before it: nothing can overlap."""
    return {
        f"link-{number:03}": Part(
            online_s=seconds, offline_s=seconds, needs=(f"link-{number - 1:03}",) if number else ()
        )
        for number in range(count)
    }


def staggered(count: int, step_s: float) -> Shape:
    """Independent components that go offline one after the other, so that each hop is seen alone."""
    return {f"part-{number:03}": Part(online_s=step_s / 2, offline_s=0.1 + number * step_s) for number in range(count)}


def tangled(seed: int, count: int, *, longest_s: float, needs_max: int = 3) -> Shape:
    """A random graph: each component needs up to ``needs_max`` of those before it."""
    rng = random.Random(seed)
    shape: dict[str, Part] = {}
    for number in range(count):
        needs = rng.sample(sorted(shape), min(len(shape), rng.randint(0, needs_max)))
        shape[f"node-{number:03}"] = Part(
            online_s=round(rng.uniform(0.1, 1) * longest_s, 3),
            offline_s=round(rng.uniform(0.1, 1) * longest_s, 3),
            needs=tuple(needs),
        )
    return shape
