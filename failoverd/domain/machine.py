"""The component machine: what a component does next on this node, as one pure function of its situation.

The handover rule (design, section 2) is the two gates below and nothing else:

- ``offline_gate``: every component that depends on it is absent here (and a ``make_first`` component is already
  online on its successor);
- ``online_gate``: this node may act as the owner, every component that it depends on is online here, and every other
  holder has released it (``make_first`` components need no release).

A group that requires others is above them as a component is above what it depends on: see ``domain.requires``.

States and the operations that leave them:

=========  ======================  =========================================================
state      wanted online           not wanted online
=========  ======================  =========================================================
unknown    probe                   probe
offline    prepare, then online    prepare (on suspicion of the source)
online     -                       offline
faulted    - (fault is ignored)    offline; becomes offline, and may then be wanted again
stuck      probe, now and then     probe, now and then: absent at last, or still there
=========  ======================  =========================================================

``force`` (self-stop) overrides everything: whatever is not known to be absent is cleaned, with no gate.
"""

from dataclasses import dataclass

from failoverd.domain.model import Action, ComponentState


@dataclass(slots=True, kw_only=True)
class Situation:
    """Everything that a component's next operation may depend on, as true on this node now.

    (Not frozen only because that makes it three times as dear, and thousands are made in a large handover.)
    """

    state: ComponentState
    absent: bool
    """Known not to be online here."""
    wanted: bool
    """Wanted online here: by the placement, and by every component that it depends on."""
    force: bool = False
    hands_off: bool = False
    """Nobody may touch it: frozen, or left running while the daemon stops."""
    rested: bool = True
    """No back-off holds it up."""
    dependents_absent: bool
    dependencies_online: bool
    requirements_met: bool = True
    """The groups that its own requires are online where they are to be."""
    may_act: bool
    """This node is the owner and a holder, its lease is usable and its view is trusted."""
    released: bool
    """By every other holder, at the placement's present generation."""
    make_first: bool = False
    succeeded: bool = True
    """For ``make_first``: online on its successor, or there is none."""
    prepare: bool = False
    """It has a prepare step that is due."""


def offline_gate(s: Situation) -> bool:
    return s.dependents_absent and (s.succeeded or not s.make_first)


def online_gate(s: Situation) -> bool:
    return s.may_act and s.dependencies_online and s.requirements_met and (s.released or s.make_first)


def next_operation(s: Situation) -> Action | None:
    """The operation to begin now, or None to rest until the situation changes."""
    if s.force:
        return None if s.absent or not s.rested else Action.CLEAN
    if s.hands_off:
        return Action.PROBE if s.state is ComponentState.UNKNOWN and s.rested else None
    match s.state:
        case ComponentState.UNKNOWN | ComponentState.STUCK:
            return Action.PROBE if s.rested else None
        case ComponentState.ONLINE | ComponentState.FAULTED:
            return Action.OFFLINE if not s.wanted and offline_gate(s) else None
        case ComponentState.OFFLINE:
            if s.prepare:
                return Action.PREPARE
            return Action.ONLINE if s.wanted and s.rested and online_gate(s) else None
        case _:
            return None


def waiting_for(s: Situation) -> str:
    """Why a component that is not where it is wanted does nothing: for ``status``, never for a decision."""
    if s.wanted and s.state is ComponentState.OFFLINE:
        if not s.may_act:
            return "this node may not act as the owner now"
        if not s.dependencies_online:
            return "waits for a component that it depends on"
        if not s.requirements_met:
            return "waits for a group that is required"
        if not (s.released or s.make_first):
            return "waits for its release by another node"
        if not s.rested:
            return "waits before it is tried again"
    if not s.wanted and s.state in {ComponentState.ONLINE, ComponentState.FAULTED}:
        if not s.dependents_absent:
            return "waits for a component that depends on it, or a group that requires it"
        if not offline_gate(s):
            return "waits until it is online on the target"
    return ""
