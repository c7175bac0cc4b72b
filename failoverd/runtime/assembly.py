"""The parts of a node that only need to be introduced to each other."""

from typing import TYPE_CHECKING

from failoverd.domain.failsafe import Promiser
from failoverd.runtime.actor import Actor
from failoverd.runtime.failsafe import Failsafe
from failoverd.runtime.lease_keeper import LeaseKeeper
from failoverd.runtime.view_builder import ViewBuilder

if TYPE_CHECKING:  # the node is made of these, so the import would be a cycle
    from failoverd.runtime.node import Node


def others_than(node: "Node") -> tuple[str, ...]:
    """Every other member of the cluster, witnesses included."""
    return tuple(sorted(name for name in node.settings.nodes if name != node.me))


def keeper_of(node: "Node") -> LeaseKeeper:
    return LeaseKeeper(
        node=node.me,
        host=node.ports.host,
        settings=node.settings.lease,
        coordinator=node.ports.coordinator,
        mirror=node.mirror,
        contact=node.contact,
        clock=node.clock,
        log=node.log,
        new_incarnation=node.ports.new_incarnation,
        alive=node.makes_progress,
        others=others_than(node),
    )


def failsafe_of(node: "Node") -> Failsafe:
    return Failsafe(
        me=node.me,
        others=others_than(node),
        keeper=node.keeper,
        mirror=node.mirror,
        promiser=Promiser(node.settings.lease.failsafe_s),
        clock=node.clock,
        log=node.log,
    )


def actor_of(node: "Node") -> Actor:
    return Actor(
        me=node.me,
        coordinator=node.ports.coordinator,
        mirror=node.mirror,
        keeper=node.keeper,
        contact=node.contact,
        clock=node.clock,
        log=node.log,
        promiser=node.failsafe.promiser,
    )


def view_builder_of(node: "Node") -> ViewBuilder:
    return ViewBuilder(
        me=node.me,
        nodes=node.settings.nodes,
        mirror=node.mirror,
        peers=node.peers,
        contact=node.contact,
        authority=node.authority,
        groups=node.groups,
        promiser=node.failsafe.promiser,
        fences_from=lambda: node.keeper.fences_from,
        renew_s=node.settings.lease.renew_s,
        fencing=node.fencing,
    )
