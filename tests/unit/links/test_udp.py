"""The transport on real sockets, on the loopback interface alone."""

import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import uvloop

from failoverd import wire
from failoverd.clock import BootClock
from failoverd.domain.model import NodeSpec
from failoverd.domain.report import GroupReport, PeerState
from failoverd.errors import StartupError
from failoverd.links.udp import UNRESOLVED, UdpTransport
from failoverd.ports import Received

pytestmark = pytest.mark.processes

KEY = bytes(range(32))
DEADLINE_S = 10.0
QUIET_S = 0.15
"""Long enough for a datagram on the loopback interface to arrive, where it is asserted that none does."""

STATE = PeerState(ready=True, coordinator_ok=True)


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def addresses(*hosts: str) -> tuple[tuple[str, int], ...]:
    return tuple((host, free_port(host)) for host in hosts)


def cluster_of(**nodes: Sequence[str]) -> dict[str, NodeSpec]:
    return {name: NodeSpec(name=name, addresses=addresses(*hosts)) for name, hosts in nodes.items()}


@dataclass
class End:
    """One node's transport and what it heard."""

    transport: UdpTransport
    heard: list[Received] = field(default_factory=list)

    @property
    def dropped(self) -> dict[str, int]:
        return self.transport.counters.dropped

    def loads(self) -> list[tuple[str, int, float]]:
        return [(got.peer, got.link, got.state.load) for got in self.heard if got.fresh]


Opener = Callable[..., End]


@pytest.fixture
def opener() -> Iterator[Opener]:
    ends: list[End] = []

    def make(nodes: dict[str, NodeSpec], node: str, **changes: Any) -> End:
        given: dict[str, Any] = {
            "cluster": "shop",
            "key": KEY,
            "incarnation": secrets.token_hex(16),
            "clock": BootClock(),
        } | changes
        ends.append(End(UdpTransport(node=node, nodes=nodes, **given)))
        return ends[-1]

    yield make
    for end in ends:
        end.transport.close()


@asynccontextmanager
async def running(*ends: End) -> AsyncIterator[None]:
    with anyio.fail_after(DEADLINE_S):
        async with anyio.create_task_group() as tasks:
            for end in ends:
                tasks.start_soon(end.transport.run, end.heard.append)
            yield
            tasks.cancel_scope.cancel()


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 (datagrams in the kernel; fail_after of ``running`` bounds it)
        await anyio.sleep(0.005)


async def test_a_state_reaches_every_peer_on_every_link(opener: Opener) -> None:
    nodes = cluster_of(a=["127.0.0.1", "127.0.0.2"], b=["127.0.0.1", "127.0.0.2"], w=["127.0.0.1"])
    a, b, w = (opener(nodes, name) for name in nodes)
    async with running(a, b, w):
        a.transport.send(PeerState(ready=True, coordinator_ok=True, load=0.5))
        await until(lambda: len(b.heard) == 2 and len(w.heard) == 1)
    assert sorted((got.link, got.peer, got.state.load) for got in b.heard) == [(0, "a", 0.5), (1, "a", 0.5)]
    assert sorted(got.fresh for got in b.heard) == [False, True]
    assert (w.heard[0].link, w.heard[0].fresh) == (0, True)
    assert a.heard == []
    assert a.transport.counters.sent == 3
    assert b.transport.counters.received == 2
    assert a.dropped == b.dropped == w.dropped == {}


async def test_ipv6(opener: Opener) -> None:
    if not has_ipv6():
        pytest.skip("no IPv6 on this machine")
    nodes = cluster_of(a=["::1"], b=["::1"])
    a, b = opener(nodes, "a"), opener(nodes, "b")
    async with running(b):
        a.transport.send(STATE)
        await until(lambda: len(b.heard) == 1)


def has_ipv6() -> bool:
    with suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.bind(("::1", 0))
        return True
    return False


