"""A guard's sweep through control groups: whoever has left session and environment behind is in one all the same."""

import signal
import subprocess
from pathlib import Path

import pytest

from failoverd.guard.orders import order
from failoverd.guard.protocol import decode
from failoverd.guard.sweep import Sweep
from failoverd.kernel import cgroups
from failoverd.ports import MarkWill
from tests.unit.agents.test_process_cgroup import homes
from tests.unit.guard.support import alive, marked, until

KEY = ("g", "c")


class Report:
    """What the sweep tells the guard."""

    def __init__(self) -> None:
        self.told: list[bytes] = []

    def send(self, packet: bytes) -> int:
        self.told.append(packet)
        return len(packet)


def sweep_of(*groups: str) -> Sweep:
    return Sweep({KEY: order(marked("nobody-carries-this", *groups))})


@pytest.mark.processes
@pytest.mark.parametrize("version", ["v2", "v1"])
def test_a_control_group_is_emptied_and_removed(tmp_path: Path, version: str) -> None:
    home = homes().get(version)
    if home is None:
        pytest.skip(f"no tree of control groups of {version} is mounted here and writable (needs root)")
    group = Path(home) / f"failoverd-test-{tmp_path.name}-{version}"
    group.mkdir()
    (group / "below").mkdir()
    script = f"echo $$ > {group}/below/cgroup.procs; trap '' TERM; (setsid sleep 60 &); touch {tmp_path}/up; sleep 60"
    with subprocess.Popen(["sh", "-c", script], env={}, start_new_session=True) as process:
        until((tmp_path / "up").exists, "it runs")
        inside = set(cgroups.pids(str(group)))
        assert process.pid in inside
        report = Report()
        sweep_of(str(group), f"{home}/not-there").run(report)
        assert process.wait(5) == -signal.SIGKILL
    assert not any(alive(pid) for pid in inside)
    assert not group.exists()
    assert decode(report.told[0])["left"][0][:2] == list(KEY)
    assert decode(report.told[-1])["left"] == []


def test_a_control_group_that_cannot_be_looked_into_is_not_taken_for_empty(tmp_path: Path) -> None:
    (tmp_path / "cgroup.events").mkdir()
    assert sweep_of(str(tmp_path)).walk() == {0: [0]}


def test_a_will_of_an_earlier_version_names_no_control_groups() -> None:
    will = order(MarkWill(mark="M=nobody-carries-this/"))
    del will["cgroups"]
    assert Sweep({KEY: will}).walk() == {}
