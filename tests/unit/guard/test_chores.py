"""Last wills that the guard carries out itself, by a real guard, in namespaces of their own."""

import os
import signal
from pathlib import Path

from failoverd.guard.chores import remove_address
from tests.isolated import ip, isolated, pair
from tests.unit.guard.support import record_in, start_daemon

WITH_ADDRESSES = """
    from failoverd.ports import AddressWill
    guard.extend(now() + 1.0, now() + 1.5)
    for name, address, prefix, interface in (
        ("v4", "10.9.0.100", 24, "eth0"), ("v6", "fd00::100", 64, None), ("absent", "10.9.0.101", 24, "eth0")
    ):
        await guard.arm("g", name, AddressWill(address=address, prefix=prefix, interface=interface, timeout_s=10.0))
    await ready()
"""


@isolated
def test_the_addresses_of_a_killed_daemon_are_gone_before_its_lease_ends(tmp_path: Path) -> None:
    pair()
    ip("addr add 10.9.0.100/24 dev eth0")
    ip("addr add fd00::100/64 dev eth0")
    process = start_daemon(tmp_path, WITH_ADDRESSES)
    os.kill(process.pid, signal.SIGKILL)
    record = record_in(tmp_path)
    assert record["in_time"]
    assert record["left"] == []
    assert {one["component"]: one["detail"] for one in record["results"]} == {
        "v4": "exit status 0",
        "v6": "exit status 0",
        "absent": "exit status 7",
    }
    assert "10.9.0.1/24" in ip("addr show dev eth0")
    for address in ("10.9.0.100", "fd00::100"):
        assert address not in ip("addr show dev eth0")
    process.wait(5)


@isolated
def test_an_address_that_somebody_else_configured_otherwise_stays() -> None:
    pair()
    ip("addr add 10.9.0.100/16 dev eth0")
    will = {"kind": "address", "address": "10.9.0.100", "prefix": 24, "interface": "eth0"}
    assert remove_address(will) == 7
    assert remove_address({**will, "prefix": 16, "interface": "other"}) == 7
    assert "10.9.0.100/16" in ip("addr show dev eth0")
    assert remove_address({**will, "address": "nonsense"}) == 1
