"""The watchdog: fed only where it goes off within the lease, stopped only where nothing is left; a fake device."""

import array
import contextlib
import os
import select
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from failoverd import procfs
from failoverd.guard.deadline import Deadline
from failoverd.guard.loop import Loop
from failoverd.guard.machine import Kernel, now
from failoverd.guard.process import Guard, conclude
from failoverd.guard.protocol import PACKET_MAX, decode, encode
from failoverd.guard.quarry import Quarry
from failoverd.guard.watch import Watch
from failoverd.guard.watchdog import GETTIMEOUT, SETTIMEOUT, LinuxWatchdog, Watchdog, watchdog_of


class FakeDevice:
    """Writes down what is done to it, and when it would go off."""

    def __init__(self, timeout_s: int = 2) -> None:
        self.timeout_s = timeout_s
        self.calls: list[str] = []
        self.broken: OSError | None = None

    def open(self) -> int:
        if self.broken:
            raise self.broken
        self.calls.append("open")
        return self.timeout_s

    def feed(self) -> None:
        self.calls.append("feed")

    def close(self, *, stop: bool) -> None:
        self.calls.append("stop" if stop else "close")


# --- when it is fed -------------------------------------------------------------------------------------------------


def test_it_is_fed_by_renewals_while_something_is_online_and_stopped_after() -> None:
    device = FakeDevice()
    watchdog = Watchdog(device, 2)
    assert watchdog.refusal(100.0, 102.5) is None
    watchdog.renewed(100.5, 103.0, guarding=True)
    watchdog.renewed(101.0, 103.5, guarding=True)
    watchdog.renewed(101.5, 104.0, guarding=False)
    watchdog.renewed(102.0, 104.5, guarding=False)
    assert device.calls == ["open", "feed", "feed", "stop"]


def test_a_renewal_that_was_answered_too_late_does_not_feed_it() -> None:
    device = FakeDevice()
    watchdog = Watchdog(device, 2)
    watchdog.renewed(100.0, 102.0, guarding=True)
    watchdog.renewed(101.5, 103.0, guarding=True)
    assert device.calls == ["open"]


def test_nothing_comes_online_before_it_counts_or_where_it_cannot_be_used() -> None:
    device = FakeDevice()
    watchdog = Watchdog(device, 2)
    assert "the lease ends before the watchdog would go off" in str(watchdog.refusal(100.0, 101.9))
    assert watchdog.refusal(100.0, None) is not None
    assert device.calls == []
    device.broken = PermissionError(13, "Permission denied")
    assert watchdog.refusal(100.0, 103.0) == "the watchdog cannot be used: Permission denied"
    device.broken = None
    assert watchdog.refusal(100.0, 103.0) is None


def test_without_anything_online_it_is_opened_once_to_stop_what_a_killed_guard_has_left_counting() -> None:
    device = FakeDevice()
    watchdog = Watchdog(device, 2)
    watchdog.renewed(100.0, 103.0, guarding=False)
    watchdog.renewed(100.5, 103.5, guarding=False)
    assert device.calls == ["open", "stop"]


def test_always_is_as_long_as_there_is_a_lease() -> None:
    device = FakeDevice()
    watchdog = Watchdog(device, 2, always=True)
    watchdog.renewed(100.0, 103.0, guarding=False)
    watchdog.renewed(100.5, 103.5, guarding=False)
    assert device.calls == ["open", "feed"]


def test_it_goes_on_counting_for_a_successor() -> None:
    device = FakeDevice()
    watchdog = Watchdog(device, 2)
    watchdog.refusal(100.0, 103.0)
    watchdog.leave()
    assert device.calls == ["open", "close"]


def test_without_a_device_nothing_is_refused() -> None:
    watchdog = watchdog_of("")
    assert watchdog.refusal(100.0, None) is None
    watchdog.renewed(100.0, 103.0, guarding=True)
    watchdog.stop()
    watchdog.leave()


@given(
    timeout_s=st.integers(1, 10),
    steps=st.lists(st.tuples(st.floats(0, 5), st.floats(0, 15), st.booleans(), st.booleans()), max_size=40),
)
def test_it_never_goes_off_after_the_end_of_a_lease_under_which_something_came_online(
    timeout_s: int, steps: list[tuple[float, float, bool, bool]]
) -> None:
    """A naive twin: when the device goes off, and until when the longest lease so far lasts."""
    device = FakeDevice(timeout_s)
    watchdog = Watchdog(device, timeout_s)
    at, ends, online = 100.0, 0.0, False
    for pause, left, arms, rests in steps:
        at += pause
        seen = len(device.calls)
        if arms:
            online = watchdog.refusal(at, ends or None) is None or online
        else:
            ends = max(ends, at + left)
            online = online and not rests
            watchdog.renewed(at, ends, guarding=online)
        if {"open", "feed"} & set(device.calls[seen:]) and device.calls[-1] != "stop":
            assert at + timeout_s <= ends + 1e-9
        if online:
            assert "open" in device.calls
            assert device.calls[-1] != "stop"


