"""Going on alone with the data of one member: restored into a cluster of its own, and never half done."""

from pathlib import Path

import pytest

from failoverd.coordinators.etcd.managed.forcing import Forcing
from failoverd.coordinators.etcd.managed.layout import Layout
from failoverd.coordinators.etcd.managed.process import CannotRun
from failoverd.errors import SpawnFailed
from failoverd.ports import Detached, RunRequest, RunResult
from tests.unit.coordinators.managed.support import layout


class Etcdctl:
    """Restores as etcdctl does: a new directory with the data file's content and a log."""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        self.requests: list[RunRequest] = []

    async def run(self, request: RunRequest) -> RunResult:
        self.requests.append(request)
        if self.fault:
            output = f"2026 I | …\nError: {self.fault}\n"
            return RunResult(exit_status=1, signal=None, timed_out=False, output=output, truncated=False)
        restored(Path(request.argv[3]), Path(request.argv[request.argv.index("--data-dir") + 1]))
        return RunResult(exit_status=0, signal=None, timed_out=False, output="", truncated=False)

    async def detach(self, request: RunRequest, output: str | None) -> Detached:
        raise SpawnFailed(f"{request.argv[0]} is not expected ({output})")


def restored(source: Path, new: Path) -> None:
    with_data(new, source.read_text())
    (new / "member" / "wal").mkdir()
    (new / "member" / "wal" / "0.wal").touch()


def with_data(directory: Path, text: str) -> None:
    (directory / "member" / "snap").mkdir(parents=True)
    (directory / "member" / "snap" / "db").write_text(text)


def database(directory: Path) -> str:
    return (directory / "member" / "snap" / "db").read_text()


@pytest.fixture
def plan(tmp_path: Path) -> Layout:
    made = layout("w", directory=tmp_path)
    made.directory.mkdir(parents=True)
    made.force_file.touch()
    program = tmp_path / "bin" / "etcdctl"
    program.parent.mkdir()
    program.touch(mode=0o755)
    return made


def forcing(plan: Layout, etcdctl: Etcdctl) -> Forcing:
    return Forcing(plan, etcdctl, str(plan.directory.parent / "bin"))


async def test_the_data_go_on_in_a_cluster_of_one_and_what_was_there_is_kept(plan: Layout) -> None:
    with_data(plan.data_dir, "records")
    etcdctl = Etcdctl()
    await forcing(plan, etcdctl).carry_out()
    assert database(plan.data_dir) == database(plan.directory / "data.before") == "records"
    assert not plan.force_file.exists(), "an operator's word is used up"
    (request,) = etcdctl.requests
    assert request.argv[request.argv.index("--initial-cluster") + 1] == f"w={plan.peer_url('w')}"
    tokens = [request.argv[request.argv.index("--initial-cluster-token") + 1] for request in etcdctl.requests]
    plan.force_file.touch()
    await forcing(plan, etcdctl).carry_out()
    assert etcdctl.requests[1].argv[-1] not in tokens, "a member of the former cluster is none of this one"


async def test_a_loss_of_power_between_the_two_renames_is_made_good(plan: Layout) -> None:
    with_data(plan.directory / "data.before", "records")
    with_data(plan.directory / "data.restored", "half")
    await forcing(plan, Etcdctl()).carry_out()
    assert database(plan.data_dir) == "records"


async def test_what_cannot_be_restored_is_left_as_it_is(plan: Layout) -> None:
    with_data(plan.data_dir, "records")
    with pytest.raises(CannotRun, match="etcdctl snapshot restore failed: Error: disk full"):
        await forcing(plan, Etcdctl("disk full")).carry_out()
    assert database(plan.data_dir) == "records"
    assert plan.force_file.exists()


async def test_where_there_is_nothing_to_go_on_with_it_is_said(plan: Layout) -> None:
    with pytest.raises(CannotRun, match=r"there is none in .*: remove the file, or create it on a node that has data"):
        await forcing(plan, Etcdctl()).carry_out()


async def test_without_etcdctl_the_package_is_named(plan: Layout) -> None:
    with_data(plan.data_dir, "records")
    with pytest.raises(CannotRun, match="apt-get install etcd-client"):
        await Forcing(plan, Etcdctl(), "/nowhere").carry_out()
