"""The lab itself: what the tests on hosts rely on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.commands import NETNS
from tests.hosts.host import Host
from tests.hosts.lab import Lab, needs_hosts
from tests.hosts.leftovers import STEM, sweep

pytestmark = [needs_hosts, pytest.mark.processes]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab("a", "b", "w", links=2) as made:
        yield made


@pytest.fixture(autouse=True)
def healed(lab: Lab) -> Iterator[None]:
    yield
    lab.heal()


def reaches(source: Host, target: Host, link: int = 0) -> bool:
    """Asked again for a while: an address that did not answer before is asked for but once a second (ARP)."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if source.reaches(target.address(link)):
            return True
    return False


def silent(source: Host, target: Host, link: int = 0) -> bool:
    return not source.reaches(target.address(link))


def test_hosts_are_machines_of_their_own(lab: Lab) -> None:
    a, b = lab["a"], lab["b"]
    assert a.sh("hostname; cat /proc/1/comm").split() == ["a", "bash"]
    assert a.sh("cat /proc/sys/kernel/random/boot_id") != b.sh("cat /proc/sys/kernel/random/boot_id")
    for place in ("/run", "/etc/failoverd", "/var/lib", "/dev/shm"):
        a.sh(f"touch {place}/only-here")
        assert a.path(f"{place}/only-here").exists()
        assert not b.path(f"{place}/only-here").exists()
        assert not Path(f"{place}/only-here").exists()
    a.sh(f"touch {lab.directory}/for-all")
    b.sh(f"test -e {lab.directory}/for-all")
    assert b.sh("getent hosts w").split() == [lab["w"].address(), "w"]
    assert a.sh("ip netns list") == ""


def test_programs_are_bounded_and_their_ends_known(lab: Lab) -> None:
    a = lab["a"]
    assert a.run("sh", "-c", "cat; exit 3", text="hello").stdout == "hello"
    began = time.monotonic()
    assert a.run("sleep", "60", timeout_s=0.3).returncode == -9
    assert time.monotonic() - began < 5
    sleeper = a.spawn("sleep", "60", log=a.disk / "log")
    assert a.run("cat", f"/proc/{sleeper.inner}/comm").stdout == "sleep\n"
    assert sleeper.alive
    sleeper.kill()
    assert not sleeper.alive


def test_links_are_cut_as_asked_for(lab: Lab) -> None:
    a, b, w = lab["a"], lab["b"], lab["w"]
    assert reaches(a, b)
    lab.cut("a", "b", link=0)
    assert silent(a, b)
    assert reaches(a, b, link=1)
    assert reaches(a, w)
    assert reaches(w, b)
    lab.cut("a", "b")
    assert silent(b, a, link=1)
    lab.heal("a", "b")
    assert reaches(a, b)
    lab.isolate("a")
    assert silent(a, w, link=1)
    assert silent(b, a)
    assert reaches(b, w)
    lab.rejoin("a")
    assert reaches(b, a)
    lab.drop_link(1)
    assert silent(w, b, link=1)
    assert reaches(w, b)
    lab.heal()
    lab.unplug("a", link=1)
    assert "NO-CARRIER" in a.sh("ip link show eth1")
    assert silent(a, b, link=1)
    assert reaches(a, b)
    lab.plug("a", link=1)
    assert reaches(a, b, link=1)


ECHO = """
import select, socket, sys
here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
here.bind((sys.argv[1], int(sys.argv[2])))
while select.select([here], [], [], 60)[0]:
    data, sender = here.recvfrom(100)
    print(data.decode(), flush=True)
    here.sendto(data, sender)
"""
ASK = """
import socket, sys, time
here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
here.settimeout(0.3)
answers = 0
for number in range(int(sys.argv[3])):
    here.sendto(str(number).encode(), (sys.argv[1], int(sys.argv[2])))
    if sys.argv[4] == "wait":
        try:
            here.recvfrom(100)
            answers += 1
        except TimeoutError:
            pass
    else:
        time.sleep(0.001)
print(answers)
"""


