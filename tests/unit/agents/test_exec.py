"""The ``exec`` type: what exit statuses mean, what a command sees, what is refused and warned of."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from failoverd.agents.exec import ExecAgent, ExecParams, ExecType
from failoverd.domain.model import Action
from failoverd.errors import SpawnFailed
from failoverd.ports import Outcome, Presence, RunResult
from tests.unit.agents.support import FakeSpawner, call, host

IN_THE_KERNEL = (
    "timed out and could not be killed: it waits for something in the kernel (storage that does not answer?)"
)
COMMANDS: dict[str, Any] = {"online": ["up"], "offline": ["down"], "monitor": ["ask"]}


def agent(spawner: FakeSpawner, **more: Any) -> ExecAgent:
    return ExecAgent(ExecParams(**{**COMMANDS, **more}), spawner)


def ended(status: int | None, **more: Any) -> RunResult:
    return RunResult(exit_status=status, **more)


@pytest.mark.parametrize(
    ("result", "presence", "detail"),
    [
        (ended(0, output="fine\n"), Presence.ONLINE, ""),
        (ended(7, output="not here\n"), Presence.OFFLINE, ""),
        (ended(1, output="one\nbroken \x1b[31mpipe\n\n"), Presence.FAILED, "monitor: exit status 1: broken  [31mpipe"),
        (ended(8), Presence.FAILED, "monitor: exit status 8"),
        (ended(127, output="sh: nope: not found"), Presence.UNKNOWN, "monitor: exit status 127: sh: nope: not found"),
        (ended(None, signal=9), Presence.UNKNOWN, "monitor: ended by signal 9"),
        (ended(None, signal=15, timed_out=True), Presence.UNKNOWN, "monitor: timed out and was ended"),
        (ended(0, timed_out=True), Presence.UNKNOWN, "monitor: timed out and was ended"),
        (
            ended(None, timed_out=True),
            Presence.UNKNOWN,
            f"monitor: {IN_THE_KERNEL}",
        ),
    ],
)
async def test_what_a_monitor_answers(result: RunResult, presence: Presence, detail: str) -> None:
    probe = await agent(FakeSpawner(result)).probe(call())
    assert (probe.presence, probe.detail) == (presence, detail)


@pytest.mark.parametrize(
    ("action", "status", "outcome"),
    [
        (Action.ONLINE, 0, Outcome.DONE),
        (Action.ONLINE, 7, Outcome.FAILED),
        (Action.ONLINE, 1, Outcome.FAILED),
        (Action.OFFLINE, 0, Outcome.DONE),
        (Action.OFFLINE, 7, Outcome.DONE),
        (Action.OFFLINE, 2, Outcome.FAILED),
        (Action.CLEAN, 7, Outcome.DONE),
        (Action.CLEAN, 1, Outcome.FAILED),
        (Action.PREPARE, 0, Outcome.DONE),
        (Action.PREPARE, 7, Outcome.FAILED),
    ],
)
async def test_what_the_exit_status_of_an_operation_means(action: Action, status: int, outcome: Outcome) -> None:
    subject = agent(FakeSpawner(ended(status, output="said\n")), prepare=["ready"])
    operation = {
        Action.ONLINE: subject.online,
        Action.OFFLINE: subject.offline,
        Action.CLEAN: subject.clean,
        Action.PREPARE: subject.prepare,
    }[action]
    result = await operation(call(action))
    assert result.outcome is outcome
    assert result.output == ("" if outcome is Outcome.DONE else "said\n"), "output only of what failed"
    assert result.detail == ("" if outcome is Outcome.DONE else f"{action}: exit status {status}: said")


async def test_an_operation_that_timed_out_or_was_killed() -> None:
    late = await agent(FakeSpawner(ended(None, signal=9, timed_out=True))).online(call(Action.ONLINE))
    assert (late.outcome, late.detail) == (Outcome.TIMED_OUT, "online: timed out and was ended")
    killed = await agent(FakeSpawner(ended(None, signal=11))).offline(call(Action.OFFLINE))
    assert (killed.outcome, killed.detail) == (Outcome.FAILED, "offline: ended by signal 11")


async def test_a_command_that_cannot_be_started() -> None:
    subject = agent(FakeSpawner(error=SpawnFailed("up: not found in PATH (/bin)")))
    result = await subject.online(call(Action.ONLINE))
    assert (result.outcome, result.detail) == (Outcome.UNAVAILABLE, "online: up: not found in PATH (/bin)")
    probe = await subject.probe(call())
    assert (probe.presence, probe.detail) == (Presence.UNKNOWN, "monitor: up: not found in PATH (/bin)")


async def test_a_shells_not_found_of_a_plain_program_is_unavailable_too() -> None:
    spawner = FakeSpawner(ended(127, output="/bin/sh: 1: no-such-program: not found\n"))
    result = await agent(spawner, online="no-such-program start").online(call(Action.ONLINE))
    assert result.outcome is Outcome.UNAVAILABLE
    assert "command no-such-program is not found in PATH" in result.detail
    inside = await agent(spawner, online="if true; then no-such-program; fi").online(call(Action.ONLINE))
    assert inside.outcome is Outcome.FAILED, "something may have been done before"


async def test_which_command_is_run_for_what() -> None:
    spawner = FakeSpawner()
    subject = agent(spawner, offline="down --now", env={"PATH": "/opt/bin", "COLOUR": "red"}, cwd="/srv")
    await subject.probe(call(timeout_s=3))
    await subject.online(call(Action.ONLINE, timeout_s=4))
    await subject.offline(call(Action.OFFLINE))
    await subject.clean(call(Action.CLEAN))
    assert (await subject.prepare(call(Action.PREPARE))).ok
    asked, onlined, offlined, cleaned = spawner.requests
    assert (asked.argv, asked.timeout_s) == (("ask",), 3)
    assert (onlined.argv, onlined.timeout_s, onlined.cwd) == (("up",), 4, "/srv")
    assert offlined.argv == ("/bin/sh", "-c", "down --now")
    assert cleaned.argv == offlined.argv, "without a clean of its own"
    assert cleaned.env["FAILOVERD_ACTION"] == "clean"


async def test_what_a_command_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    monkeypatch.setenv("SECRET", "of the daemon's own")
    monkeypatch.setenv("HOME", "/var/lib/failoverd")
    monkeypatch.delenv("TZ", raising=False)
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.delenv("LC_ALL", raising=False)
    spawner = FakeSpawner()
    await agent(spawner, env={"PATH": "/opt/bin", "COLOUR": "red"}).online(call(Action.ONLINE))
    assert spawner.requests[0].env == {
        "PATH": "/opt/bin",
        "LANG": "de_DE.UTF-8",
        "HOME": "/var/lib/failoverd",
        "COLOUR": "red",
        "FAILOVERD_CLUSTER": "shop",
        "FAILOVERD_NODE": "a",
        "FAILOVERD_GROUP": "g",
        "FAILOVERD_COMPONENT": "web",
        "FAILOVERD_ACTION": "online",
        "FAILOVERD_GENERATION": "7",
    }
    await agent(spawner, user="nobody").online(call(Action.ONLINE))
    assert "HOME" not in spawner.requests[1].env, "comes from the user's account"


@pytest.mark.parametrize(
    ("change", "place", "message"),
    [
        ({"monitor": None}, ("monitor",), "must be a command"),
        ({"online": []}, ("online",), "must be a command: a list such as"),
        ({"online": "  "}, ("online",), "must not be empty"),
        ({"online": ["sleep", 5]}, ("online",), "every word of a command must be text: put 5 in quotes"),
        ({"online": ["", "x"]}, ("online",), "the first word of a command, its program, must not be empty"),
        ({"online": "a\0b"}, ("online",), "NUL"),
        ({"start": ["x"]}, ("start",), "Extra inputs are not permitted"),
        ({"env": {"A=B": "x"}}, ("env",), "is no name of an environment variable"),
        ({"env": {"FAILOVERD_NODE": "x"}}, ("env",), "is set by failoverd itself"),
        ({"env": {"A": 1}}, ("env", "A"), "valid string"),
        ({"cwd": "srv"}, ("cwd",), "must be an absolute path"),
    ],
)
def test_parameters_that_are_refused(change: dict[str, Any], place: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ExecParams.model_validate({**COMMANDS, **change})
    (fault,) = caught.value.errors()
    assert fault["loc"] == place
    assert message in fault["msg"]


def test_monitor_is_required() -> None:
    with pytest.raises(ValidationError, match="Field required"):
        ExecParams.model_validate({"online": ["a"], "offline": ["b"]})


def test_parameters_can_be_read_back_from_what_they_dump() -> None:
    params = ExecParams(**COMMANDS, prepare="warm --up", env={"A": "1"}, user="www", cwd="/srv")
    assert ExecParams.model_validate(params.model_dump(mode="json", by_alias=True)) == params


def test_the_schema_tells_editors_what_a_command_is() -> None:
    properties = ExecParams.model_json_schema()["properties"]
    assert {one["type"] for one in properties["online"]["anyOf"]} == {"array", "string"}
    assert set(ExecParams.model_json_schema()["required"]) == {"online", "offline", "monitor"}


def test_warnings_tell_of_commands_that_cannot_be_run(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("#!/bin/sh\n", encoding="ascii")
    params = ExecParams(
        online=["no-such-program", "start"],
        offline=f"{plain} stop",
        monitor="[ -e /tmp ] && true",
        clean=["/no/such/clean"],
        prepare=[str(tmp_path)],
        env={"PATH": "/usr/bin:/bin"},
    )
    assert ExecType().warnings(params) == (
        (
            ("online", 0),
            "command no-such-program is not found in PATH (/usr/bin:/bin), or is not executable",
        ),
        (("offline",), f"command {plain} is not executable: chmod +x {plain}"),
        (("clean", 0), "command /no/such/clean does not exist"),
        (("prepare", 0), f"command {tmp_path} is not a file"),
    )
    assert ExecType().warnings(ExecParams(online="cd /srv && ./go", offline=["true"], monitor="$X; true")) == ()


def test_the_entry_in_the_table(tmp_path: Path) -> None:
    kind = ExecType()
    params = ExecParams(**COMMANDS)
    assert not kind.prepares(params)
    assert kind.prepares(ExecParams(**COMMANDS, prepare=["x"]))
    assert isinstance(kind.build(params, host(tmp_path, FakeSpawner())), ExecAgent)


async def test_it_has_no_events_of_its_own() -> None:
    assert await agent(FakeSpawner()).watch(call()) is None