async def test_with_one_of_two_links_dead_everything_still_arrives(opener: Opener) -> None:
    nodes = cluster_of(a=["127.0.0.1", "127.0.0.2"], b=["127.0.0.1", "127.0.0.2"])
    a, b = opener(nodes, "a"), opener(nodes, "b")
    # The first link's datagrams go where nobody is.
    lost = NodeSpec(name="b", addresses=(("127.0.0.9", nodes["b"].addresses[0][1]), nodes["b"].addresses[1]))
    a.transport.reconfigure(nodes | {"b": lost})
    async with running(b):
        for count in range(1, 6):
            a.transport.send(PeerState(ready=True, coordinator_ok=True, load=count))
        await until(lambda: len(b.heard) == 5)
        await anyio.sleep(QUIET_S)
    assert b.loads() == [("a", 1, count) for count in range(1, 6)]


async def test_what_strangers_send_is_counted_by_reason_and_harms_nothing(opener: Opener) -> None:
    nodes = cluster_of(a=["127.0.0.1"], b=["127.0.0.1"])
    a, b = opener(nodes, "a"), opener(nodes, "b")
    (target,) = nodes["b"].addresses

    def sealed(**changes: Any) -> bytes:
        given: dict[str, Any] = {"key": KEY, "cluster": "shop", "sender": "a", "incarnation": "9" * 32} | changes
        return wire.Sealer(given.pop("key"), **given).seal(wire.encode(STATE)[0], 1)[0]

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as attacker:
        async with running(b):
            a.transport.send(STATE)
            await until(lambda: len(b.heard) == 1)
            for data in (
                b"",
                secrets.token_bytes(500),
                sealed()[:-1],
                sealed(key=bytes(32)),
                sealed(cluster="other"),
                sealed(sender="stranger"),
                sealed(sender="b"),
                sealed(),
                b"fo" + bytes(wire.DATAGRAM_BYTES_MAX),
            ):
                attacker.sendto(data, target)
            await until(lambda: sum(b.dropped.values()) == 9)
            a.transport.send(STATE)
            await until(lambda: len(b.heard) == 2)
    assert b.transport.drain_drops() == {
        "foreign": 2,
        "truncated": 1,
        "stale": 2,  # forged or not: another incarnation than the present one is not even looked at
        "other_cluster": 1,
        "unknown_peer": 1,
        "own": 1,
        "too_large": 1,
    }
    assert b.transport.drain_drops() == {}


async def test_a_recorded_datagram_is_good_once(opener: Opener) -> None:
    nodes = cluster_of(a=["127.0.0.1"], b=["127.0.0.1"])
    a, b = opener(nodes, "a"), opener(nodes, "b")
    (target,) = nodes["b"].addresses
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tap:
        # The attacker sits where b's address is: b of the sender's configuration is the tap.
        tap.bind(("127.0.0.1", 0))
        tap.settimeout(DEADLINE_S)
        spied = nodes | {"b": NodeSpec(name="b", addresses=(tap.getsockname(),))}
        a.transport.reconfigure(spied)
        a.transport.send(STATE)
        recorded = tap.recv(65536)
        async with running(b):
            for _ in range(3):
                tap.sendto(recorded, target)
            await until(lambda: b.dropped == {"replayed": 2})
    assert len(b.heard) == 1


async def test_the_coordinators_word_on_an_incarnation_is_heeded(opener: Opener) -> None:
    nodes = cluster_of(a=["127.0.0.1"], b=["127.0.0.1"])
    a, b = opener(nodes, "a", incarnation="1" * 32), opener(nodes, "b")
    b.transport.expect("a", "2" * 32)
    async with running(b):
        a.transport.send(STATE)
        await until(lambda: b.dropped == {"stale": 1})
        b.transport.expect("a", "1" * 32)
        a.transport.send(STATE)
        await until(lambda: len(b.heard) == 1)


