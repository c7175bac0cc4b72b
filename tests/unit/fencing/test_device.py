"""What a fence agent is told, and what its answers confirm: only what is certain."""

from pathlib import Path
from typing import Any

import pytest

from failoverd.config.settings import FenceConfirm, FenceDevice
from failoverd.errors import SpawnerLost, SpawnFailed
from failoverd.fencing.device import Device
from failoverd.fencing.fencer import StandardFencer
from failoverd.ports import Detached, RunRequest, RunResult

OFF, ON = RunResult(exit_status=2), RunResult(exit_status=0)
DONE, FAILED = RunResult(exit_status=0), RunResult(exit_status=1, output="chassis does not answer\n")
LATE = RunResult(exit_status=0, timed_out=True)
KILLED = RunResult(exit_status=None, signal=9, timed_out=True)
SEGFAULT = RunResult(exit_status=None, signal=11)


class Answers:
    """A spawner that answers by action, and remembers what the agents read."""

    def __init__(self, **answers: RunResult | SpawnFailed) -> None:
        self.answers = answers
        self.requests: list[RunRequest] = []

    async def run(self, request: RunRequest) -> RunResult:
        self.requests.append(request)
        found = self.answers[given(request)["action"]]
        if isinstance(found, SpawnFailed):
            raise found
        return found

    async def detach(self, request: RunRequest, output: str | None) -> Detached:
        raise NotImplementedError

    def actions(self) -> list[str]:
        return [given(request)["action"] for request in self.requests]


def given(request: RunRequest) -> dict[str, str]:
    assert request.input is not None
    assert request.input.endswith("\n")
    return dict(line.split("=", 1) for line in request.input.splitlines())


def settings(**fields: Any) -> FenceDevice:
    return FenceDevice(**{"agent": "fence_x", "params": {"ip": "10.9.0.1", "lanplus": True, "plug": 3}, **fields})


def secret(tmp_path: Path, text: str = "s3cret=x y\n") -> Path:
    path = tmp_path / "password"
    path.write_text(text)
    return path


async def test_parameters_go_to_standard_input_one_a_line_with_the_action_last() -> None:
    spawner = Answers(off=DONE)
    await Device("a", settings(timeout_s=7.0), spawner).off()
    (request,) = spawner.requests
    assert request.input == "nodename=a\nip=10.9.0.1\nlanplus=1\nplug=3\naction=off\n"
    assert request.argv == ("fence_x",)
    assert request.timeout_s == 7.0
    assert request.leave_nothing
    assert set(request.env) == {"PATH", "LC_ALL"}


async def test_a_secret_is_read_from_its_file_and_is_nowhere_but_on_standard_input(tmp_path: Path) -> None:
    said = RunResult(exit_status=1, output="login as ha with s3cret=x y failed\n")
    spawner = Answers(off=said)
    found = await Device("a", settings(secret_files={"password": secret(tmp_path)}), spawner).off()
    (request,) = spawner.requests
    assert given(request)["password"] == "s3cret=x y"
    assert "s3cret" not in repr(request)
    assert "s3cret" not in found.detail + found.output
    assert found.output == "login as ha with *** failed\n"
    assert not found.off


@pytest.mark.parametrize("text", ["", "\n", "one\ntwo\n", "x" * 5000, "nul\0"])
async def test_a_file_that_holds_no_secret_is_told_and_the_agent_not_called(tmp_path: Path, text: str) -> None:
    spawner = Answers(off=DONE)
    found = await Device("a", settings(secret_files={"password": secret(tmp_path, text)}), spawner).off()
    assert (found.off, spawner.requests) == (False, [])
    assert found.detail.endswith("/password: must hold one line of at most 4096 bytes, and nothing else")


async def test_a_secret_that_was_read_on_suspicion_need_not_be_read_again(tmp_path: Path) -> None:
    spawner, path = Answers(off=DONE), secret(tmp_path, "one")
    device = Device("a", settings(secret_files={"password": path}), spawner)
    device.prepare()
    path.unlink()
    assert (await device.off()).off
    device.prepare()
    assert "No such file" in (await device.off()).detail


