"""Commands that behave and commands that do not, through the real helper."""

import errno
import os
import resource
from pathlib import Path

import anyio
import pytest

from failoverd import procfs
from failoverd.errors import SpawnFailed
from failoverd.spawner.client import HelperSpawner
from failoverd.spawner.launch import Order, explain
from failoverd.spawner.protocol import OUTPUT_MAX
from tests.unit.spawner.support import EventList, ask, pid_in, runs, shell, until

pytestmark = pytest.mark.processes


def spawner(run_dir: Path) -> HelperSpawner:
    return HelperSpawner(run_dir, EventList())


def peak_memory_kib(pid: int | None) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


@pytest.mark.parametrize(
    ("script", "status", "signal", "output"),
    [
        ("exit 0", 0, None, ""),
        ("echo out; echo err >&2; exit 7", 7, None, "out\nerr\n"),
        ("kill -SEGV $$", None, 11, ""),
        ("printf '\\377ok'", 0, None, "\ufffdok"),
        ("cat; echo after", 0, None, "after\n"),
    ],
)
async def test_how_it_ended_and_what_it_said(
    tmp_path: Path, script: str, status: int | None, signal: int | None, output: str
) -> None:
    async with spawner(tmp_path) as subject:
        result = await subject.run(shell(script))
    assert (result.exit_status, result.signal, result.output) == (status, signal, output)
    assert not result.timed_out
    assert not result.truncated


async def test_a_command_reads_what_it_is_given(tmp_path: Path) -> None:
    text = "name=wörd\naction=off\n" + "x" * 50_000
    async with spawner(tmp_path) as subject:
        script = f"cat > {tmp_path}/read; head -n 2 {tmp_path}/read; tail -n 1 {tmp_path}/read | wc -c; cat"
        result = await subject.run(ask("/bin/sh", "-c", script, input=text))
    assert result.output == f"name=wörd\naction=off\n{50_000}\n"


async def test_what_a_command_is_given_is_in_no_argument_and_no_environment(tmp_path: Path) -> None:
    look = "cat /proc/self/cmdline /proc/self/environ /proc/$PPID/cmdline; ls -l /proc/self/fd/0"
    async with spawner(tmp_path) as subject:
        result = await subject.run(ask("/bin/sh", "-c", look, input="password=xyz"))
    assert "xyz" not in result.output
    assert "memfd:input" in result.output


async def test_a_command_leaves_nothing_behind_where_it_may_not(tmp_path: Path) -> None:
    script = f"sleep 301 & echo $! > {tmp_path}/pid"
    async with spawner(tmp_path) as subject:
        await subject.run(ask("/bin/sh", "-c", script, leave_nothing=True))
        pid = await pid_in(tmp_path / "pid")
        await until(lambda: not runs(pid))


async def test_fifty_megabytes_neither_block_nor_stay(tmp_path: Path) -> None:
    async with spawner(tmp_path) as subject:
        result = await subject.run(shell("head -c 50000000 /dev/zero | tr '\\0' x; echo; echo the end"))
        peak_kib = peak_memory_kib(subject.helper_pid)
    assert result.exit_status == 0
    assert result.truncated
    assert len(result.output) == OUTPUT_MAX
    assert result.output.endswith("x\nthe end\n")
    assert peak_kib < 60_000


async def test_time_out_ends_the_whole_process_group(tmp_path: Path) -> None:
    async with spawner(tmp_path) as subject:
        result = await subject.run(
            shell(f"sleep 60 & echo $! > {tmp_path}/child; echo begun; wait", timeout_s=0.3, grace_s=2.0)
        )
        child = await pid_in(tmp_path / "child")
        await until(lambda: not runs(child))
    assert result.timed_out
    assert result.output == "begun\n"


async def test_who_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    async with spawner(tmp_path) as subject:
        begun = anyio.current_time()
        result = await subject.run(
            shell(f"trap '' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 1; done", timeout_s=0.3, grace_s=0.5)
        )
        took = anyio.current_time() - begun
        assert not runs(await pid_in(tmp_path / "pid"))
    assert result.timed_out
    assert result.signal == 9
    assert 0.7 < took < 3.0


async def test_a_child_that_outlives_the_killed_shell_is_killed_too(tmp_path: Path) -> None:
    """The command itself obeys SIGTERM, what it started in its group does not."""
    script = f"(trap '' TERM; echo started > {tmp_path}/up; exec sleep 60) & echo $! > {tmp_path}/child; wait"
    async with spawner(tmp_path) as subject:
        result = await subject.run(shell(script, timeout_s=0.4, grace_s=0.3))
        assert not runs(await pid_in(tmp_path / "child"))
    assert result.timed_out