async def test_after_a_reincarnation_we_speak_as_the_new_one_and_never_as_the_old(opener: Opener) -> None:
    nodes = cluster_of(a=["127.0.0.1"], b=["127.0.0.1"])
    a, b = opener(nodes, "a", incarnation="1" * 32), opener(nodes, "b")
    async with running(b):
        a.transport.send(STATE)
        await until(lambda: len(b.heard) == 1)
        a.transport.reincarnate("2" * 32)
        a.transport.reincarnate("2" * 32)
        b.transport.expect("a", "2" * 32)
        a.transport.send(STATE)
        a.transport.send(STATE)
        await until(lambda: len(b.heard) == 3)
    assert [got.incarnation[0] for got in b.heard] == ["1", "2", "2"]
    assert b.dropped == {}
    with pytest.raises(ValueError, match="nonces"):
        a.transport.reincarnate("1" * 32)
    with pytest.raises(ValueError, match="nonce"):
        a.transport.reincarnate("3")


# --- sending never fails --------------------------------------------------------------------------------------


async def test_sending_to_nobody_nowhere_and_after_the_end_never_raises(opener: Opener) -> None:
    nodes = cluster_of(a=["127.0.0.1"], b=["127.0.0.1"])
    # Two that the kernel refuses: port 0, and a broadcast address.
    nodes["c"] = NodeSpec(name="c", addresses=(("127.0.0.1", 0),))
    nodes["d"] = NodeSpec(name="d", addresses=(("127.255.255.255", 7800),))
    a = opener(nodes, "a")
    for _ in range(3):
        a.transport.send(STATE)
    assert a.dropped == {"unsent_einval": 3, "unsent_eacces": 3}
    assert a.transport.counters.sent == 3
    a.transport.close()
    a.transport.send(STATE)


async def test_what_does_not_fit_is_sent_without_its_groups(opener: Opener) -> None:
    nodes = cluster_of(a=["127.0.0.1"], b=["127.0.0.1"])
    a, b = opener(nodes, "a"), opener(nodes, "b")
    empty = GroupReport(generation=1, names_hash="", marks="")
    huge = PeerState(
        ready=True, coordinator_ok=True, load=1.0, groups={secrets.token_hex(30): empty for _ in range(2000)}
    )
    async with running(b):
        a.transport.send(huge)
        await until(lambda: len(b.heard) == 1)
    assert b.heard[0].state == PeerState(ready=True, coordinator_ok=True, load=1.0)
    assert a.dropped == {"shed_groups": 1}


# --- addresses ------------------------------------------------------------------------------------------------


def test_an_address_in_use_names_it_and_the_likely_cause(opener: Opener) -> None:
    nodes = cluster_of(a=["127.0.0.1"], b=["127.0.0.1"])
    opener(nodes, "a")
    with pytest.raises(StartupError, match=rf"127.0.0.1:{nodes['a'].addresses[0][1]}.*another daemon"):
        opener(nodes, "a")


def test_an_address_of_another_machine_is_said(opener: Opener) -> None:
    nodes = {"a": NodeSpec(name="a", addresses=(("192.0.2.1", 7800),))}
    with pytest.raises(StartupError, match=r"192.0.2.1:7800.*no address of this machine"):
        opener(nodes, "a")


def test_a_node_that_is_not_configured_is_said(opener: Opener) -> None:
    with pytest.raises(StartupError, match="node z"):
        opener(cluster_of(a=["127.0.0.1"]), "z")


def test_where_the_second_address_fails_the_first_is_given_back(opener: Opener) -> None:
    first = free_port()
    bad = {"a": NodeSpec(name="a", addresses=(("127.0.0.1", first), ("192.0.2.1", 7800)))}
    with pytest.raises(StartupError):
        opener(bad, "a")
    opener({"a": NodeSpec(name="a", addresses=(("127.0.0.1", first),))}, "a")


async def test_peers_and_own_addresses_change_while_running(opener: Opener) -> None:
    before = cluster_of(a=["127.0.0.1"], b=["127.0.0.1"])
    after = {
        "a": before["a"],
        "b": NodeSpec(name="b", addresses=(*addresses("127.0.0.3"), *before["b"].addresses)),
        "c": NodeSpec(name="c", addresses=addresses("127.0.0.1")),
    }
    a, b = opener(before, "a"), opener(before, "b")
    async with running(a, b):
        a.transport.send(STATE)
        await until(lambda: len(b.heard) == 1)
        a.transport.reconfigure(after)
        b.transport.reconfigure(after)
        c = opener(after, "c")
        a.transport.send(STATE)
        c.transport.send(STATE)
        b.transport.send(STATE)
        await until(lambda: len(b.heard) == 3 and len(a.heard) == 2)
    assert sorted(got.peer for got in b.heard) == ["a", "a", "c"]
    assert b.dropped == {}


