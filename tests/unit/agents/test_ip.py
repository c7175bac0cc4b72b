"""The ``ip`` type on real links: each test has a network of its own."""

import errno
import socket
import struct
import sys
from pathlib import Path
from typing import Any

import anyio

from failoverd.agents.ip.agent import IpAgent
from failoverd.agents.ip.params import IpParams
from failoverd.agents.ip.type import IpType
from failoverd.domain.model import Action
from failoverd.kernel.netlink import Netlink
from failoverd.ports import Outcome, Presence, Probe
from tests.isolated import ip, isolated, pair, run
from tests.unit.agents.support import FakeSpawner, call, host

V4, V6 = "10.9.0.100", "fd00::100"
ONLINE, OFFLINE = Action.ONLINE, Action.OFFLINE


def make(address: str = f"{V4}/24", interface: str | None = "eth0", **more: Any) -> IpAgent:
    params = IpParams.model_validate({"address": address, "interface": interface, **more})
    built = IpType().build(params, host(Path("/run"), FakeSpawner()))
    assert isinstance(built, IpAgent)
    return built


async def seen(agent: IpAgent) -> Presence:
    return (await agent.probe(call())).presence


def shown(device: str = "eth0") -> str:
    return ip(f"addr show dev {device}")


def listen() -> socket.socket:
    """Everything that this end of the link sends, from now on."""
    heard = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
    heard.bind(("eth0", 0x0003))
    heard.setblocking(False)
    return heard


def arps(heard: socket.socket, address: str) -> list[int]:
    """The operations of the announcements for an address that were sent since the last call."""
    found: list[int] = []
    packed = socket.inet_aton(address)
    while True:
        try:
            frame = heard.recv(2048)
        except BlockingIOError:
            return found
        if frame[12:14] == b"\x08\x06" and frame[28:32] == packed == frame[38:42]:
            found.append(struct.unpack("!H", frame[20:22])[0])


def advertisements(heard: socket.socket, address: str) -> list[int]:
    """The flags of the unsolicited neighbour advertisements for an address."""
    found: list[int] = []
    packed = socket.inet_pton(socket.AF_INET6, address)
    while True:
        try:
            frame = heard.recv(2048)
        except BlockingIOError:
            return found
        if frame[12:14] == b"\x86\xdd" and frame[54:55] == b"\x88" and frame[62:78] == packed:
            found.append(frame[58])


def reached_from_peer(address: str) -> bool:
    """Whether the other host finds it: a refused connection is an answer."""
    program = f"import socket; s = socket.socket(); s.settimeout(3); print(s.connect_ex(('{address}', 9)))"
    return run("ip", "netns", "exec", "peer", sys.executable, "-S", "-c", program).strip() == str(errno.ECONNREFUSED)


@isolated
async def test_from_nothing_to_online_and_back() -> None:
    pair()
    agent = make()
    assert await seen(agent) is Presence.OFFLINE
    assert (await agent.online(call(ONLINE))).ok
    assert await seen(agent) is Presence.ONLINE
    assert f"{V4}/24 brd 10.9.0.255" in shown()
    assert reached_from_peer(V4)
    assert (await agent.offline(call(OFFLINE))).ok
    assert await seen(agent) is Presence.OFFLINE
    assert V4 not in shown()
    assert "10.9.0.1/24" in shown()


@isolated
async def test_the_interface_is_the_one_that_routes_there() -> None:
    pair()
    ip("link add name other type veth peer name far")
    agent = make(interface=None)
    assert (await agent.online(call(ONLINE))).ok
    assert V4 in shown("eth0")
    result = await make("192.168.77.1/24", interface=None).online(call(ONLINE))
    assert result.outcome is Outcome.FAILED
    assert "no interface reaches" in result.detail


@isolated
async def test_a_label_is_set() -> None:
    pair()
    assert (await make(label="eth0:shop").online(call(ONLINE))).ok
    assert "eth0:shop" in shown()


