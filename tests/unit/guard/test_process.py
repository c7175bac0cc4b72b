"""The real guard process, and daemons that are killed, stopped, restarted: what is down, and what is left alone."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from failoverd.errors import GuardUnavailable, StartupError
from failoverd.log.catalogue import Event
from tests.unit.guard.support import (
    EventList,
    alive,
    command,
    guard_in,
    guard_pid,
    marked,
    now,
    record_in,
    run_marked,
    start_daemon,
    until,
)

pytestmark = pytest.mark.processes

ARMED = """
    guard.extend(now() + {fires_in}, now() + {fires_in} + 0.5)
    await guard.arm("g", "c", command("touch", str(run_dir / "down")))
    await ready()
"""


@pytest.fixture
def started() -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Ended after the test, whatever became of it."""
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait(5)


def daemon(started: list["subprocess.Popen[bytes]"], run_dir: Path, body: str) -> "subprocess.Popen[bytes]":
    process = start_daemon(run_dir, body)
    started.append(process)
    return process


# --- firing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_what_a_killed_or_stopped_daemon_leaves_online_goes_down_in_time(
    tmp_path: Path, started: list["subprocess.Popen[bytes]"], number: signal.Signals
) -> None:
    process = daemon(started, tmp_path, ARMED.format(fires_in=1.0))
    guard = guard_pid(tmp_path)
    process.send_signal(number)
    record = record_in(tmp_path)
    assert (tmp_path / "down").exists()
    assert record["left"] == []
    assert record["in_time"]
    assert record["fired_at"] >= record["due_at"]
    assert record["done_at"] <= record["lease_ends"]
    assert record["daemon"] == ("was gone" if number is signal.SIGKILL else "killed")
    assert process.wait(5) == -signal.SIGKILL
    until(lambda: not alive(guard), "the guard ends when it is through")


def test_a_daemon_that_runs_but_does_not_renew_is_killed_too(
    tmp_path: Path, started: list["subprocess.Popen[bytes]"]
) -> None:
    process = daemon(started, tmp_path, ARMED.format(fires_in=0.5))
    assert record_in(tmp_path)["daemon"] == "killed"
    assert process.wait(5) == -signal.SIGKILL


def test_processes_are_found_by_their_mark_and_what_cleared_its_environment_by_its_session(
    tmp_path: Path, started: list["subprocess.Popen[bytes]"]
) -> None:
    script = f"env -i sh -c 'echo $$ > {tmp_path}/clean; exec sleep 60' & trap '' TERM; wait"
    ours = run_marked("mine", ("sh", "-c", script))
    other = run_marked("mine-too")
    started += [ours, other]
    until(lambda: (tmp_path / "clean").exists() and (tmp_path / "clean").read_text() != "", "it runs")
    cleared = int((tmp_path / "clean").read_text())
    body = """
        guard.extend(now() + 0.5, now() + 2.5)
        await guard.arm("g", "c", marked("mine"))
        await ready()
    """
    daemon(started, tmp_path, body).kill()
    record = record_in(tmp_path)
    assert record["left"] == []
    assert record["results"][0]["kind"] == "mark"
    assert not alive(ours.pid)
    assert not alive(cleared)
    assert alive(other.pid)


def test_all_wills_at_once_and_one_that_hangs_delays_nobody(
    tmp_path: Path, started: list["subprocess.Popen[bytes]"]
) -> None:
    body = """
        guard.extend(now() + 0.5, now() + 1.5)
        script = f"echo $$ > {run_dir}/hanging; trap '' TERM; sleep 60 & wait; wait"
        await guard.arm("g", "hangs", command("sh", "-c", script))
        await guard.arm("g", "missing", command("no-such-command"))
        await guard.arm("g", "nothing", None)
        for n in range(20):
            await guard.arm("g", f"c{n}", command("sh", "-c", f"sleep 0.2; touch {run_dir}/down{n}"))
        await guard.arm("g", "absent", command("sh", "-c", "exit 7"))
        await ready()
    """
    daemon(started, tmp_path, body).kill()
    record = record_in(tmp_path)
    assert sorted(record["left"]) == ["g/hangs", "g/missing", "g/nothing"]
    assert not record["in_time"]
    assert all((tmp_path / f"down{n}").exists() for n in range(20))
    assert record["done_at"] < record["lease_ends"] + 0.3
    hanging = int((tmp_path / "hanging").read_text())
    until(lambda: not alive(hanging), "what hangs is killed")


