"""Fence devices are asked whether they work, and never switched."""

from pathlib import Path

import pytest

from failoverd.config.settings import FenceDevice
from failoverd.fencing.trial import Tried, try_all
from tests.daemon.support import until

pytestmark = pytest.mark.processes

METADATA = "<resource-agent><actions><action name='off'/>{}</actions></resource-agent>"


def agent(directory: Path, script: str, *, name: str = "fence_it", actions: str = "<action name='status'/>") -> str:
    """An agent that writes down what it is asked; ``script`` is its answer to everything but ``metadata``."""
    path = directory / name
    path.write_text(
        "#!/bin/sh\n"
        f"input=$(cat); action=$(echo \"$input\" | sed -n 's/^action=//p'); echo $action >> {directory}/asked\n"
        f'[ "$action" = metadata ] && {{ echo "{METADATA.format(actions)}"; exit 0; }}\n{script}\n'
    )
    path.chmod(0o700)
    return str(path)


def device(program: str, **fields: object) -> FenceDevice:
    return FenceDevice(agent=program, **{"params": {}, "secret_files": {}, "timeout_s": 20.0, **fields})  # type: ignore[arg-type]


def tried(*devices: FenceDevice) -> Tried:
    (found,) = try_all({"b": (devices,)})
    return found


@pytest.mark.parametrize(
    ("script", "works", "answer"),
    [
        ("exit 0", True, "the machine is on"),
        ("exit 2", True, "the machine is off"),
        ("echo no route >&2; exit 1", False, "exit status 1: no route"),
        ("kill -9 $$", False, "ended by signal 9"),
    ],
)
def test_the_status_is_told(tmp_path: Path, script: str, works: bool, answer: str) -> None:
    found = tried(device(agent(tmp_path, script)))
    assert (found.node, found.level, found.works, found.action, found.answer) == ("b", 1, works, "status", answer)


def test_nothing_is_ever_switched(tmp_path: Path) -> None:
    tried(device(agent(tmp_path, "exit 0")))
    assert (tmp_path / "asked").read_text().split() == ["metadata", "status"]


def test_an_agent_without_status_is_asked_to_monitor(tmp_path: Path) -> None:
    found = tried(device(agent(tmp_path, "exit 0", actions="<action name='monitor'/>")))
    assert (found.works, found.action, found.answer) == (True, "monitor", "the device answers")


def test_an_agent_that_can_tell_nothing_does_not_work(tmp_path: Path) -> None:
    found = tried(device(agent(tmp_path, "exit 0", actions="")))
    assert not found.works
    assert "neither status nor monitor" in found.answer


def test_a_device_that_does_not_answer_is_given_up_and_nothing_of_it_is_left(tmp_path: Path) -> None:
    found = tried(device(agent(tmp_path, f"sleep 600 & echo $! > {tmp_path}/pid; wait"), timeout_s=0.5))
    assert not found.works
    assert found.answer == "no answer within 0.5s (its timeout)"
    left = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}/stat")
    until(lambda: not left.exists() or left.read_text().rpartition(")")[2].split()[0] in {"Z", "X"})


def test_a_secret_is_given_and_never_shown(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("open sesame\n")
    program = agent(tmp_path, "echo \"$input\" | sed -n 's/^password=/bad password /p' >&2; exit 1")
    found = tried(device(program, secret_files={"password": secret}))
    assert found.answer == "exit status 1: bad password ***"
    missing = tried(device(program, secret_files={"password": tmp_path / "none"}))
    assert (missing.works, missing.answer) == (False, f"{tmp_path}/none: No such file or directory")


def test_levels_and_their_devices_are_all_tried(tmp_path: Path) -> None:
    good, bad = agent(tmp_path, "exit 0", name="good"), agent(tmp_path, "exit 1", name="bad")
    found = try_all({"b": ((device(good), device(bad)), (device(good),)), "c": ((device("fence_nowhere"),),)})
    assert [(each.node, each.level, each.agent, each.works) for each in found] == [
        ("b", 1, "good", True),
        ("b", 1, "bad", False),
        ("b", 2, "good", True),
        ("c", 1, "fence_nowhere", False),
    ]