async def test_a_daemon_that_keeps_the_pipe_open_holds_nothing_up(tmp_path: Path) -> None:
    """Forked away twice, a session of its own, stdout never closed: the operation is over when the command is."""
    async with spawner(tmp_path) as subject:
        begun = anyio.current_time()
        result = await subject.run(
            shell(f"setsid sh -c 'echo $$ > {tmp_path}/pid; sleep 30 & wait' & sleep 0.1; echo done")
        )
        took = anyio.current_time() - begun
        daemon = await pid_in(tmp_path / "pid")
        assert runs(daemon), "a service that an online command leaves behind must live"
        os.killpg(daemon, 9)
    assert (result.exit_status, result.output) == (0, "done\n")
    assert took < 5.0


async def test_cancelling_returns_once_the_group_is_dead(tmp_path: Path) -> None:
    async with spawner(tmp_path) as subject:
        async with anyio.create_task_group() as tasks:
            script = f"trap '' TERM; sleep 60 & echo $! > {tmp_path}/child; echo $$ > {tmp_path}/pid; wait; wait"
            tasks.start_soon(subject.run, shell(script, timeout_s=60, grace_s=0.2))
            pid, child = await pid_in(tmp_path / "pid"), await pid_in(tmp_path / "child")
            tasks.cancel_scope.cancel()
        assert not runs(pid)
        assert not runs(child)
        assert (await subject.run(ask("true"))).exit_status == 0


async def test_two_hundred_at_once(tmp_path: Path) -> None:
    statuses: list[int | None] = []

    async def one(number: int) -> None:
        result = await subject.run(shell(f"echo {number}; sleep 0.05; exit {number % 50}"))
        assert result.output == f"{number}\n"
        statuses.append(result.exit_status)

    async with spawner(tmp_path) as subject:
        async with anyio.create_task_group() as tasks:
            for number in range(200):
                tasks.start_soon(one, number)
        helper_fds = len(os.listdir(f"/proc/{subject.helper_pid}/fd"))  # noqa: PTH208 (pathlib is refused here)
    assert sorted(statuses, key=str) == sorted((number % 50 for number in range(200)), key=str)
    assert helper_fds < 20, "descriptors are given back"


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (("no-such-program",), "no-such-program: not found in PATH (/usr/local/bin:/usr/bin:/bin)"),
        (("/no/such/program",), "/no/such/program: No such file or directory"),
        (("/etc/passwd",), "/etc/passwd: Permission denied: not executable"),
        (("/tmp",), "/tmp: Permission denied"),
        (("true", "x" * 200_000), "arguments and environment are too long: 195 KiB, limit 128 KiB"),
        (("true", "a\0b"), "a NUL character"),
    ],
)
async def test_what_cannot_be_started_says_why(tmp_path: Path, argv: tuple[str, ...], expected: str) -> None:
    async with spawner(tmp_path) as subject:
        with pytest.raises(SpawnFailed) as caught:
            await subject.run(ask(*argv))
    assert expected in str(caught.value)


async def test_scripts_that_are_no_programs(tmp_path: Path) -> None:
    for name, text, mode, expected in (
        ("interpreter", "#!/no/such/shell\n", 0o755, "the interpreter that its first line (#!) names is missing"),
        ("garbage", "\x7fnot a program", 0o755, "Exec format error: not a program"),
        ("plain", "#!/bin/sh\n", 0o644, "not executable"),
    ):
        script = tmp_path / name
        script.write_text(text, encoding="latin-1")
        script.chmod(mode)
        async with spawner(tmp_path / "run") as subject:
            with pytest.raises(SpawnFailed) as caught:
                await subject.run(ask(str(script)))
        assert expected in str(caught.value)
        assert str(script) in str(caught.value)


async def test_another_directory_user_and_group(tmp_path: Path) -> None:
    async with spawner(tmp_path) as subject:
        assert (await subject.run(ask("pwd", cwd="/usr"))).output == "/usr\n"
        with pytest.raises(SpawnFailed, match="directory /no/such: No such file"):
            await subject.run(ask("pwd", cwd="/no/such"))
        with pytest.raises(SpawnFailed, match="user no-such-user: no such user"):
            await subject.run(ask("id", user="no-such-user"))
        with pytest.raises(SpawnFailed, match="group no-such-group: no such group"):
            await subject.run(ask("id", group="no-such-group"))
        me = await subject.run(ask("sh", "-c", "id -u; echo $HOME", user=str(os.geteuid())))
        assert me.output.split()[0] == str(os.geteuid())
        if os.geteuid() == 0:
            other = await subject.run(ask("sh", "-c", "id -un; id -Gn; echo $HOME", user="nobody"))
            assert other.output.split() == ["nobody", "nogroup", "/nonexistent"]