def test_what_fails_at_first_is_tried_again(tmp_path: Path, started: list["subprocess.Popen[bytes]"]) -> None:
    body = """
        guard.extend(now() + 0.3, now() + 2.3)
        await guard.arm("g", "c", command("sh", "-c", f"mkdir {run_dir}/once && exit 1; exit 0"))
        await ready()
    """
    daemon(started, tmp_path, body).kill()
    assert record_in(tmp_path)["left"] == []


def test_the_helper_and_its_commands_do_not_go_on(tmp_path: Path, started: list["subprocess.Popen[bytes]"]) -> None:
    """As when both the daemon and the helper are stopped in the middle of an online."""
    body = """
        script = "import subprocess, sys, time; c = subprocess.Popen(['sleep', '60'], start_new_session=True)"
        script += "; open(sys.argv[1], 'w').write(str(c.pid)); time.sleep(60)"
        helper = subprocess.Popen([sys.executable, "-c", script, str(run_dir / "command")], start_new_session=True).pid
        (run_dir / "helper").write_text(str(helper))
        guard.extend(now() + 1.5, now() + 2.5)
        await guard.arm("g", "c", command("true"))
        await ready()
    """
    process = daemon(started, tmp_path, body)
    until(lambda: (tmp_path / "command").exists() and (tmp_path / "command").read_text() != "", "its command runs")
    helper, running = int((tmp_path / "helper").read_text()), int((tmp_path / "command").read_text())
    os.kill(helper, signal.SIGSTOP)
    process.send_signal(signal.SIGSTOP)
    assert record_in(tmp_path)["helper"] == "killed"
    until(lambda: not alive(helper) and not alive(running), "both are killed")


# --- not firing -------------------------------------------------------------------------------------------------


async def test_renewals_postpone_it_and_with_nothing_online_it_leaves_the_daemon_alone(tmp_path: Path) -> None:
    async with guard_in(tmp_path) as guard:
        for _ in range(8):
            guard.extend(now() + 0.3, now() + 0.5)
            await guard.arm("g", "c", command("touch", str(tmp_path / "down")))
            await anyio.sleep(0.1)
        guard.disarm("g", "c")
        await anyio.sleep(0.5)
        with pytest.raises(GuardUnavailable, match="lease"):
            await guard.arm("g", "c", command("true"))
        guard.extend(now() + 60, now() + 61)
        await guard.arm("g", "c", command("true"))
        await guard.dismiss()
    assert not (tmp_path / "down").exists()
    assert not (tmp_path / "guard.json").exists()


def test_an_orderly_end_lets_it_go_whatever_was_left_running(
    tmp_path: Path, started: list["subprocess.Popen[bytes]"]
) -> None:
    body = ARMED.format(fires_in=0.7).replace("await ready()", "await guard.dismiss()\n    await ready()")
    process = daemon(started, tmp_path, body)
    until(lambda: not alive(guard_pid(tmp_path)), "it goes")
    time.sleep(1.0)
    assert process.poll() is None
    assert not (tmp_path / "down").exists()


def test_a_dead_daemon_that_had_nothing_online_needs_no_guard(
    tmp_path: Path, started: list["subprocess.Popen[bytes]"]
) -> None:
    process = daemon(started, tmp_path, "guard.extend(now() + 60, now() + 61)\nawait ready()")
    guard = guard_pid(tmp_path)
    process.kill()
    until(lambda: not alive(guard), "it goes")
    assert not (tmp_path / "guard.json").exists()


# --- succession -------------------------------------------------------------------------------------------------


async def test_a_new_daemon_in_time_takes_everything_over_and_nothing_fires(
    tmp_path: Path, started: list["subprocess.Popen[bytes]"]
) -> None:
    process = daemon(started, tmp_path, ARMED.format(fires_in=8.0))
    for _ in range(3):
        before = guard_pid(tmp_path)
        process.kill()
        process.wait()
        process = daemon(started, tmp_path, "guard.extend(now() + 8.0, now() + 8.5)\nawait ready()")
        assert guard_pid(tmp_path) != before
        until(lambda pid=before: not alive(pid), "one guard is enough")  # type: ignore[misc]
        await anyio.sleep(0.5)
        assert process.poll() is None
    assert not (tmp_path / "down").exists()
    process.kill()  # this daemon never heard of the component, and the guard takes it down all the same
    assert record_in(tmp_path)["left"] == []
    assert (tmp_path / "down").exists()