@isolated
async def test_what_is_there_is_adopted_and_taken_away() -> None:
    pair()
    ip(f"addr add {V4}/24 dev eth0")
    agent = make()
    assert await seen(agent) is Presence.ONLINE
    assert (await agent.online(call(ONLINE))).ok
    assert (await agent.offline(call(OFFLINE))).ok
    assert V4 not in shown()


@isolated
async def test_what_somebody_else_configured_otherwise_is_named_and_not_touched() -> None:
    pair()
    ip(f"addr add {V4}/16 dev eth0")
    agent = make()
    probe = await agent.probe(call())
    assert probe.presence is Presence.FAILED
    assert f"{V4}/16 on eth0" in probe.detail
    for result in (await agent.online(call(ONLINE)), await agent.offline(call(OFFLINE)), await agent.clean(call())):
        assert result.outcome is Outcome.FAILED
        assert "not touched" in result.detail
    assert f"{V4}/16" in shown()


@isolated
async def test_what_we_configured_otherwise_is_put_right() -> None:
    """The configuration was changed while the daemon was down: the address carries our mark."""
    pair()
    assert (await make(f"{V4}/16").online(call(ONLINE))).ok
    agent = make()
    assert await seen(agent) is Presence.FAILED
    assert (await agent.offline(call(OFFLINE))).ok
    assert (await agent.online(call(ONLINE))).ok
    assert f"{V4}/24" in shown()
    assert f"{V4}/16" not in shown()


@isolated
async def test_others_of_its_network_stay_when_the_first_is_taken_away() -> None:
    pair(address="10.8.0.1/24")
    run("sysctl", "-q", "net.ipv4.conf.all.promote_secondaries=0", "net.ipv4.conf.eth0.promote_secondaries=0")
    agent = make()
    assert (await agent.online(call(ONLINE))).ok
    ip("addr add 10.9.0.50/24 dev eth0")
    assert "secondary" in shown()
    assert (await agent.offline(call(OFFLINE))).ok
    assert "10.9.0.50/24" in shown()
    assert run("sysctl", "-n", "net.ipv4.conf.eth0.promote_secondaries").strip() == "0"


@isolated
async def test_a_missing_a_downed_and_a_dead_interface_are_named() -> None:
    pair()
    assert "eth7 is not there" in (await make(interface="eth7").online(call(ONLINE))).detail
    assert await seen(make(interface="eth7")) is Presence.OFFLINE
    ip("-n peer link set eth0 down")
    assert "no carrier" in (await make().online(call(ONLINE))).detail
    assert (await make(carrier=False).online(call(ONLINE))).ok
    ip("link set eth0 down")
    assert "is down" in (await make(f"{V4[:-1]}1/24").online(call(ONLINE))).detail


@isolated
async def test_everybody_is_told_at_once_and_again() -> None:
    pair()
    heard = listen()
    agent = make(announce={"count": 3, "interval": "50ms", "again": "200ms"})
    assert (await agent.online(call(ONLINE))).ok
    assert arps(heard, V4) == [1, 2]
    with anyio.move_on_after(1.0):
        await agent.watch(call())
    assert arps(heard, V4) == [1, 2] * 5
    await agent.reclaim(call())
    assert arps(heard, V4) == [1, 2]


@isolated
async def test_a_burst_that_is_asked_for_goes_out_while_it_is_watched() -> None:
    pair()
    agent = make(announce={"count": 2, "interval": "50ms", "again": "0s"})
    assert (await agent.online(call(ONLINE))).ok
    heard = listen()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(agent.watch, call())
        await anyio.sleep(0.3)
        arps(heard, V4)
        await agent.reclaim(call())
        await anyio.sleep(0.3)
        tasks.cancel_scope.cancel()
    assert arps(heard, V4) == [1, 2] * 2