@pytest.mark.parametrize(
    ("answer", "off"),
    [(DONE, True), (FAILED, False), (LATE, False), (KILLED, False), (SEGFAULT, False), (OFF, False)],
)
async def test_only_an_off_that_succeeded_in_time_confirms(answer: RunResult, off: bool) -> None:
    spawner = Answers(off=answer)
    found = await Device("a", settings(), spawner).off()
    assert (found.off, found.agent) == (off, "fence_x")
    assert spawner.actions() == ["off"]


@pytest.mark.parametrize(
    ("answer", "off", "detail"),
    [
        (OFF, True, "its status is off"),
        (ON, False, "off said that it was done, but its status is on"),
        (FAILED, False, "its status is not known: exit status 1: chassis does not answer"),
        (KILLED, False, "its status is not known: timed out and was ended"),
        (RunResult(exit_status=2, timed_out=True), False, "its status is not known"),
    ],
)
async def test_where_asked_for_only_a_status_of_off_confirms(answer: RunResult, off: bool, detail: str) -> None:
    spawner = Answers(off=DONE, status=answer)
    found = await Device("a", settings(confirm=FenceConfirm.STATUS), spawner).off()
    assert found.off is off
    assert detail in found.detail
    assert spawner.actions() == ["off", "status"]


async def test_an_off_that_failed_is_not_made_good_by_a_status() -> None:
    """An agent that is broken ends with 2 for whatever it is asked."""
    spawner = Answers(off=FAILED, status=OFF)
    assert not (await Device("a", settings(confirm=FenceConfirm.STATUS), spawner).off()).off
    assert spawner.actions() == ["off"]


@pytest.mark.parametrize("failure", [SpawnFailed("fence_x: not found in PATH"), SpawnerLost("the helper has ended")])
async def test_an_agent_that_cannot_be_started_confirms_nothing(failure: SpawnFailed) -> None:
    found = await Device("a", settings(), Answers(off=failure)).off()
    assert (found.off, found.detail) == (False, str(failure))


async def test_all_devices_of_a_level_must_confirm() -> None:
    levels = {"a": ((settings(agent="fence_psu"), settings(agent="fence_psu", confirm=FenceConfirm.STATUS)),)}
    one_on = StandardFencer(levels, Answers(off=DONE, status=ON))
    found = await one_on.off("a", 0)
    assert (found.off, found.agent) == (False, "fence_psu")
    assert found.detail == "off said that it was done, but its status is on"
    both_off = StandardFencer(levels, Answers(off=DONE, status=OFF))
    assert (await both_off.off("a", 0)).off


def test_levels_say_how_long_they_may_take() -> None:
    quick, slow = settings(timeout_s=5.0, retries=0), settings(timeout_s=20.0, retries=2, delay_s=3.0)
    checked = settings(agent="/opt/fence_y", timeout_s=5.0, confirm=FenceConfirm.STATUS)
    subject = StandardFencer({"a": ((quick, slow), (checked,))}, Answers())
    first, second = subject.levels("a")
    assert (first.agents, first.attempt_s, first.attempts, first.delay_s) == (("fence_x", "fence_x"), 22.0, 3, 3.0)
    assert (second.agents, second.attempt_s, second.attempts) == (("fence_y",), 14.0, 2)
    assert first.longest_s == 3.0 + 3 * 22.0
    assert subject.levels("b") == ()


async def test_other_devices_can_be_taken_over_and_a_level_that_is_gone_confirms_nothing(tmp_path: Path) -> None:
    subject = StandardFencer({"a": ((settings(secret_files={"password": tmp_path / "none"}),),)}, Answers(off=DONE))
    await subject.prepare("a")
    await subject.prepare("nobody")
    subject.reconfigure({"b": ((settings(),),)})
    assert (subject.levels("a"), len(subject.levels("b"))) == ((), 1)
    assert not (await subject.off("a", 0)).off
    assert (await subject.off("b", 0)).off