async def test_a_new_daemon_that_does_not_renew_either_is_killed_at_the_old_deadline(
    tmp_path: Path, started: list["subprocess.Popen[bytes]"]
) -> None:
    process = daemon(started, tmp_path, ARMED.format(fires_in=2.5))
    process.kill()
    second = daemon(started, tmp_path, "await ready()")
    assert second.wait(10) == -signal.SIGKILL
    record = record_in(tmp_path)
    assert record["daemon"] == "killed"
    assert record["in_time"]


async def test_what_the_new_configuration_does_not_know_is_disarmed(
    tmp_path: Path, started: list["subprocess.Popen[bytes]"]
) -> None:
    daemon(started, tmp_path, ARMED.format(fires_in=2.0)).kill()
    process = daemon(started, tmp_path, "guard.retain({('g', 'another')})\nawait ready()")
    await anyio.sleep(2.3)
    assert process.poll() is None
    assert not (tmp_path / "down").exists()


async def test_a_new_daemon_waits_until_the_wills_are_through_and_tells_of_it(
    tmp_path: Path, started: list["subprocess.Popen[bytes]"]
) -> None:
    body = """
        guard.extend(now() + 0.2, now() + 2.2)
        await guard.arm("g", "slow", command("sh", "-c", f"sleep 1; touch {run_dir}/down"))
        await guard.arm("g", "nothing", None)
        await ready()
    """
    daemon(started, tmp_path, body).kill()
    await anyio.sleep(0.4)
    log = EventList()
    async with guard_in(tmp_path, log) as guard:
        assert (tmp_path / "down").exists()
        assert guard.status["wills"] == 0
        guard.extend(now() + 5, now() + 6)
        await guard.arm("g", "slow", command("true"))
        await guard.dismiss()
    (told,) = log.of(Event.GUARD_FIRED)
    assert list(told["left"]) == ["g/nothing"]
    assert told["components"] == 2
    assert 0 <= told["ago_s"] < 10
    async with guard_in(tmp_path, log) as guard:
        await guard.dismiss()
    assert len(log.of(Event.GUARD_FIRED)) == 1


async def test_a_predecessor_that_hangs_is_killed(tmp_path: Path, started: list["subprocess.Popen[bytes]"]) -> None:
    process = daemon(started, tmp_path, ARMED.format(fires_in=60))
    old = guard_pid(tmp_path)
    os.kill(old, signal.SIGSTOP)
    process.kill()
    process.wait()
    async with guard_in(tmp_path) as guard:
        assert not alive(old)
        await guard.arm("g", "c", command("true"))
        await guard.dismiss()


async def test_a_guard_that_serves_a_daemon_is_not_taken_from_it(
    tmp_path: Path, started: list["subprocess.Popen[bytes]"]
) -> None:
    daemon(started, tmp_path, ARMED.format(fires_in=60))
    old = guard_pid(tmp_path)
    with pytest.raises(StartupError, match="serves a daemon that runs"):
        async with guard_in(tmp_path):
            pytest.fail("there are two")
    assert alive(old)
    os.kill(old, signal.SIGKILL)


# --- losing the guard ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_lost_guard_is_replaced_and_its_successor_knows_everything(
    tmp_path: Path, number: signal.Signals
) -> None:
    log = EventList()
    async with guard_in(tmp_path, log) as guard:
        guard.extend(now() + 60, now() + 61)
        await guard.arm("g", "a", command("true"))
        await guard.hold("g", "b", marked("b"))
        old = guard_pid(tmp_path)
        os.kill(old, number)
        if number is signal.SIGSTOP:
            guard.extend(now() + 60, now() + 61)
        with anyio.fail_after(10):
            while guard_pid(tmp_path) == old or guard.status["pid"] is None:  # noqa: ASYNC110 (a file)
                await anyio.sleep(0.01)
        assert [lost["components"] for lost in log.of(Event.GUARD_LOST)] == [2]
        await guard.arm("g", "c", command("true"))
        assert guard.status["wills"] == 3
        await guard.dismiss()


async def test_while_there_is_no_guard_nothing_is_armed(tmp_path: Path) -> None:
    async with guard_in(tmp_path) as guard:
        guard.extend(now() + 60, now() + 61)
        old = guard_pid(tmp_path)
        os.kill(old, signal.SIGSTOP)
        with pytest.raises(GuardUnavailable):
            await guard.arm("g", "c", command("touch", str(tmp_path / "down")))
        with anyio.fail_after(10):
            while guard.status["pid"] is None:  # noqa: ASYNC110 (no event for it)
                await anyio.sleep(0.01)
        assert guard.status["wills"] == 0
        await guard.arm("g", "c", command("true"))
        await guard.dismiss()


