"""The helper dies, the daemon dies, both die: no command of before still runs when the next one is run."""

import fcntl
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from failoverd.errors import SpawnerLost, StartupError
from failoverd.log.catalogue import Event
from failoverd.spawner import helper, journal
from failoverd.spawner.client import HelperSpawner
from tests.unit.spawner.support import EventList, ask, pid_in, runs, shell, until

pytestmark = pytest.mark.processes

OBSTINATE = "trap '' TERM HUP; echo $$ > {path}; while :; do sleep 0.2; done"

DAEMON = textwrap.dedent("""
    import sys, anyio
    from pathlib import Path
    from failoverd.spawner.client import HelperSpawner
    from tests.unit.spawner.support import EventList, shell

    async def main():
        async with HelperSpawner(Path(sys.argv[1]), EventList()) as spawner:
            Path(sys.argv[1], "helper").write_text(str(spawner.helper_pid))
            await spawner.run(shell(sys.argv[2], timeout_s=60))

    anyio.run(main)
""")


@pytest.fixture
def daemons() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait(5)


def daemon(run_dir: Path, script: str) -> subprocess.Popen[bytes]:
    run_dir.mkdir(exist_ok=True)
    return subprocess.Popen([sys.executable, "-c", DAEMON, str(run_dir), script])


def marked(mark: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "60"], env={"FAILOVERD_OPERATION": mark}, start_new_session=True)


async def test_a_killed_helper_is_replaced_and_its_commands_are_dead(tmp_path: Path) -> None:
    log = EventList()
    lost: list[str] = []

    async def obstinate(number: int) -> None:
        try:
            await subject.run(shell(OBSTINATE.format(path=tmp_path / str(number)), timeout_s=60))
        except SpawnerLost as error:
            lost.append(str(error))
            assert not any(runs(pid) for pid in pids), "answered only once all of them are dead"

    pids: list[int] = []
    async with HelperSpawner(tmp_path / "run", log) as subject:
        first = subject.helper_pid
        assert first is not None
        async with anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(obstinate, number)
            pids += [await pid_in(tmp_path / str(number)) for number in range(3)]
            os.kill(first, signal.SIGKILL)
        assert (await subject.run(ask("true"))).exit_status == 0
        assert subject.helper_pid != first
    assert len(lost) == 3
    assert log.names() == [Event.SPAWNER_LOST]
    assert log.events[0][1] == {"reason": "it was ended by signal 9", "operations": 3}


async def test_a_request_made_while_there_is_no_helper_waits_for_the_next(tmp_path: Path) -> None:
    async with HelperSpawner(tmp_path / "run", EventList()) as subject:
        assert subject.helper_pid is not None
        os.kill(subject.helper_pid, signal.SIGKILL)
        await until(lambda: subject.helper_pid is None)
        assert (await subject.run(ask("true"))).exit_status == 0


async def test_a_helper_that_hangs_is_replaced(tmp_path: Path) -> None:
    log = EventList()
    async with HelperSpawner(tmp_path / "run", log) as subject:
        first = subject.helper_pid
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        with pytest.raises(SpawnerLost), anyio.fail_after(20):
            await subject.run(ask("true"))
        assert (await subject.run(ask("true"))).exit_status == 0
    assert log.events[0][1]["reason"] == "no answer for 5 s"


async def test_a_detached_process_survives_a_killed_helper(tmp_path: Path) -> None:
    async with HelperSpawner(tmp_path / "run", EventList()) as subject:
        detached = await subject.detach(ask("sleep", "60"), None)
        assert subject.helper_pid is not None
        first = subject.helper_pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: subject.helper_pid not in (None, first))
        assert (await subject.run(ask("true"))).exit_status == 0
        assert runs(detached.pid)
    os.killpg(detached.pid, 9)


async def test_a_dead_daemons_command_is_dead_before_the_next_daemon_asks(
    tmp_path: Path, daemons: list[subprocess.Popen[bytes]]
) -> None:
    run_dir = tmp_path / "run"
    daemons.append(daemon(run_dir, OBSTINATE.format(path=tmp_path / "pid")))
    pid = await pid_in(tmp_path / "pid")
    daemons[0].kill()
    async with HelperSpawner(run_dir, EventList()) as subject:
        assert not runs(pid)
        assert (await subject.run(ask("true"))).exit_status == 0


async def test_daemon_and_helper_killed_together(tmp_path: Path, daemons: list[subprocess.Popen[bytes]]) -> None:
    """Nobody is left to end the command; the next helper finds it in the journal."""
    run_dir = tmp_path / "run"
    daemons.append(daemon(run_dir, OBSTINATE.format(path=tmp_path / "pid")))
    pid = await pid_in(tmp_path / "pid")
    helper_pid = await pid_in(run_dir / "helper")
    for victim in (daemons[0].pid, helper_pid):
        os.kill(victim, signal.SIGSTOP)
    for victim in (helper_pid, daemons[0].pid):
        os.kill(victim, signal.SIGKILL)
    await until(lambda: not runs(helper_pid))
    assert runs(pid)
    async with HelperSpawner(run_dir, EventList()):
        assert not runs(pid)


def test_a_command_whose_pid_was_never_written_down_is_found_by_its_mark(tmp_path: Path) -> None:
    run_dir = str(tmp_path)
    written = journal.Journal(run_dir)
    written.begin(41)
    ended = written.begin(42)
    written.end(ended)
    children = [marked(written.mark(number)) for number in (41, 42)]
    try:
        assert journal.kill_leftovers(run_dir) == [children[0].pid]
        assert children[0].wait(5) == -signal.SIGKILL
        assert children[1].poll() is None, "its operation had ended: it is what a finished command left behind"
    finally:
        for child in children:
            child.kill()
            child.wait(5)


def test_a_pid_that_now_is_another_process_is_left_alone(tmp_path: Path) -> None:
    written = journal.Journal(str(tmp_path))
    slot = written.begin(1)
    written.started(slot, 1, os.getppid())
    assert journal.kill_leftovers(str(tmp_path)) == []


def test_rubbish_in_the_journal_is_no_reason_to_kill_or_to_fail(tmp_path: Path) -> None:
    Path(journal.path_of(str(tmp_path))).write_bytes(os.urandom(200_000))
    assert journal.kill_leftovers(str(tmp_path)) == []
    Path(journal.path_of(str(tmp_path))).write_bytes(b"")
    assert journal.kill_leftovers(str(tmp_path)) == []


async def test_while_the_lock_is_held_no_second_helper_gets_ready(tmp_path: Path) -> None:
    with (tmp_path / "spawner.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        ready = anyio.Event()

        async def second() -> None:
            async with HelperSpawner(tmp_path, EventList()):
                ready.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(second)
            await anyio.sleep(0.5)
            assert not ready.is_set()
            fcntl.flock(held, fcntl.LOCK_UN)
            with anyio.fail_after(5):
                await ready.wait()
    assert helper.FAREWELL_S < helper.LOCK_WAIT_S, "a helper that is ending is outwaited"


async def test_a_run_dir_that_cannot_be_used_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="ascii")
    with pytest.raises(StartupError, match="Not a directory"):
        async with HelperSpawner(tmp_path / "file" / "run", EventList()):
            pass
