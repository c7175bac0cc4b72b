"""Which nodes vote in the etcd cluster that failoverd runs itself.

An odd number, because an even one tolerates no more losses than the odd number below it and has one more machine that
can be lost (the majority of 4 is 3, as of 5); at most ``VOTERS_MAX``, because every write waits for a majority.
"""

from collections.abc import Mapping

from failoverd.domain.model import NodeSpec, Role

VOTERS_MAX = 7
"""etcd's own advice (its FAQ, "What is maximum cluster size?")."""


def voters(nodes: Mapping[str, NodeSpec]) -> tuple[str, ...]:
    """Every node, or all but the last named that are no witness where their number is even or above ``VOTERS_MAX``:
    a witness is there to vote. In the order of the configuration, so that nodes added at its end change no other's
    vote."""
    wanted = min(VOTERS_MAX, len(nodes) - 1 + len(nodes) % 2)
    expendable = [name for name, spec in nodes.items() if spec.role is Role.WITNESS]
    expendable += [name for name, spec in nodes.items() if spec.role is Role.MEMBER]
    without = set(expendable[wanted:])
    return tuple(name for name in nodes if name not in without)


def majority(count: int) -> int:
    """How many of ``count`` voters make a quorum."""
    return count // 2 + 1