def test_a_replaced_guard_fires_at_the_right_time(tmp_path: Path, started: list["subprocess.Popen[bytes]"]) -> None:
    process = daemon(started, tmp_path, ARMED.format(fires_in=2.0))
    old = guard_pid(tmp_path)
    os.kill(old, signal.SIGKILL)
    until(lambda: guard_pid(tmp_path) != old, "another is in charge")
    time.sleep(0.2)
    process.send_signal(signal.SIGSTOP)
    record = record_in(tmp_path)
    assert (tmp_path / "down").exists()
    assert record["fired_at"] - record["due_at"] < 0.3
    assert record["in_time"]


# --- what cannot be used ------------------------------------------------------------------------------------------


async def test_daemon_and_guard_both_killed_leave_the_deadline_to_those_who_come_next(
    tmp_path: Path, started: list["subprocess.Popen[bytes]"]
) -> None:
    """The coordinator is out of reach: nobody tells the new daemon until when what it finds online may stay so."""
    process = daemon(started, tmp_path, ARMED.format(fires_in=2.0))
    guard = guard_pid(tmp_path)
    os.kill(guard, signal.SIGKILL)
    process.kill()
    process.wait(5)
    until(lambda: not alive(guard), "the guard is dead")
    body = """
        await guard.hold("g", "c", command("touch", str(run_dir / "down")))
        await ready()
    """
    second = daemon(started, tmp_path, body)
    record = record_in(tmp_path)
    assert (tmp_path / "down").exists()
    assert record["fired_at"] >= record["due_at"]
    assert record["in_time"]
    assert second.wait(5) == -signal.SIGKILL


async def test_a_deadline_that_was_seen_to_is_none_for_the_next(
    tmp_path: Path, started: list["subprocess.Popen[bytes]"]
) -> None:
    """Else a component that cannot be taken down would have every daemon killed that finds it."""
    daemon(started, tmp_path, ARMED.format(fires_in=0.3)).kill()
    record_in(tmp_path)
    body = """
        await guard.hold("g", "c", command("false"))
        await ready()
    """
    second = daemon(started, tmp_path, body)
    await anyio.sleep(0.5)
    assert second.poll() is None


async def test_a_will_that_cannot_be_used_prevents_an_online_and_is_told_of(tmp_path: Path) -> None:
    log = EventList()
    will = command("true")
    unknown = type(will)(request=type(will.request)(argv=("true",), env={}, timeout_s=1.0, user="no-such-user"))
    long = command("true", "x" * 200_000)
    async with guard_in(tmp_path, log) as guard:
        guard.extend(now() + 60, now() + 61)
        with pytest.raises(GuardUnavailable, match="no-such-user"):
            await guard.arm("g", "c", unknown)
        with pytest.raises(GuardUnavailable, match="too long"):
            await guard.arm("g", "c", long)
        assert guard.status["wills"] == 0
        await guard.hold("g", "found online", unknown)
        await guard.hold("g", "found too", long)
        await guard.arm("g", "third party", None)
        await guard.arm("g", "third party", None)
        await guard.dismiss()
    told = [fields["component"] for fields in log.of(Event.GUARD_POWERLESS)]
    assert told == ["found online", "found too", "third party"]


# --- cost ---------------------------------------------------------------------------------------------------------


async def test_it_is_small_and_does_nothing_while_nothing_happens(tmp_path: Path) -> None:
    async with guard_in(tmp_path) as guard:
        guard.extend(now() + 60, now() + 61)
        for number in range(200):
            await guard.arm("g", f"c{number}", command("true", "x" * 1000))
        pid = guard_pid(tmp_path)
        before = switches(pid)
        await anyio.sleep(1.0)
        assert switches(pid) - before <= 1
        kilobytes = int(field(pid, "VmRSS").split()[0])
        await guard.dismiss()
    assert kilobytes < 32 * 1024


def field(pid: int, name: str) -> str:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return line.partition(":")[2].strip()
    raise AssertionError(f"no {name}")


def switches(pid: int) -> int:
    return int(field(pid, "voluntary_ctxt_switches"))