async def test_a_command_inherits_nothing_of_ours(tmp_path: Path) -> None:
    async with spawner(tmp_path) as subject:
        report = await subject.run(
            shell("ls /proc/self/fd; echo; grep -E 'Sig(Blk|Ign)|NoNewPrivs' /proc/self/status; env; ulimit -n; pwd")
        )
        session = await subject.run(shell("ps -o pid= -o sid= -o pgid= -o cls= -o ni= -p $$"))
    text = report.output
    assert text.split("\n\n")[0].split() == ["0", "1", "2", "3"], "3 is ls's own"
    assert "SigBlk:\t0000000000000000" in text
    ignored = int(text.partition("SigIgn:")[2].split()[0], 16)
    assert ignored & ~(3 << 31) == 0, "but for signals 32 and 33, which are the C library's own"
    names = {line.split("=")[0] for line in text.splitlines() if "=" in line}
    assert names <= {"PATH", "PWD", "OLDPWD", "SHLVL", "_", "FAILOVERD_OPERATION"}
    assert text.endswith("/\n")
    pid, sid, pgid, scheduling, nice = session.output.split()
    assert pid == sid == pgid
    assert (scheduling, nice) == ("TS", "0")


async def test_more_commands_at_once_than_our_soft_limit_of_descriptors_allows(tmp_path: Path) -> None:
    """The helper may open what the hard limit allows; its commands keep the limit that the daemon was given."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] != resource.RLIM_INFINITY and before[1] < 1000:
        pytest.skip("the hard limit is low as well")
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, before[1]))
    try:
        async with spawner(tmp_path) as subject, anyio.create_task_group() as tasks:
            for _ in range(80):
                tasks.start_soon(subject.run, ask("sleep", "0.5"))
            assert (await subject.run(shell("sleep 0.1; ulimit -n"))).output == "100\n"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.EMFILE, "x: Too many open files: file descriptor limit of the helper process reached"),
        (errno.ENFILE, "x: Too many open files in system: file descriptor limit of the machine reached"),
        (errno.EAGAIN, "x: Resource temporarily unavailable: process limit reached"),
        (errno.EIO, "x: Input/output error"),
    ],
)
def test_limits_are_named(number: int, expected: str) -> None:
    assert explain(OSError(number, os.strerror(number)), Order(["x"], {})).startswith(expected)


async def test_a_detached_process_outlives_the_daemon_and_leaves_no_zombie(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with spawner(tmp_path / "run") as subject:
        long = await subject.detach(shell("echo hello; sleep 60"), str(log))
        short = await subject.detach(ask("true"), None)
        await until(lambda: procfs.stat(short.pid) is None)
        await until(lambda: log.exists() and log.read_text(encoding="utf-8") == "hello\n")
        there = procfs.stat(long.pid)
        assert there is not None
        assert (there.start_ticks, there.sid) == (long.start_ticks, long.pid)
        assert long.boot_id == procfs.boot_id()
    assert runs(long.pid)
    os.killpg(long.pid, 9)
    await until(lambda: not runs(long.pid))


async def test_starts_that_hang_hold_nothing_else_up(tmp_path: Path) -> None:
    """As on dead storage: opening a FIFO that nobody reads never returns."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    async with spawner(tmp_path / "run") as subject:
        async with anyio.create_task_group() as tasks:
            for _ in range(6):
                tasks.start_soon(subject.detach, ask("sleep", "60"), str(fifo))
            await anyio.sleep(0.1)
            with anyio.fail_after(3):
                results = [(await subject.run(ask("true"))).exit_status for _ in range(10)]
            tasks.cancel_scope.cancel()
        assert results == [0] * 10
        with anyio.fail_after(3):
            assert (await subject.run(ask("true"))).exit_status == 0


async def test_what_cannot_be_detached_says_why(tmp_path: Path) -> None:
    async with spawner(tmp_path) as subject:
        with pytest.raises(SpawnFailed, match="no-such: not found in PATH"):
            await subject.detach(ask("no-such"), None)
        with pytest.raises(SpawnFailed, match="/no/such/log: No such file"):
            await subject.detach(ask("true"), "/no/such/log")
