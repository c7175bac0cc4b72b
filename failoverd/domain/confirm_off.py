"""An operator's word that a node is off (release (d) of the design): taken only where nothing speaks against it."""

from dataclasses import dataclass

from failoverd.domain.fencing import overdue_at
from failoverd.domain.operator import Denial, Denied, cannot_act
from failoverd.domain.placement import LeaseState
from failoverd.domain.view import NodeView, View


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmOff:
    """Mark a node fenced on an operator's word, if its records still are what he was asked about."""

    node: str
    incarnation: str
    member_revision: int
    lease_revision: int
    fence_revision: int


def request_confirm_off(view: View, name: str) -> ConfirmOff | Denied:
    """``name`` must be one of the view's nodes."""
    if denied := cannot_act(view):
        return denied
    node = view.nodes[name]
    why = _speaks_against(view, node)
    if why:
        return Denied(code=Denial.NOT_OFF, text=why)
    return ConfirmOff(
        node=name,
        incarnation=node.incarnation,
        member_revision=node.member_revision,
        lease_revision=node.lease_revision,
        fence_revision=node.fence_revision,
    )


def _speaks_against(view: View, node: NodeView) -> str:
    name = node.name
    if name == view.me:
        return f"{name} is the node that you ask, so it is not off"
    if node.member is None:
        return f"{name} never joined this cluster: nothing waits for it"
    if node.member is LeaseState.FENCED:
        return f"{name} is known to be off already: nothing waits for it"
    if node.member is LeaseState.LEFT:
        return f"{name} was stopped in good order: nothing waits for it"
    return _signs_of_life(view, node)


def _signs_of_life(view: View, node: NodeView) -> str:
    name = node.name
    if node.heard:
        return f"{name} is not off: its heartbeats arrive"
    if not node.suspected:
        return f"{name} has not been listened for long enough yet; try again in a moment"
    if view.now < node.promised_until:
        left = f"{node.promised_until - view.now:.1f}s"
        return f"{name} may be in failsafe: it was promised not to be fenced for another {left}"
    overdue = overdue_at(view, node)
    if node.member is LeaseState.LIVE and overdue is not None and view.now < overdue:
        return f"{name} is not off: it renews its lease"
    return ""
