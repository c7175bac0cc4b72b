"""Which files the sqlite coordinator refuses to begin with."""

import os
import sqlite3
from pathlib import Path

import pytest

from failoverd.clock import BootClock
from failoverd.coordinators.sqlite import SqliteCoordinator
from failoverd.coordinators.sqlite_place import file_system, is_network
from failoverd.errors import StartupError
from failoverd.ports import Put

MOUNTINFO = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:40 / /srv rw shared:5 master:2 - nfs4 host:/export rw
31 30 8:2 / /srv/local\\040disk rw - xfs /dev/vdb rw
32 22 0:41 / /mnt rw - ext4 /dev/vdc rw
33 32 0:42 / /mnt rw - fuse.sshfs user@host: rw
mangled line
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/x.db", "ext4"),
        ("/srv/x.db", "nfs4"),
        ("/srv/local disk/x.db", "xfs"),
        ("/srvother/x.db", "ext4"),
        ("/mnt/x.db", "fuse.sshfs"),
    ],
)
def test_file_system_is_that_of_the_deepest_mount_on_top(path: str, kind: str) -> None:
    assert file_system(Path(path), MOUNTINFO) == kind


def test_network_file_systems_are_known() -> None:
    assert all(map(is_network, ("nfs", "nfs4", "cifs", "9p", "fuse", "fuse.sshfs", "fuseblk", "ceph")))
    assert not any(map(is_network, ("ext4", "xfs", "btrfs", "overlay", "tmpfs", "zfs")))


async def refusal(path: Path) -> str:
    with pytest.raises(StartupError) as caught:
        await SqliteCoordinator.open(path, request_timeout_s=0.5, clock=BootClock())
    return str(caught.value)


async def test_missing_directory(tmp_path: Path) -> None:
    assert f"the directory {tmp_path}/none does not exist" in await refusal(tmp_path / "none" / "x.db")
    assert not (tmp_path / "none").exists()


async def test_not_a_regular_file(tmp_path: Path) -> None:
    (tmp_path / "x.db").mkdir()
    assert "not a regular file" in await refusal(tmp_path / "x.db")


@pytest.mark.parametrize(
    "content", [b"cluster: shop\n", b"\x00\x01\x02" * 5000, b"SQLite format 3\x00" + b"\xee" * 5000]
)
async def test_file_of_something_else_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(content)
    assert str(path) in await refusal(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("mode", ["wal", "delete"])
async def test_database_of_something_else_is_left_as_it_is(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "x.db"
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA journal_mode={mode}")
    db.execute("CREATE TABLE invoices (number)")
    db.commit()
    db.close()
    before = path.read_bytes()
    assert "database of something else" in await refusal(path)
    assert path.read_bytes() == before


async def test_newer_schema(tmp_path: Path) -> None:
    path = await made(tmp_path)
    change(path, "UPDATE store SET schema = 2")
    assert "written by a newer failoverd (schema 2" in await refusal(path)


async def test_our_own_row_missing(tmp_path: Path) -> None:
    path = await made(tmp_path)
    change(path, "DELETE FROM store")
    assert "damaged" in await refusal(path)


async def test_damaged_pages(tmp_path: Path) -> None:
    path = await made(tmp_path)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))
    assert str(path) in await refusal(path)


async def test_locked_for_too_long_is_said_so(tmp_path: Path) -> None:
    path = await made(tmp_path)
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(StartupError, match="locked by another process"):
            await SqliteCoordinator.open(path, request_timeout_s=0.2, clock=BootClock(), open_timeout_s=0.2)
    finally:
        db.close()


async def test_only_our_own_user_may_read_it(tmp_path: Path) -> None:
    path = await made(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600


async def test_empty_file_becomes_a_store_and_symbolic_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real.db").touch()
    (tmp_path / "link.db").symlink_to(tmp_path / "real.db")
    for name in ("link.db", "real.db"):
        coordinator = await SqliteCoordinator.open(tmp_path / name, request_timeout_s=2, clock=BootClock())
        try:
            assert (await coordinator.commit([], [Put("k", name.encode())])).ok
        finally:
            await coordinator.aclose()
    assert (tmp_path / "real.db").stat().st_size > 0


async def made(directory: Path) -> Path:
    path = directory / "x.db"
    coordinator = await SqliteCoordinator.open(path, request_timeout_s=2, clock=BootClock())
    try:
        await coordinator.commit([], [Put("k", b"1")])
    finally:
        await coordinator.aclose()
    return path


def change(path: Path, statement: str) -> None:
    db = sqlite3.connect(path)
    db.execute(statement)
    db.commit()
    db.close()
