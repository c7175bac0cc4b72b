"""Datagrams that a daemon must not believe, sent to one that runs: forged, replayed, altered, truncated."""

import os
import secrets
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from failoverd.demo.local import LocalCluster, LocalNode
from failoverd.domain.report import GroupReport, Mark, PeerState
from failoverd.links.key import read
from failoverd.wire import Sealer, encode
from tests.daemon.support import at_rest, chain, configuration, daemons, log, one, record, until

pytestmark = pytest.mark.processes

ETH_P_IP = 0x0800
HEADERS = 14 + 20 + 8
"""Bytes of Ethernet, IPv4 and UDP before the payload."""


@pytest.fixture(scope="module")
def shared() -> Iterator[LocalCluster]:
    with daemons(lambda root: {"g": one(chain(root))}) as made:
        yield made


@pytest.fixture
def cluster(shared: LocalCluster) -> LocalCluster:
    at_rest(shared)
    return shared


@contextmanager
def undisturbed(cluster: LocalCluster) -> Iterator[None]:
    """Nothing is done to any component meanwhile, nothing changes hands, and the peers stay what they are."""

    def seen() -> tuple[object, ...]:
        status = cluster["a"].ask("status")
        group = status["groups"]["g"]
        states = {n: {node: at["state"] for node, at in c.items()} for n, c in group["components"].items()}
        peers = {name: (node["state"], node["incarnation"]) for name, node in status["nodes"].items()}
        return record(cluster.root), group["owner"], group["generation"], states, peers

    before = seen()
    yield
    assert seen() == before


def address(node: LocalNode) -> tuple[str, int]:
    host, port = str(configuration(node)["nodes"][node.name]["address"]).rsplit(":", 1)
    return host, int(port)


def dropped(node: LocalNode, reason: str) -> int:
    return int(node.ask("status")["nodes"][node.name]["dropped"].get(reason, 0))


def send(node: LocalNode, *datagrams: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for each in datagrams:
            out.sendto(each, address(node))


def everything_released(generation: int) -> PeerState:
    """What an attacker would say for the owner's name, so that a component is brought online a second time."""
    names = ("disk", "web", "worker")
    report = GroupReport(
        generation=generation, names_hash="0" * 16, names=names, marks=Mark.ABSENT * len(names), config_hash="0" * 16
    )
    return PeerState(ready=True, coordinator_ok=True, stopping=True, groups={"g": report})


@dataclass(frozen=True)
class Liar:
    cluster: LocalCluster
    key: bytes
    incarnation: str

    def says(self, count: int) -> list[bytes]:
        name = str(configuration(self.cluster["a"])["cluster"])
        sealer = Sealer(self.key, cluster=name, sender="a", incarnation=self.incarnation)
        generation = self.cluster["b"].ask("status")["groups"]["g"]["generation"]
        body, _ = encode(everything_released(generation))
        return [sealer.seal(body, 1)[0] for _ in range(count)]


def test_what_is_sealed_under_another_key_is_forged(cluster: LocalCluster) -> None:
    incarnation = cluster["b"].ask("status")["nodes"]["a"]["incarnation"]
    before = dropped(cluster["b"], "forged")
    with undisturbed(cluster):
        # Far ahead of the sequence numbers in use: a high number must not shut out the real sender.
        send(cluster["b"], *Liar(cluster, secrets.token_bytes(32), incarnation).says(300))
        until(lambda: dropped(cluster["b"], "forged") >= before + 100, what="forged datagrams counted")
        until(lambda: log(cluster["b"], "datagrams.dropped"), 20, "the report of dropped datagrams")


def test_the_right_key_with_an_incarnation_that_the_coordinator_does_not_name_is_stale(cluster: LocalCluster) -> None:
    key = read(cluster.root / str(configuration(cluster["b"])["key_file"]))
    before = dropped(cluster["b"], "stale")
    with undisturbed(cluster):
        send(cluster["b"], *Liar(cluster, key, secrets.token_hex(16)).says(50))
        until(lambda: dropped(cluster["b"], "stale") >= before + 50, what="stale datagrams counted")


# --- what was real once -----------------------------------------------------------------------------------------


@contextmanager
def tap() -> Iterator[socket.socket]:
    if os.geteuid() != 0:
        pytest.skip("listens on the loopback with a packet socket: needs root")
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_IP)) as raw:
        raw.bind(("lo", ETH_P_IP))
        raw.settimeout(5.0)
        yield raw


def overheard(raw: socket.socket, node: LocalNode, count: int) -> list[bytes]:
    """Heartbeats on their way to a node."""
    port, found, deadline = address(node)[1], list[bytes](), time.monotonic() + 10.0
    while len(found) < count:
        assert time.monotonic() < deadline, f"{len(found)} heartbeats within 10s"
        frame = raw.recv(65535)
        if frame[23] == socket.IPPROTO_UDP and struct.unpack_from(">H", frame, 36)[0] == port:
            found.append(frame[HEADERS:])
    return found


def test_heartbeats_that_are_sent_again_count_once(cluster: LocalCluster) -> None:
    """Among them those of a handover, with releases that were true then."""
    with tap() as raw:
        cluster["a"].ask("switch", group="g", to="b", wait=True, timeout_s=15.0)
        heard = overheard(raw, cluster["b"], 5)
        cluster["a"].ask("switch", group="g", to="a", wait=True, timeout_s=15.0)
    before = dropped(cluster["b"], "replayed")
    with undisturbed(cluster):
        send(cluster["b"], *heard, *heard)
        until(lambda: dropped(cluster["b"], "replayed") >= before + 2 * len(heard), what="replayed datagrams counted")


@pytest.mark.parametrize("how", ["truncated", "forged"])
def test_heartbeats_that_were_altered_on_the_way_are_dropped(cluster: LocalCluster, how: str) -> None:
    with tap() as raw:
        (real,) = overheard(raw, cluster["b"], 1)
    cut = [real[:size] for size in range(len(real))]
    # Not in the header: a wrong byte of most of its fields has a name of its own.
    flipped = [real[:at] + bytes([real[at] ^ 1]) + real[at + 1 :] for at in range(len(real) - 40, len(real))]
    # A number that is yet to come: the real one would be a replay.
    ahead = [each[:8] + struct.pack(">Q", 1 << 40) + each[16:] for each in flipped]
    before = dropped(cluster["b"], how)
    with undisturbed(cluster):
        sent = [each for each in cut if len(each) >= 20] if how == "truncated" else ahead
        send(cluster["b"], *sent)
        until(lambda: dropped(cluster["b"], how) >= before + len(sent), what=f"{how} datagrams counted")