async def test_a_reconfiguration_that_cannot_be_had_changes_nothing(opener: Opener) -> None:
    nodes = cluster_of(a=["127.0.0.1"], b=["127.0.0.1"])
    a, b = opener(nodes, "a"), opener(nodes, "b")
    bad = nodes | {"b": NodeSpec(name="b", addresses=(*nodes["b"].addresses, ("192.0.2.1", 7800)))}
    async with running(b):
        with pytest.raises(StartupError):
            b.transport.reconfigure(bad)
        a.transport.send(STATE)
        await until(lambda: len(b.heard) == 1)


async def test_a_host_name_is_looked_up_beside_the_rest(opener: Opener) -> None:
    nodes = cluster_of(a=["127.0.0.1"], b=["127.0.0.1"])
    named = nodes | {"b": NodeSpec(name="b", addresses=(("localhost", nodes["b"].addresses[0][1]),))}
    a, b = opener(named, "a"), opener(nodes, "b")
    a.transport.send(STATE)
    assert a.dropped == {UNRESOLVED: 1}
    async with running(a, b):

        def arrived() -> bool:
            a.transport.send(STATE)
            return bool(b.heard)

        await until(arrived)


# --- the loop -------------------------------------------------------------------------------------------------


async def test_the_time_of_the_empty_socket_bounds_the_time_of_arrival(opener: Opener) -> None:
    """What lay in the buffer while we did not read cannot be told from what is new, and so is not said to be new."""
    nodes = cluster_of(a=["127.0.0.1"], b=["127.0.0.1"])
    a, b = opener(nodes, "a"), opener(nodes, "b")
    opened = BootClock().now()
    a.transport.send(STATE)
    a.transport.send(STATE)
    await anyio.sleep(QUIET_S)
    async with running(b):
        await until(lambda: len(b.heard) == 2)
        read = BootClock().now()
        a.transport.send(STATE)
        await until(lambda: len(b.heard) == 3)
    old, new = b.heard[1], b.heard[2]
    assert old.arrived_after <= opened
    assert old.at >= opened + QUIET_S
    assert opened + QUIET_S <= new.arrived_after <= read


async def test_a_flood_does_not_keep_the_loop_from_the_rest(opener: Opener) -> None:
    nodes = cluster_of(a=["127.0.0.1"], b=["127.0.0.1"])
    a, b = opener(nodes, "a"), opener(nodes, "b")
    for _ in range(500):
        a.transport.send(STATE)
    turns: list[int] = []
    async with running(b):
        while len(b.heard) < 500:
            turns.append(len(b.heard))
            await anyio.lowlevel.checkpoint()
    assert max(after - before for before, after in pairwise(turns)) <= 64


async def test_what_the_receiver_of_news_raises_comes_out_of_run(opener: Opener) -> None:
    nodes = cluster_of(a=["127.0.0.1"], b=["127.0.0.1"])
    a, b = opener(nodes, "a"), opener(nodes, "b")

    def fail(_received: Received) -> None:
        raise LookupError("the daemon's own defect")

    a.transport.send(STATE)
    with pytest.raises(ExceptionGroup) as caught, anyio.fail_after(DEADLINE_S):
        await b.transport.run(fail)
    assert caught.group_contains(LookupError)


def test_works_under_uvloop(opener: Opener) -> None:
    nodes = cluster_of(a=["127.0.0.1"], b=["127.0.0.1"])

    async def main() -> None:
        a, b = opener(nodes, "a"), opener(nodes, "b")
        async with running(a, b):
            for _ in range(5):
                a.transport.send(STATE)
                b.transport.send(STATE)
            await until(lambda: len(a.heard) == len(b.heard) == 5)

    uvloop.run(main())
