"""Nodes: their addresses, one for each heartbeat link, and what must hold between them."""

import re
from dataclasses import dataclass

from failoverd.config.document import NodeKeys
from failoverd.config.fault import Mark
from failoverd.config.findings import Findings
from failoverd.config.machine import Machine, canonical
from failoverd.config.messages import suggest
from failoverd.config.tree import Map, Seq, Tree, mappings
from failoverd.domain.model import NodeSpec, Role

DEFAULT_PORT = 7800
NODES_MAX = 64
_HOST = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?"
)
_WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 (refused, not bound)


@dataclass(frozen=True, slots=True)
class Link:
    """One address of one node, and where it stands."""

    node: str
    host: str
    port: int
    mark: Mark


def parse_address(text: str) -> tuple[str, int]:
    """``host``, ``host:port``, ``[v6]``, ``[v6]:port`` or a bare IPv6 address. Raises ``ValueError``."""
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::(.*))?", text)
    if bracketed:
        host, port = bracketed[1], bracketed[2]
        if ":" not in (canonical(host) or ""):
            raise ValueError(f"'{text}': {host or 'nothing'} in brackets is no IPv6 address")
    elif text.count(":") > 1:
        host, port = text, None
        if canonical(host) is None:
            raise ValueError(f"'{text}' is no address; an IPv6 address with a port is written [::1]:7800")
    else:
        host, colon, port = text.partition(":")
        port = port if colon else None
    if canonical(host) is None and not _is_name(host):
        raise ValueError(f"'{text}' is no host name and no address")
    if canonical(host) in _WILDCARDS:
        raise ValueError(f"'{text}' is no address that peers can send to")
    return host, _port(text, port)


def _is_name(host: str) -> bool:
    """A host name (RFC 1123, section 2.1); what ends in digits was meant as a numeric address."""
    return bool(_HOST.fullmatch(host)) and not host.rstrip(".").rpartition(".")[2].isdigit()


def _port(text: str, port: str | None) -> int:
    if port is None:
        return DEFAULT_PORT
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise ValueError(f"'{text}': the port must be a number from 1 to 65535")
    return int(port)


def read_nodes(tree: Tree | None, findings: Findings) -> tuple[dict[str, NodeSpec], list[Link]]:
    """The nodes that are well-formed, and every address that could be read."""
    specs: dict[str, NodeSpec] = {}
    links: list[Link] = []
    entries = dict(mappings(tree))
    for name, entry in entries.items():
        findings.name("node", name, entry.key)
        node = findings.mapping(name, entry.value)
        keys = findings.validate(NodeKeys, node, within=f"node '{name}'") if node else None
        if node is None or keys is None:
            continue
        mine = _links(name, node, keys, findings)
        links += mine
        addresses = tuple((link.host, link.port) for link in mine)
        specs[name] = NodeSpec(
            name=name,
            addresses=addresses,
            role=keys.role,
            max_parallel=keys.max_parallel,
            capacity=keys.capacity,
        )
    if isinstance(tree, Map) and len(entries) > NODES_MAX:
        findings.fault(tree.mark, f"{len(entries)} nodes: at most {NODES_MAX} are supported")
    if (
        isinstance(tree, Map)
        and not any(spec.role is Role.MEMBER for spec in specs.values())
        and len(specs) == len(entries)
    ):
        findings.fault(tree.mark, "'nodes' must have at least one that is no witness")
    _check_links(specs, tree, findings)
    return specs, links


def _links(name: str, node: Map, keys: NodeKeys, findings: Findings) -> list[Link]:
    texts = [keys.address] if isinstance(keys.address, str) else keys.address
    tree = node.get("address")
    marks = [item.mark for item in tree.items] if isinstance(tree, Seq) else [node.value_mark("address")]
    links = []
    for text, mark in zip(texts, marks, strict=True):
        try:
            links.append(Link(name, *parse_address(text), mark))
        except ValueError as error:
            findings.fault(mark, str(error))
    return links


def _check_links(specs: dict[str, NodeSpec], tree: Tree | None, findings: Findings) -> None:
    """The n-th address of every member is on the n-th link; a witness may be on fewer, never on more."""
    counts = {name: len(spec.addresses) for name, spec in specs.items()}
    members = [name for name, spec in specs.items() if spec.role is Role.MEMBER]
    most = max(members, key=lambda name: counts[name], default=None)
    if most is None or not isinstance(tree, Map):
        return
    for name, spec in specs.items():
        node = tree.get(name)
        written = node.get("address") if isinstance(node, Map) else None
        if isinstance(written, Seq) and len(written.items) != counts[name]:
            continue  # one of them is a fault already
        short = counts[name] < counts[most] and spec.role is Role.MEMBER
        if written is not None and counts[name] and (short or counts[name] > counts[most]):
            findings.fault(
                written.mark,
                f"node '{name}' has {_addresses(counts[name])}, node '{most}' has {_addresses(counts[most])}: "
                "each heartbeat link needs one on every node",
            )


def _addresses(count: int) -> str:
    return "1 address" if count == 1 else f"{count} addresses"


def check_unique(links: list[Link], machine: Machine, findings: Findings) -> None:
    seen: dict[tuple[str, int], Link] = {}
    for link in links:
        where = (machine.resolve(link.host) or link.host.lower(), link.port)
        first = seen.setdefault(where, link)
        if first is not link:
            findings.fault(
                link.mark,
                f"{link.host} port {link.port} is used twice, first by node '{first.node}' at {first.mark}",
            )


def check_on_this_machine(links: list[Link], machine: Machine, findings: Findings) -> None:
    """An SQLite file is no coordinator between machines: its locks are only good on one."""
    here = {host: machine.is_here(host) for host in dict.fromkeys(link.host for link in links)}
    for link in links:
        if not here[link.host]:
            findings.fault(
                link.mark,
                f"{link.host} (node '{link.node}') is not on this machine: a coordinator of type sqlite is only for "
                "nodes on one machine, use etcd",
            )


def this_node(wanted: str | None, mark: Mark, nodes: Map, machine: Machine, findings: Findings) -> str | None:
    """This node's name: as asked for, else the host name or its first label. ``mark``: where a fault of it belongs."""
    host = machine.hostname
    candidates = (host, host.partition(".")[0]) if wanted is None else (wanted,)
    for name in candidates:
        if name in nodes.entries:
            return name
    if wanted is not None:
        findings.lacking(mark, f"this node '{wanted}' is not among 'nodes'{suggest(wanted, nodes.entries)}")
    else:
        findings.lacking(mark, f"the host name '{host}' is not among 'nodes': say with 'node' which one this is")
    return None
