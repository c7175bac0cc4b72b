"""Last wills that the guard carries out itself, by a real guard, in namespaces of their own."""

import os
import signal
import subprocess
from pathlib import Path

from failoverd.guard.chores import remove_address
from failoverd.kernel.mounts import loops_of
from tests.isolated import ip, isolated, pair, run
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


WITH_MOUNTS = """
    import signal
    from failoverd.kernel.mounts import Spec
    from failoverd.ports import MountWill
    guard.extend(now() + 2.0, now() + 7.0)
    for name, number, lazy in (("disk", signal.SIGKILL, False), ("held", 0, False), ("lazy", 0, True)):
        image = name == "disk"
        device, fstype = (str(run_dir / "image"), "ext4") if image else (name, "tmpfs")
        spec = Spec("image" if image else "virtual", device, str(run_dir / name), fstype)
        await guard.arm("g", name, MountWill(spec=spec._asdict(), signal=number, lazy=lazy, timeout_s=10.0))
    await ready()
"""


@isolated
def test_the_mounts_of_a_killed_daemon_are_gone_and_who_holds_them_as_far_as_that_is_wished(tmp_path: Path) -> None:
    run("truncate", "-s", "4M", str(tmp_path / "image"))
    run("mkfs.ext4", "-q", "-F", str(tmp_path / "image"))
    for name, words in (("disk", f"-o loop {tmp_path}/image"), ("held", "-t tmpfs held"), ("lazy", "-t tmpfs lazy")):
        (tmp_path / name).mkdir()
        run("mount", *words.split(), str(tmp_path / name))
    holders = {name: subprocess.Popen(["sleep", "60"], cwd=tmp_path / name) for name in ("disk", "held", "lazy")}
    process = start_daemon(tmp_path, WITH_MOUNTS)
    os.kill(process.pid, signal.SIGKILL)
    record = record_in(tmp_path)
    mounts = run("cat", "/proc/self/mountinfo")
    assert record["left"] == ["g/held"]
    assert f" {tmp_path}/held " in mounts
    assert f" {tmp_path}/disk " not in mounts
    assert f" {tmp_path}/lazy " not in mounts
    assert loops_of(str(tmp_path / "image")) == []
    assert holders["disk"].wait(5) == -signal.SIGKILL
    for name in ("held", "lazy"):
        assert holders[name].poll() is None
        holders[name].kill()
        holders[name].wait(5)
    process.wait(5)
