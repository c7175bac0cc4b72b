"""What must hold between the nodes and the etcd members that failoverd runs on them."""

from collections.abc import Mapping, Sequence

from failoverd.config.fault import Mark
from failoverd.config.findings import Findings
from failoverd.config.machine import Machine
from failoverd.config.messages import listed
from failoverd.config.nodes import Link
from failoverd.config.settings import ManagedSettings
from failoverd.domain.model import NodeSpec
from failoverd.domain.voters import voters

PROGRAM = "etcd"
ELECTION_HEARTBEATS_MIN = 5
ELECTION_MAX_S = 50.0
"""etcd's own bounds (embed/config.go: Validate)."""


def check_times(settings: ManagedSettings, mark: Mark, findings: Findings) -> None:
    beat_s, election_s = settings.heartbeat_interval_s, settings.election_timeout_s
    if election_s * (1 + 1e-9) < ELECTION_HEARTBEATS_MIN * beat_s:
        findings.fault(
            mark,
            f"{ELECTION_HEARTBEATS_MIN}*heartbeat_interval <= election_timeout does not hold: "
            f"{ELECTION_HEARTBEATS_MIN}*{beat_s:g}s = {ELECTION_HEARTBEATS_MIN * beat_s:g}s, "
            f"election_timeout is {election_s:g}s",
        )
    if beat_s < 0.001 or election_s > ELECTION_MAX_S:
        findings.fault(mark, f"heartbeat_interval must be at least 1ms, election_timeout at most {ELECTION_MAX_S:g}s")


def check_members(
    settings: ManagedSettings,
    mark: Mark,
    *,
    nodes: Mapping[str, NodeSpec],
    links: Sequence[Link],
    machine: Machine,
    findings: Findings,
) -> None:
    """Addresses and ports of the members; ``mark``: of the coordinator."""
    if settings.client_port == settings.peer_port:
        findings.fault(mark, f"client_port and peer_port are both {settings.peer_port}: each needs a port of its own")
    voting = voters(nodes)
    first = {node: next((link for link in links if link.node == node), None) for node in voting}
    seen: dict[str, str] = {}
    for node, link in first.items():
        if link is None:
            continue
        where = machine.resolve(link.host) or link.host.lower()
        other = seen.setdefault(where, node)
        if other != node:
            findings.fault(
                link.mark,
                f"nodes '{other}' and '{node}' have the same first address {link.host}: with 'managed: true' each runs "
                "an etcd member there and needs an address of its own (on one machine: 127.0.0.1, 127.0.0.2 ...)",
            )
    _warn_of_ports(settings, links, voting, findings)
    _warn_of_votes(nodes, voting, mark, findings)


def _warn_of_ports(settings: ManagedSettings, links: Sequence[Link], voting: Sequence[str], findings: Findings) -> None:
    for link in links:
        if link.node in voting and link.port in (settings.client_port, settings.peer_port):
            findings.warn(
                link.mark,
                f"heartbeats of node '{link.node}' use UDP port {link.port}, its etcd member TCP port {link.port}: "
                "nothing clashes, but firewall rules are easier with different numbers (client_port, peer_port)",
            )


def _warn_of_votes(nodes: Mapping[str, NodeSpec], voting: Sequence[str], mark: Mark, findings: Findings) -> None:
    without = [name for name in nodes if name not in voting]
    if len(nodes) == 2:
        findings.warn(
            mark,
            f"two nodes, of which only '{voting[0]}' can vote: when it is lost, nothing can be taken over; "
            "add a third node, which may be a witness (role: witness)",
        )
    elif without:
        findings.warn(
            mark,
            f"{len(nodes)} nodes: {listed(without)} runs no etcd member, since an odd number votes ({len(voting)})"
            + ("; another witness would make it count" if len(nodes) < len(voting) + 2 else ""),
        )


def warn_of_program(machine: Machine, mark: Mark, findings: Findings) -> None:
    if not machine.finds(PROGRAM):
        findings.warn(mark, "the command 'etcd' is not found in PATH: apt-get install etcd-server")