# --- the device -----------------------------------------------------------------------------------------------------


class FakeIoctl:
    def __init__(self, takes_s: int | None = None) -> None:
        self.asked: list[int] = []
        self._takes_s, self._set_s = takes_s, 0

    def __call__(self, descriptor: int, request: int, value: Any) -> int:
        os.fstat(descriptor)
        self.asked.append(request)
        assert isinstance(value, array.array)
        if request == SETTIMEOUT:
            self._set_s = value[0]
        elif request == GETTIMEOUT:
            value[0] = self._set_s if self._takes_s is None else self._takes_s
        return 0


@pytest.fixture
def device_file(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A FIFO, and our end of it."""
    path = tmp_path / "watchdog"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield path, reader
    os.close(reader)


def test_the_time_out_is_set_and_read_back_and_the_magic_character_stops_it(device_file: tuple[Path, int]) -> None:
    path, reader = device_file
    ioctl = FakeIoctl()
    device = LinuxWatchdog(str(path), 5, ioctl)
    assert device.open() == 5
    assert ioctl.asked == [SETTIMEOUT, GETTIMEOUT]
    device.feed()
    device.close(stop=True)
    assert os.read(reader, 100) == b"\0V"


def test_left_counting_it_is_closed_without_the_magic_character(device_file: tuple[Path, int]) -> None:
    path, reader = device_file
    device = LinuxWatchdog(str(path), 5, FakeIoctl())
    device.open()
    device.feed()
    device.close(stop=False)
    assert os.read(reader, 100) == b"\0"


def test_a_device_that_takes_a_longer_time_out_is_stopped_and_refused(device_file: tuple[Path, int]) -> None:
    path, reader = device_file
    with pytest.raises(OSError, match="it takes 60 s for its time-out, 2 s were asked for"):
        LinuxWatchdog(str(path), 2, FakeIoctl(takes_s=60)).open()
    assert os.read(reader, 100) == b"V"


def test_a_shorter_one_is_taken_as_it_is(device_file: tuple[Path, int]) -> None:
    path, _ = device_file
    assert LinuxWatchdog(str(path), 5, FakeIoctl(takes_s=3)).open() == 3


def test_what_is_no_watchdog_cannot_be_used(device_file: tuple[Path, int]) -> None:
    path, _ = device_file
    watchdog = watchdog_of(f"{path}:2:0")
    assert watchdog.refusal(100.0, 103.0) == "the watchdog cannot be used: Inappropriate ioctl for device"


# --- in the guard ---------------------------------------------------------------------------------------------------


@pytest.mark.processes
def test_the_guard_feeds_it_while_it_holds_a_will(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    device = FakeDevice()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with subprocess.Popen(["sleep", "60"]) as daemon, ours, theirs, listener:
        listener.bind(str(tmp_path / "sock"))
        listener.listen()
        listener.setblocking(False)
        there = procfs.stat(daemon.pid)
        assert there is not None
        quarry = Quarry.find(daemon.pid, there.start_ticks)
        assert quarry is not None
        guard = Guard(
            Loop(Kernel().timer()),
            theirs,
            quarry,
            Watch(),
            listener,
            deadline=Deadline("."),
            watchdog=Watchdog(device, 2),
        )
        thread = threading.Thread(target=guard.run)
        thread.start()

        def say(**message: Any) -> dict[str, Any]:
            ours.send(encode({"n": 1, **message}))
            assert select.select([ours], [], [], 5)[0]
            return decode(ours.recv(PACKET_MAX))

        key = ["g", "c"]
        say(do="extend", fires_at=now() + 9, ends=now() + 10)
        assert "refused" not in say(do="arm", key=key, will={"kind": "none"})
        say(do="extend", fires_at=now() + 9, ends=now() + 10)
        say(do="extend", fires_at=now() + 1, ends=now() + 1.5)
        say(do="disarm", key=key)
        say(do="extend", fires_at=now() + 9, ends=now() + 10)
        say(do="leave")
        thread.join(5)
        assert device.calls == ["open", "stop", "open", "feed", "stop"]
        quarry.close()
        daemon.kill()


@pytest.mark.parametrize(
    ("left", "reboot", "calls", "resets"),
    [([], True, ["stop"], 0), (["g/c"], True, [], 1), (["g/c"], False, [], 0)],
)
def test_a_reset_follows_only_where_something_is_left(
    tmp_path: Path,
    left: list[str],
    reboot: bool,
    calls: list[str],
    resets: int,
) -> None:
    """``action: reboot`` resets at once; the watchdog goes on counting either way."""
    device = FakeDevice()
    watchdog = Watchdog(device, 2)
    watchdog.refusal(100.0, 103.0)
    reset: list[bool] = []
    with contextlib.chdir(tmp_path):
        conclude({"left": left}, watchdog, reset=(lambda: reset.append(True)) if reboot else None)
    assert device.calls == ["open", *calls]
    assert len(reset) == resets
    assert (tmp_path / "guard.json").exists(), "written before the reset"
