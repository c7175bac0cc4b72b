"""Fence devices in the file: levels, secrets, and parameters that the agents do not know or lack."""

from pathlib import Path

import pytest

from failoverd.config.fencing import AgentFacts
from failoverd.config.reader import check
from failoverd.config.settings import FenceConfirm, FenceDevice, Report
from tests.unit.config.support import HEAD, TYPES, FakeMachine, write

FACTS = AgentFacts(
    parameters=frozenset({"action", "ip", "ipaddr", "plug", "username", "password", "lanplus"}),
    required=(frozenset({"action"}), frozenset({"ip", "ipaddr"}), frozenset({"plug"})),
    actions=frozenset({"off", "on", "status", "monitor"}),
)
WITHOUT_STATUS = AgentFacts(parameters=frozenset({"action"}), required=(), actions=frozenset({"off"}))
STORAGE = AgentFacts(
    parameters=frozenset({"action"}), required=(), actions=frozenset({"off", "status"}), storage_only=True
)
KNOWN = {"fence_x": FACTS, "fence_ping": WITHOUT_STATUS, "fence_scsi": STORAGE}


def inspect(agent: str) -> AgentFacts | str:
    return KNOWN.get(agent, f"the fence agent {agent} is not on this machine")


def report(tmp_path: Path, fencing: str, *, asked: bool = True) -> Report:
    path = write(tmp_path / "failoverd.yaml", f"{HEAD}fencing:\n{fencing}\n")
    return check(path, TYPES, machine=FakeMachine(), inspect=inspect if asked else None)


def faults(tmp_path: Path, fencing: str) -> list[str]:
    return [f"{f.line}:{f.column}: {f.message}" for f in report(tmp_path, fencing).faults]


def warnings(tmp_path: Path, fencing: str) -> list[str]:
    found = report(tmp_path, fencing)
    assert found.faults == ()
    return [f"{w.line}:{w.column}: {w.message}" for w in found.warnings if "cluster.key" not in w.message]


def test_levels_devices_and_their_defaults(tmp_path: Path) -> None:
    text = """\
  a:
    - agent: fence_x
      params: {ip: 10.9.0.1, plug: 1, lanplus: true, password_file: ipmi}
      timeout: 20s
      retries: 0
      delay: 2s
      confirm: status
    - [{agent: fence_y, params: {plug: 1}}, {agent: fence_y, params: {plug: 2}}]
"""
    config = report(tmp_path, text, asked=False).config
    assert config is not None
    first, second = config.fencing["a"]
    assert first == (
        FenceDevice(
            agent="fence_x",
            params={"ip": "10.9.0.1", "plug": 1, "lanplus": True},
            secret_files={"password": tmp_path / "ipmi"},
            timeout_s=20.0,
            retries=0,
            delay_s=2.0,
            confirm=FenceConfirm.STATUS,
        ),
    )
    assert [device.params for device in second] == [{"plug": 1}, {"plug": 2}]
    assert (second[0].timeout_s, second[0].retries, second[0].confirm) == (60.0, 1, FenceConfirm.AGENT)


@pytest.mark.parametrize(
    ("device", "fault"),
    [
        ("{agent: fence_x, params: {action: reboot}}", "action is what failoverd itself says to the agent"),
        ("{agent: fence_x, params: {option: 'on'}}", "option is what failoverd itself says to the agent"),
        ('{agent: fence_x, params: {ip: "1\\naction=on"}}', "ip must be one line of text"),
        ("{agent: fence_x, params: {'a b': 1}}", "cannot be the name of a parameter"),
        ("{agent: fence_x, params: {password: x, password_file: y}}", "are the same parameter"),
        ("{agent: fence_x, retries: -1}", "'retries' must be at least 0"),
        ("{agent: fence_x, confirm: hope}", "'confirm' must be agent or status"),
        ("{agent: 'fence x; rm'}", "agent"),
    ],
)
def test_what_is_refused_whatever_the_agent(tmp_path: Path, device: str, fault: str) -> None:
    (found,) = report(tmp_path, f"  a: [{device}]", asked=False).faults
    assert fault in found.message


def test_unknown_and_missing_parameters_have_their_place(tmp_path: Path) -> None:
    text = "  a: [{agent: fence_x, params: {ipp: 10.9.0.1, plug: 1}}]"
    assert faults(tmp_path, text) == [
        "8:32: fence_x needs the parameter ip or ipaddr",
        "8:33: fence_x has no parameter 'ipp' (did you mean 'ip'?)",
    ]


def test_a_secret_in_a_file_counts_as_the_parameter_and_an_older_name_as_the_newer(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("x")
    (tmp_path / "pw").chmod(0o600)
    text = "  b: [{agent: fence_x, params: {ipaddr: 10.9.0.1, plug: 1, password_file: pw}}]"
    assert warnings(tmp_path, text) == []


def test_an_agent_without_the_action_that_is_to_confirm_is_a_fault(tmp_path: Path) -> None:
    assert faults(tmp_path, "  a: [{agent: fence_ping, confirm: status}]") == [
        "8:36: fence_ping has no action 'status' that could confirm anything"
    ]


def test_an_agent_that_is_not_here_is_only_a_warning(tmp_path: Path) -> None:
    assert warnings(tmp_path, "  a: [{agent: fence_z}]") == ["8:15: the fence agent fence_z is not on this machine"]


def test_agents_that_leave_a_machine_running_are_warned_of(tmp_path: Path) -> None:
    found = warnings(tmp_path, "  a: [{agent: fence_scsi}, {agent: fence_ping}]")
    assert found[0].startswith("8:15: fence_scsi only cuts a machine off its storage")
    assert found[1] == "8:36: fence_ping cannot tell whether a machine is off: it is no proof of it"


def test_secrets_in_clear_missing_or_open_to_others_are_warned_of(tmp_path: Path) -> None:
    (tmp_path / "open").write_text("x")
    (tmp_path / "open").chmod(0o644)
    both = "ip: 1, plug: 1"
    text = f"""\
  b:
    - {{agent: fence_x, params: {{{both}, password: x}}}}
    - {{agent: fence_x, params: {{{both}, password_file: none}}}}
    - {{agent: fence_x, params: {{{both}, password_file: open}}}}
"""
    open_to_others = "holds a secret, and others than its owner may read it: chmod 600"
    assert warnings(tmp_path, text) == [
        "9:49: 'password' stands here in clear: put it into a file and write 'password_file'",
        f"10:64: the file {tmp_path}/none does not exist",
        f"11:64: the file {tmp_path}/open {open_to_others} {tmp_path}/open",
    ]


def test_what_only_the_others_need_is_not_missed_here(tmp_path: Path) -> None:
    """Node a, which reads this file, is not the one that switches a off."""
    assert warnings(tmp_path, "  a: [{agent: fence_x, params: {ip: 1, plug: 1, password_file: none}}]") == []


def test_a_level_is_never_empty(tmp_path: Path) -> None:
    assert faults(tmp_path, "  a: [[]]") == ["8:7: a level must have at least one device"]
