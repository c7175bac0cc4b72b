"""What /proc says of control groups, and directories that stand for them: of trees that are not to be had here."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from failoverd.agents.process.place import Machine, Place
from failoverd.kernel import cgroups
from failoverd.kernel.cgroups import Hierarchy, group_of, hierarchies
from tests.unit.agents.support import FakeSpawner, host

MOUNTINFO = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
37 31 0:34 / /sys/fs/cgroup/freezer rw,relatime shared:9 master:3 - cgroup cgroup rw,freezer
40 31 0:37 /box /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/my\\040unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
"""


def test_hierarchies_version_two_first() -> None:
    assert hierarchies(MOUNTINFO) == (
        Hierarchy("/sys/fs/my unified", "/", ""),
        Hierarchy("/sys/fs/cgroup/freezer", "/", "freezer"),
        Hierarchy("/sys/fs/cgroup/systemd", "/box", "xattr,name=systemd"),
    )
    assert [tree.tracks for tree in hierarchies(MOUNTINFO)] == [True, False, True]
    assert hierarchies("nonsense\n\n1 2 3 - cgroup2") == ()


def test_where_a_process_is_and_which_directory_that_is() -> None:
    two, _, systemd = hierarchies(MOUNTINFO)
    own = "6:freezer:/\n1:name=systemd:/box/init.scope\n0::/a:b\n"
    assert group_of(own, two) == "/a:b"
    assert group_of(own, systemd) == "/box/init.scope"
    assert group_of("", two) is None
    assert two.place("/a") == "/sys/fs/my unified/a"
    assert systemd.place("/box/system.slice") == "/sys/fs/cgroup/systemd/system.slice"
    assert systemd.place("/elsewhere") is None


@pytest.mark.parametrize(("events", "found"), [("populated 0\nfrozen 0\n", False), ("populated 1\nfrozen 0\n", True)])
def test_version_two_says_itself_whether_it_is_empty(tmp_path: Path, events: str, *, found: bool) -> None:
    (tmp_path / "cgroup.events").write_text(events)
    (tmp_path / "cgroup.procs").write_text("")
    assert cgroups.busy(str(tmp_path)) is found


def test_version_one_is_looked_through_to_the_bottom(tmp_path: Path) -> None:
    below = tmp_path / "x" / "y"
    below.mkdir(parents=True)
    for directory in (tmp_path, tmp_path / "x", below):
        (directory / "cgroup.procs").write_text("")
    assert not cgroups.busy(str(tmp_path))
    (below / "cgroup.procs").write_text("12\n13\n")
    assert cgroups.busy(str(tmp_path))
    assert list(cgroups.pids(str(tmp_path))) == [12, 13]


def test_what_cannot_be_read_is_not_empty(tmp_path: Path) -> None:
    (tmp_path / "cgroup.events").mkdir()
    with pytest.raises(OSError, match="directory"):
        cgroups.busy(str(tmp_path))


def test_what_is_not_there_is_empty_and_gone(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    assert not cgroups.busy(nowhere)
    cgroups.kill(nowhere)
    assert cgroups.remove(nowhere)
    assert not cgroups.exists(nowhere)


@pytest.mark.processes
@pytest.mark.parametrize("file", ["cgroup.freeze", "freezer.state"])
def test_without_cgroup_kill_each_is_killed_and_frozen_meanwhile(tmp_path: Path, file: str) -> None:
    (tmp_path / file).write_text("-")
    with subprocess.Popen(["sleep", "60"]) as process:
        (tmp_path / "cgroup.procs").write_text(f"0\n{process.pid}\n999999999\n")
        cgroups.kill(str(tmp_path))
        assert process.wait(5) == -signal.SIGKILL
    assert (tmp_path / file).read_text() in ("0", "THAWED")


def test_cgroup_kill_is_written_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "cgroup.kill").write_text("")
    (tmp_path / "cgroup.procs").write_text(f"{os.getpid()}\n")
    cgroups.kill(str(tmp_path))
    assert (tmp_path / "cgroup.kill").read_text() == "1"


def test_a_unit_is_looked_for_where_systemd_keeps_it(tmp_path: Path) -> None:
    here = Machine(systemd=True, home=None, slices=("/a/system.slice", "/b/system.slice"))
    place = Place.of(host(tmp_path, FakeSpawner()), here)
    assert place.unit.startswith("failoverd-g@web-")
    assert place.directories == (f"/a/system.slice/{place.unit}", f"/b/system.slice/{place.unit}")
