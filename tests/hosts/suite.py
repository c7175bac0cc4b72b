"""The cases that are tried many times over, each with the cluster that it is tried on."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.hosts import cases
from tests.hosts.cases import LEASES, Try
from tests.hosts.cluster import Cluster, on_hosts
from tests.stacks import cases as stacks
from tests.stacks.examples import MARIADB, NGINX, POSTGRESQL, REDIS
from tests.stacks.stack import Example, Stack, on_stack

SHORT_TTL_S = 1.0
"""Where a lease has to run out in each try."""
TTL_S = 3.0
"""The default."""
OUTAGE_S = 30.0
"""For how long all of etcd is gone."""


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    once: Callable[[Any], Try]
    """Of a ``Cluster``, or of a ``Stack``."""
    ttl_s: float = TTL_S
    took: str = "first online after"
    """What ``took_s`` is."""
    one_in: int = 1
    """A slow case is tried for one of so many tries that are asked for."""
    measured: bool = False
    """It is about ``took_s``: nothing else runs meanwhile."""
    bound_s: float | None = None
    """Of the median of ``took_s``."""
    options: dict[str, Any] = field(default_factory=dict)
    """Of ``on_hosts``."""
    example: Example | None = None
    """It is tried on this one of ``configs/``."""

    def cluster(self) -> AbstractContextManager[Cluster] | AbstractContextManager[Stack]:
        if self.example is not None:
            return on_stack(self.example)
        return on_hosts(ttl=f"{self.ttl_s:g}s", links=2, **self.options)

    def tries(self, wanted: int) -> int:
        return max(1, wanted // self.one_in)


def _stays(
    name: str,
    breakage: Callable[[Cluster], AbstractContextManager[None]],
    *,
    hold_s: float = TTL_S * LEASES,
    named: Callable[[Cluster], list[str]] = lambda _cluster: [],
    one_in: int = 5,
) -> Case:
    once = partial(cases.quiet, breakage=breakage, hold_s=hold_s, named=named)
    return Case(name=name, once=once, one_in=one_in, options={"fencing": True})


def _power_cut(name: str, *, leader_too: bool, bound_s: float | None) -> Case:
    settings = {
        "heartbeat": {"interval": "20ms", "dead_after": "100ms"},
        "lease": {"ttl": f"{TTL_S:g}s", "renew": "50ms"},
    }
    return Case(
        name=name,
        once=partial(cases.power_cut, leader_too=leader_too),
        measured=True,
        bound_s=bound_s,
        one_in=2,
        options={"fencing": True, "settings": settings},
    )


def _of_stack(example: Example, name: str, once: Callable[[Stack], Try]) -> Case:
    return Case(name=f"{example.name}-{name}", once=once, example=example, took="without answers", measured=True)


STACKS = (
    _of_stack(POSTGRESQL, "switch", stacks.switched),
    _of_stack(POSTGRESQL, "fault", partial(stacks.killed, component="db")),
    _of_stack(POSTGRESQL, "second-fault", partial(stacks.killed_twice, component="db")),
    _of_stack(POSTGRESQL, "power-cut", stacks.power_cut),
    _of_stack(NGINX, "switch", stacks.switched),
    _of_stack(NGINX, "fault", partial(stacks.killed, component="web")),
    _of_stack(REDIS, "switch", stacks.switched),
    _of_stack(REDIS, "fault", partial(stacks.killed, component="server", group="redis-")),
    _of_stack(REDIS, "power-cut", stacks.power_cut),
    _of_stack(MARIADB, "switch", stacks.switched),
    _of_stack(MARIADB, "fault", partial(stacks.killed, component="db")),
    _of_stack(MARIADB, "power-cut", stacks.power_cut),
)
"""The examples of ``configs/``."""

CASES = (
    *(
        Case(name=f"owner-{name}", once=partial(cases.cut_off, how=how), ttl_s=SHORT_TTL_S)
        for name, how in cases.CUT_OFF.items()
    ),
    Case(name="daemon-restarted", once=cases.restarted, took="ready again after"),
    _power_cut("power-cut", leader_too=False, bound_s=0.35),
    _power_cut("power-cut-of-etcd-leader", leader_too=True, bound_s=None),
    _stays("link-between-two", cases.pair_cut, named=cases.pair_named),
    _stays("etcd-member-killed", cases.one_member_killed),
    _stays("etcd-leader-killed", cases.leader_killed),
    _stays("etcd-all-killed-30s", cases.all_members_killed, hold_s=OUTAGE_S, named=cases.failsafe_named, one_in=10),
    _stays("one-link-of-two", cases.one_link_dead, named=cases.link_named),
    _stays("one-way-loss", cases.one_way_loss, named=cases.one_way_named),
    _stays("third-of-heartbeats-lost", cases.third_lost),
    _stays("third-of-everything-lost", cases.third_of_everything_lost),
    *STACKS,
)

SUITE = {case.name: case for case in CASES}
