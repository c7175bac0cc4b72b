"""The ``mount`` type on real file systems: each test has a table of mounts of its own."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio

from failoverd.agents.mount.agent import MountAgent
from failoverd.agents.mount.params import MountParams
from failoverd.agents.mount.type import MountType
from failoverd.domain.model import Action
from failoverd.kernel.mounts import loops_of
from failoverd.ports import Outcome, Presence, Probe, Result, Spawner
from failoverd.spawner.client import HelperSpawner
from tests.isolated import isolated, run
from tests.unit.agents.support import NoLog, call, host

ONLINE, OFFLINE, CLEAN = Action.ONLINE, Action.OFFLINE, Action.CLEAN


def make(spawner: Spawner, directory: Path, device: Path | str | None = None, **more: Any) -> MountAgent:
    keys = {"directory": str(directory), "make_directory": True, **more}
    params = MountParams.model_validate(keys | ({"device": str(device)} if device else {}))
    built = MountType().build(params, host(Path("/run"), spawner, component="disk"))
    assert isinstance(built, MountAgent)
    return built


def helper() -> HelperSpawner:
    return HelperSpawner(Path("/run"), NoLog())


def image(tmp_path: Path, size: str = "4M") -> Path:
    path = tmp_path / "image"
    run("truncate", "-s", size, str(path))
    run("mkfs.ext4", "-q", "-F", str(path))
    return path


@contextmanager
def block_device(tmp_path: Path) -> Iterator[str]:
    device = run("losetup", "--find", "--show", str(image(tmp_path))).strip()
    try:
        yield device
    finally:
        run("losetup", "-d", device)


@contextmanager
def held(*words: str, cwd: Path | None = None) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(words, cwd=cwd, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process
        with contextlib.suppress(ProcessLookupError):
            process.kill()


async def seen(agent: MountAgent) -> Presence:
    return (await agent.probe(call())).presence


async def done(operation: Callable[[Any], Any], action: Action, timeout_s: float = 10.0) -> None:
    result = await operation(call(action, timeout_s=timeout_s))
    assert isinstance(result, Result)
    assert result.ok, result


def mounted(directory: Path) -> bool:
    return f" {directory} " in run("cat", "/proc/self/mountinfo")


# --- kinds ------------------------------------------------------------------------------------------------------


@isolated
async def test_an_image_is_mounted_and_its_loop_device_freed(tmp_path: Path) -> None:
    disk, there = image(tmp_path), tmp_path / "made" / "there"
    async with helper() as spawner:
        agent = make(spawner, there, disk, fstype="ext4", options="noatime,nodev")
        assert await seen(agent) is Presence.OFFLINE
        await done(agent.online, ONLINE)
        assert await seen(agent) is Presence.ONLINE
        assert "noatime" in run("grep", str(there), "/proc/self/mounts")
        assert len(loops_of(str(disk))) == 1
        await done(agent.online, ONLINE)
        await done(agent.offline, OFFLINE)
        assert loops_of(str(disk)) == []
        assert await seen(agent) is Presence.OFFLINE
        await done(agent.offline, OFFLINE)


@isolated
async def test_a_device_is_mounted_and_refused_where_it_is_mounted_elsewhere(tmp_path: Path) -> None:
    there, other = tmp_path / "there", tmp_path / "other"
    other.mkdir()
    with block_device(tmp_path) as device:
        async with helper() as spawner:
            agent = make(spawner, there, device, fstype="ext4")
            await done(agent.online, ONLINE)
            await done(agent.offline, OFFLINE)
            run("mount", device, str(other))
            assert (await agent.probe(call())).detail == f"{device} is mounted on {other}"
            for operation in (agent.online, agent.offline):
                result = await operation(call(ONLINE))
                assert result.outcome is Outcome.FAILED
                assert f"mounted on {other}" in result.detail
            assert mounted(other)
            run("umount", str(other))


@isolated
async def test_memory_and_a_directory_once_more(tmp_path: Path) -> None:
    memory, again = tmp_path / "memory", tmp_path / "again"
    async with helper() as spawner:
        below = make(spawner, memory, fstype="tmpfs", options=["size=1M"])
        await done(below.online, ONLINE)
        (memory / "sub").mkdir()
        bound = make(spawner, again, memory / "sub", fstype="bind", options="ro")
        await done(bound.online, ONLINE)
        assert await seen(bound) is Presence.ONLINE
        (memory / "sub" / "file").touch()
        assert (again / "file").exists()
        await done(bound.offline, OFFLINE)
        run("mount", "--bind", str(memory), str(again))
        assert await seen(bound) is Presence.OFFLINE
        run("umount", str(again))
        await done(below.offline, OFFLINE)
        assert not mounted(memory)


@isolated
async def test_a_directory_behind_a_symbolic_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    async with helper() as spawner:
        agent = make(spawner, tmp_path / "link" / "there", fstype="tmpfs")
        await done(agent.online, ONLINE)
        assert mounted(tmp_path / "real" / "there")
        assert await seen(agent) is Presence.ONLINE
        await done(agent.offline, OFFLINE)
        assert not mounted(tmp_path / "real" / "there")


# --- what is in the way -----------------------------------------------------------------------------------------


@isolated
async def test_another_file_system_there_is_named_and_not_touched(tmp_path: Path) -> None:
    disk, there = image(tmp_path), tmp_path / "there"
    there.mkdir()
    run("mount", "-t", "tmpfs", "other", str(there))
    async with helper() as spawner:
        agent = make(spawner, there, disk, fstype="ext4")
        probe = await agent.probe(call())
        assert probe.presence is Presence.OFFLINE
        assert "tmpfs (other) is mounted on" in probe.detail
        assert "instead" in (await agent.online(call(ONLINE))).detail
        await done(agent.offline, OFFLINE)
        assert mounted(there)
        run("umount", str(there))
        await done(agent.online, ONLINE)
        run("mount", "-t", "tmpfs", "other", str(there))
        assert "mounted over it" in (await agent.offline(call(OFFLINE))).detail
        assert await seen(agent) is Presence.FAILED
        run("umount", str(there))
        await done(agent.offline, OFFLINE)


@isolated
async def test_what_cannot_be_mounted_says_why(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_bytes(bytes(1 << 20))
    async with helper() as spawner:
        result = await make(spawner, tmp_path / "a", empty, fstype="ext4", fsck="never").online(call(ONLINE))
        assert "wrong fs type" in result.detail
        result = await make(spawner, tmp_path / "b", empty, fstype="ext4").online(call(ONLINE))
        assert "fsck.ext4: exit status 8" in result.detail
        result = await make(spawner, tmp_path / "c", empty, fstype="ext4", make_directory=False).online(call(ONLINE))
        assert result.outcome is Outcome.FAILED
        assert loops_of(str(empty)) == []


@isolated
async def test_a_file_system_with_errors_is_mended_before_it_is_mounted(tmp_path: Path) -> None:
    disk, there = image(tmp_path), tmp_path / "there"
    run("debugfs", "-w", "-R", "set_super_value state 2", str(disk))
    async with helper() as spawner:
        agent = make(spawner, there, disk, fstype="ext4")
        await done(agent.online, ONLINE)
        await done(agent.offline, OFFLINE)
    assert "Filesystem state:         clean" in run("dumpe2fs", "-h", str(disk))


# --- busy -------------------------------------------------------------------------------------------------------

SITS = ("/bin/sh", "-c", "echo ready; exec sleep 60")
OBSTINATE = ("/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done")


@isolated
async def test_who_holds_it_is_asked_to_end_and_nobody_else(tmp_path: Path) -> None:
    there = tmp_path / "there"
    async with helper() as spawner:
        agent = make(spawner, there, fstype="tmpfs")
        await done(agent.online, ONLINE)
        with held(*SITS, cwd=there) as holder, held(*SITS, cwd=tmp_path) as other:
            result = await agent.offline(call(OFFLINE))
            assert result.ok
            assert f"sleep (pid {holder.pid}, cwd)" in result.detail
            assert holder.wait(5) == -signal.SIGTERM
            assert other.poll() is None


@isolated
async def test_an_obstinate_holder_is_killed_after_grace_and_at_once_by_clean(tmp_path: Path) -> None:
    there = tmp_path / "there"
    async with helper() as spawner:
        agent = make(spawner, there, fstype="tmpfs", busy={"grace": "300ms"})
        await done(agent.online, ONLINE)
        with held(*OBSTINATE, cwd=there) as holder:
            await done(agent.offline, OFFLINE)
            assert holder.wait(5) == -signal.SIGKILL
        slow = make(spawner, there, fstype="tmpfs", busy={"grace": "60s"})
        await done(slow.online, ONLINE)
        with held(*OBSTINATE, cwd=there) as holder:
            await done(slow.clean, CLEAN, timeout_s=5.0)
            assert holder.wait(5) == -signal.SIGKILL


@isolated
async def test_by_policy_nobody_is_signalled_and_the_holder_is_named(tmp_path: Path) -> None:
    there = tmp_path / "there"
    async with helper() as spawner:
        agent = make(spawner, there, fstype="tmpfs", busy={"signal": "none"})
        await done(agent.online, ONLINE)
        reader = ("/bin/sh", "-c", f"exec 7> {there}/file; echo ready; exec sleep 60")
        with held(*reader) as holder:
            for operation in (agent.offline, agent.clean):
                result = await operation(call(OFFLINE, timeout_s=2.0))
                assert result.outcome is Outcome.TIMED_OUT
                assert f"busy: sleep (pid {holder.pid}, fd 7)" in result.detail
            assert holder.poll() is None
            assert mounted(there)


@isolated
async def test_what_is_mounted_in_it_or_bound_to_it_is_named(tmp_path: Path) -> None:
    there = tmp_path / "there"
    async with helper() as spawner:
        agent = make(spawner, there, fstype="tmpfs")
        await done(agent.online, ONLINE)
        (there / "sub").mkdir()
        run("mount", "-t", "tmpfs", "inner", str(there / "sub"))
        result = await agent.offline(call(OFFLINE, timeout_s=2.0))
        assert f"tmpfs is mounted on {there}/sub" in result.detail
        run("umount", str(there / "sub"))
        run("truncate", "-s", "1M", str(there / "inner"))
        device = run("losetup", "--find", "--show", str(there / "inner")).strip()
        try:
            result = await agent.offline(call(OFFLINE, timeout_s=2.0))
            assert f"{device} is bound to {there}/inner" in result.detail, result
        finally:
            run("losetup", "-d", device)
        await done(agent.offline, OFFLINE)


@isolated
async def test_detached_only_where_that_is_wished_and_then_it_is_not_called_released(tmp_path: Path) -> None:
    there = tmp_path / "there"
    keys = {"fstype": "ext4", "busy": {"signal": "none", "lazy": True}}
    async with helper() as spawner:
        agent = make(spawner, there, image(tmp_path), **keys)
        await done(agent.online, ONLINE)
        with held(*SITS, cwd=there):
            assert (await agent.offline(call(OFFLINE, timeout_s=2.0))).outcome is Outcome.TIMED_OUT
            assert mounted(there)
            result = await agent.clean(call(CLEAN, timeout_s=4.0))
            assert not mounted(there)
            assert result.outcome is Outcome.FAILED
            assert "still in use" in result.detail
        await done(agent.clean, CLEAN)


@isolated
async def test_another_mount_namespace_that_keeps_it_is_named(tmp_path: Path) -> None:
    there = tmp_path / "there"
    with block_device(tmp_path) as device:
        async with helper() as spawner:
            agent = make(spawner, there, device, fstype="ext4")
            await done(agent.online, ONLINE)
            with held("unshare", "--mount", "--propagation", "private", *SITS) as holder:
                result = await agent.offline(call(OFFLINE, timeout_s=2.0))
                assert result.outcome is Outcome.FAILED
                assert f"in another mount namespace, of sleep (pid {holder.pid})" in result.detail
            await done(agent.offline, OFFLINE)


# --- monitoring -------------------------------------------------------------------------------------------------


async def told(agent: MountAgent, *change: str) -> Probe:
    said: list[Probe | None] = []
    with anyio.fail_after(3):
        async with anyio.create_task_group() as tasks:

            async def watch() -> None:
                said.append(await agent.watch(call()))
                tasks.cancel_scope.cancel()

            tasks.start_soon(watch)
            await anyio.sleep(0.1)
            assert not said
            run("mount", "-t", "tmpfs", "unrelated", "/mnt")
            await anyio.sleep(0.1)
            assert not said
            run(*change)
    assert said[0] is not None
    return said[0]


@isolated
async def test_unmounted_covered_or_read_only_is_found_by_event(tmp_path: Path) -> None:
    there = tmp_path / "there"
    async with helper() as spawner:
        agent = make(spawner, there, fstype="tmpfs")
        await done(agent.online, ONLINE)
        probe = await told(agent, "umount", str(there))
        assert (probe.presence, probe.detail) == (Presence.OFFLINE, f"was unmounted from {there}")
        await done(agent.online, ONLINE)
        assert "mounted over it" in (await told(agent, "mount", "-t", "tmpfs", "x", str(there))).detail
        run("umount", str(there))
        run("mount", "-o", "remount,ro", str(there))
        assert (await agent.probe(call())).detail == f"{there} has become read-only"


@isolated
async def test_a_probe_may_read_and_write(tmp_path: Path) -> None:
    there = tmp_path / "there"
    with block_device(tmp_path) as device:
        async with helper() as spawner:
            writing = make(spawner, there, device, fstype="ext4", test="write")
            await done(writing.online, ONLINE)
            assert await seen(writing) is Presence.ONLINE
            assert {path.name for path in there.iterdir()} == {"lost+found"}
            reading = make(spawner, there, device, fstype="ext4", test="read")
            assert await seen(reading) is Presence.ONLINE
            await done(writing.offline, OFFLINE)


@isolated
async def test_dead_storage_hangs_nothing_but_the_program_that_asks_it(tmp_path: Path) -> None:
    """A file system whose server does not answer: a FUSE mount that nobody serves."""
    there = tmp_path / "there"
    there.mkdir()
    descriptor = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={descriptor},rootmode=40000,user_id=0,group_id=0"
    command = ["mount", "-i", "-t", "fuse", "-o", options, "server:/dead", str(there)]
    run(*command, pass_fds=(descriptor,))
    async with helper() as spawner:
        keys = {"fstype": "fuse", "make_directory": False}
        with anyio.fail_after(1):
            assert await seen(make(spawner, there, "server:/dead", **keys)) is Presence.ONLINE
        asking = make(spawner, there, "server:/dead", test="read", **keys)
        with anyio.fail_after(4):
            probe = await asking.probe(call(timeout_s=0.3))
        assert probe.presence is Presence.FAILED
        assert "read test: timed out" in probe.detail
        with anyio.fail_after(4):
            await done(asking.clean, CLEAN, timeout_s=3.0)
        assert not mounted(there)
    os.close(descriptor)
