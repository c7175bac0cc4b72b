"""What a run consists of: a cluster, and a timeline of faults and commands. Made from a seed, or written by hand."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from failoverd.domain.model import Action, Group


@dataclass(frozen=True, slots=True)
class Happening:
    """At a time (seconds since the beginning), something is done: a method of ``Cluster`` and its arguments."""

    at: float
    what: str
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    seed: int
    """Of all that is left to chance while it runs."""
    nodes: tuple[str, ...]
    groups: Mapping[str, Group]
    durations: Mapping[tuple[str, str], Mapping[Action, float]]
    """By group and component: what operations usually take, in seconds."""
    timeline: tuple[Happening, ...]
    witnesses: tuple[str, ...] = ()
    """Those of ``nodes`` that vote and run no group."""
    rates: Mapping[str, float] = field(default_factory=dict)
    """By node: how fast its clock runs."""
    links: int = 1
    interval_s: float = 0.3
    dead_after_s: float = 1.2
    ttl_s: float = 3.0
    failsafe_s: float | None = None
    """How long a promise of failsafe lasts (None: as ``ttl_s``; 0: none are given)."""
    fences: bool = False
    """Whether the machines have fence devices."""
    max_parallel: Mapping[str, int] = field(default_factory=dict)
    calm_at: float = 30.0
    """When all faults end: everything is repaired and nobody gives commands any more."""
    bound_s: float = 60.0
    """Within which everything must be as wanted afterwards."""
    by_hand: bool = True
    """Whether an administrator takes down what is shown as stuck, once the faults have ended."""
    name: str = ""
    profile: str = ""
    """Which kind of times it has (``tests.sim.seeds.PROFILES``)."""

    @property
    def scale(self) -> float:
        """By how much everything takes longer than with a lease of three seconds."""
        return self.ttl_s / 3.0