def test_one_way_by_port_and_at_random(lab: Lab) -> None:
    a, b = lab["a"], lab["b"]
    heard = b.disk / "heard"
    servers = [b.spawn(sys.executable, "-c", ECHO, b.address(), port, log=heard) for port in ("7001", "7002")]

    def asked(port: str, count: int = 1, how: str = "wait") -> int:
        return int(a.run(sys.executable, "-c", ASK, b.address(), port, str(count), how).stdout)

    def lines() -> int:
        time.sleep(0.05)
        return len(heard.read_text().splitlines())

    try:
        deadline = time.monotonic() + 10
        while not asked("7001") or not asked("7002"):
            assert time.monotonic() < deadline, "the servers do not answer"
        before = lines()
        lab.cut("b", "a", one_way=True)
        assert asked("7001") == 0
        assert lines() == before + 1
        lab.heal()
        lab.cut("a", "b", port=7001)
        assert (asked("7001"), asked("7002")) == (0, 1)
        lab.heal()
        before = lines()
        lab.lose("a", "b", percent=30, one_way=True)
        asked("7002", count=400, how="no")
        assert 220 < lines() - before < 340
    finally:
        for server in servers:
            server.kill()


def test_a_power_cut_takes_everything_but_the_disk(lab: Lab) -> None:
    a, b = lab["a"], lab["b"]
    a.sh("echo kept > /var/lib/kept; echo lost > /run/lost; ip addr add 10.0.0.100/24 dev eth0; hostname other")
    boot = a.sh("cat /proc/sys/kernel/random/boot_id")
    sleeper = a.spawn("sleep", "60", log=a.disk / "log")
    assert b.reaches("10.0.0.100")
    began = time.monotonic()
    a.cut_power()
    assert time.monotonic() - began < 5
    assert not sleeper.alive
    assert not a.on
    assert silent(b, a)
    a.power_on()
    assert reaches(b, a)
    assert reaches(b, a, link=1)
    assert not b.reaches("10.0.0.100")
    assert a.sh("cat /var/lib/kept; hostname").split() == ["kept", "a"]
    assert not a.path("/run/lost").exists()
    assert a.sh("cat /proc/sys/kernel/random/boot_id") != boot


def test_a_power_cut_loses_what_was_not_written(lab: Lab) -> None:
    """What was synced is on the disk that another host mounts; what was not, is not."""
    a, b, image = lab["a"], lab["b"], f"/srv/san/{lab.network.prefix}.img"
    a.sh(f"truncate -s 16M {image}; mkfs.ext4 -q -F {image}; mkdir -p /srv/disk; mount -o loop {image} /srv/disk")
    b.sh(f"test -e {image}; mkdir -p /srv/disk")
    a.sh("echo synced >/srv/disk/synced; sync -f /srv/disk; echo lost >/srv/disk/lost; cat /srv/disk/lost")
    a.cut_power()
    b.sh(f"fsck.ext4 -p {image} || test $? = 1; mount -o loop {image} /srv/disk")
    assert b.sh("cat /srv/disk/synced; cat /srv/disk/lost 2>/dev/null || :") == "synced\n"
    b.sh("umount /srv/disk")
    a.power_on()


def test_a_paused_host_does_nothing(lab: Lab) -> None:
    a = lab["a"]
    beats = a.disk / "beats"
    beater = a.spawn("bash", "-c", "while sleep 0.01; do echo beat; done", log=beats)
    time.sleep(0.2)
    a.pause()
    size = beats.stat().st_size
    assert size
    time.sleep(0.2)
    assert beats.stat().st_size == size
    a.resume()
    time.sleep(0.5)
    assert beats.stat().st_size > size
    beater.kill()


LEFT = """
import time
from tests.hosts.lab import Lab
with Lab("x", "y") as lab:
    lab["x"].spawn("sleep", "1234", log=lab.directory / "log")
    print(lab.directory, lab.network.prefix, *(host.init.pid for host in lab), flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_nothing_is_left_behind(number: signal.Signals) -> None:
    maker = subprocess.Popen([sys.executable, "-c", LEFT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    with maker:
        assert maker.stdout is not None
        directory, stem, *inits = maker.stdout.readline().split()
        assert len(inits) == 2
        assert [path for path in NETNS.iterdir() if path.name.startswith(stem)]
        maker.send_signal(number)
        maker.wait(20)
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in inits):
        assert time.monotonic() < deadline, "hosts live on"
        time.sleep(0.02)
    if number == signal.SIGKILL:
        assert directory in sweep()
    assert not Path(directory).exists()
    assert not [path for path in NETNS.iterdir() if path.name.startswith(stem)]


def test_sweep_spares_the_living(lab: Lab) -> None:
    del lab
    sweep()
    assert [path for path in NETNS.iterdir() if path.name.startswith(f"{STEM}-{os.getpid()}.")]