@isolated
async def test_a_duplicate_is_found_by_arp_probes() -> None:
    pair()
    ip(f"-n peer addr add {V4}/24 dev eth0")
    agent = make(duplicate_detection=True)
    result = await agent.online(call(ONLINE))
    assert result.outcome is Outcome.FAILED
    assert "another host has" in result.detail
    assert V4 not in shown()
    ip(f"-n peer addr del {V4}/24 dev eth0")
    assert (await agent.online(call(ONLINE))).ok


@isolated
async def test_ipv6_is_online_after_duplicate_detection_and_told() -> None:
    pair()
    heard = listen()
    agent = make(f"{V6}/64")
    began = anyio.current_time()
    assert (await agent.online(call(ONLINE))).ok
    assert anyio.current_time() - began > 0.5
    assert "tentative" not in ip("-6 addr show dev eth0 to fd00::100")
    assert advertisements(heard, V6) == [0x20]
    assert (await agent.offline(call(OFFLINE))).ok
    assert V6 not in shown()


@isolated
async def test_an_ipv6_duplicate_is_a_fault_and_is_taken_away_again() -> None:
    pair()
    ip(f"-n peer addr add {V6}/64 dev eth0 nodad")
    agent = make(f"{V6}/64")
    result = await agent.online(call(ONLINE))
    assert result.outcome is Outcome.FAILED
    assert f"another host has {V6}" in result.detail
    assert V6 not in shown()


@isolated
async def test_ipv6_without_detection_is_online_at_once() -> None:
    pair()
    agent = make(f"{V6}/64", duplicate_detection=False)
    with anyio.fail_after(0.5):
        assert (await agent.online(call(ONLINE))).ok
    assert await seen(agent) is Presence.ONLINE


async def told(agent: IpAgent, change: str, within_s: float = 3.0) -> Probe:
    """What a watched agent says after a change made by hand."""
    said: list[Probe | None] = []
    with anyio.fail_after(within_s):
        async with anyio.create_task_group() as tasks:

            async def watch() -> None:
                said.append(await agent.watch(call()))
                tasks.cancel_scope.cancel()

            tasks.start_soon(watch)
            await anyio.sleep(0.1)
            ip(change)
    assert said
    assert said[0] is not None
    return said[0]


@isolated
async def test_an_address_taken_away_is_found_by_event() -> None:
    pair()
    for agent, change in (
        (make(), f"addr del {V4}/24 dev eth0"),
        (make(f"{V6}/64", duplicate_detection=False), f"addr del {V6}/64 dev eth0"),
    ):
        assert (await agent.online(call(ONLINE))).ok
        probe = await told(agent, change, within_s=1.0)
        assert probe.presence is Presence.OFFLINE
        assert "was taken from its interface" in probe.detail


@isolated
async def test_a_link_that_goes_is_found_by_event_and_one_that_comes_back_is_announced() -> None:
    pair()
    agent = make(announce={"count": 1, "again": "0s"})
    assert (await agent.online(call(ONLINE))).ok
    heard = listen()
    with anyio.move_on_after(3.0) as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(agent.watch, call())
            await anyio.sleep(0.1)
            ip("-n peer link set eth0 down")
            await anyio.sleep(0.2)
            ip("-n peer link set eth0 up")
    assert scope.cancelled_caught
    assert arps(heard, V4) == [1, 2]
    assert (await told(agent, "-n peer link set eth0 down")).detail == "interface eth0 has no carrier"
    ip("-n peer link set eth0 up")
    assert "interface eth0 is not there" in (await told(agent, "link del eth0")).detail


@isolated
async def test_a_hundred_addresses_take_a_moment() -> None:
    """Online, probe and offline, together well under a millisecond of work each."""
    pair()
    began = anyio.current_time()
    agents = [make(f"10.9.1.{number}/16", announce={"count": 0}) for number in range(1, 101)]
    for agent in agents:
        assert (await agent.online(call(ONLINE))).ok
        assert (await agent.offline(call(OFFLINE))).ok
    assert anyio.current_time() - began < 5.0
    with Netlink() as netlink:
        assert [str(one) for one in netlink.addresses() if one.ours] == []
