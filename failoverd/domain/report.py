"""What a node tells its peers in every heartbeat (the decoded form; the wire format is ``failoverd.wire``)."""

from dataclasses import dataclass, field
from enum import StrEnum

from failoverd.domain.model import Action


class Mark(StrEnum):
    """One letter for what is true of a component on the reporting node; *absent* means: known not to be online."""

    UNKNOWN = "?"
    ABSENT = "f"
    ONLINING = "o"
    ONLINE = "N"
    OFFLINING = "d"
    FAULTED = "X"
    FAULTED_ABSENT = "x"
    STUCK = "S"


RELEASED_MARKS = frozenset({Mark.ABSENT, Mark.FAULTED_ABSENT})
"""At rest and absent. Said by a node that is not the owner, at the present generation, this is a release."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """One operation of the handover under way, with ages instead of times: no two clocks are ever compared."""

    component: str
    action: Action
    begin_age_s: float
    """How long before the datagram was sent the operation began."""
    end_age_s: float | None = None
    """Likewise its end; None while it runs."""
    ok: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupReport:
    generation: int
    """The newest placement generation that the sender acts on; 0 when it knows of none."""
    names_hash: str
    """Of the sender's sorted component names."""
    marks: str
    """One ``Mark`` for each component, in the order of the sorted names."""
    names: tuple[str, ...] | None = None
    """The sorted names themselves, given only while a peer's ``names_hash`` differs."""
    config_hash: str = ""
    steps: tuple[StepReport, ...] = ()
    """Operations that began or ended lately (bounded; for the report of the handover, not for any decision)."""
    blocked: str = ""
    """Why nothing can be done for the group, as the sender judges it: to be shown."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Why components of it are not plain on the sender (bounded): to be shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """The sender will not fence a peer (failsafe)."""

    incarnation: str
    """The peer's, as which it has asked."""
    asked: int
    """The number of its question."""
    for_s: float
    """Seconds: the peer counts them from when it asked, the sender from when it promised, and for longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerState:
    """A node's whole message to its peers."""

    ready: bool
    """It has probed everything and acts on what it knows."""
    coordinator_ok: bool
    stopping: bool = False
    load: float = 0.0
    heard: dict[str, tuple[float | None, ...]] = field(default_factory=dict)
    """For each peer, by link: seconds since the sender heard it there (None: never). Tells one-way loss."""
    asks: int = 0
    """The number of the sender's newest question to be promised failsafe; 0: it does not ask."""
    promises: dict[str, Promise] = field(default_factory=dict)
    """For each peer that asks and is promised something."""
    groups: dict[str, GroupReport] = field(default_factory=dict)
    known: int = 0
    """Everything that was written to the coordinator up to this revision has reached the sender."""
