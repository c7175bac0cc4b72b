"""Resource agents in a configuration: what their meta-data make of its keys, with line and column."""

import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from failoverd.agents.ocf.family import OcfFamily, OcfType
from failoverd.agents.ocf.params import own
from failoverd.agents.ocf.reading import Reader
from failoverd.config.examination import Examination, examine
from failoverd.config.fault import Mark
from failoverd.config.findings import Findings
from failoverd.config.reader import check
from failoverd.config.settings import Report
from failoverd.config.table import AgentTable
from failoverd.domain.model import Action
from tests.unit.agents.test_ocf_metadata import GOOD
from tests.unit.config.support import TYPES, FakeMachine

PLAIN = GOOD.replace(b'<action name="promote" timeout="15s"/><action name="demote" timeout="0"/>', b"")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An OCF_ROOT with two agents, and a file that is none."""
    provider = tmp_path / "ocf" / "resource.d" / "acme"
    provider.mkdir(parents=True)
    for name in ("database", "plain", "mute"):
        (provider / name).write_text(
            '#!/bin/sh\n[ "$1" = validate-all ] && echo "ocf-exit-reason:no disk" >&2; exit 5\n'
        )
        (provider / name).chmod(0o755)
    (provider / "README").write_text("not an agent")
    return tmp_path / "ocf"


def family(root: Path) -> OcfFamily:
    def ask(path: Path, _root: Path) -> bytes:
        if path.name == "database":
            return GOOD.replace(b"</actions>", b'<action name="validate-all" timeout="5"/></actions>')
        return PLAIN if path.name == "plain" else b"nothing"

    return OcfFamily(root, Reader(root, None, ask))


def read(root: Path, component: str, *, node: str = "a", more: str = "", **keys: Any) -> Report:
    file = root.parent / "failoverd.yaml"
    file.write_text(
        f"cluster: c\nnode: {node}\n"
        "nodes: {a: {address: 127.0.0.1}, w: {address: '127.0.0.1:7802', role: witness}}\n"
        "coordinator: {type: sqlite, path: c}\ngroups:\n  g:\n    components:\n"
        f"      it: {component}\n{more}"
    )
    return check(file, AgentTable(TYPES, (family(root),)), machine=FakeMachine(), **keys)


def faults(report: Report) -> list[str]:
    return [f"{fault.line}:{fault.column}: {fault.message}" for fault in report.faults]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("params: {data: /x, prot: 1}", "unknown key 'prot' (did you mean 'port'?)"),
        ("params: {port: 1}", "'params' lacks the key 'data'"),
        ("role: promoted", "component 'it' lacks the key 'params'"),
        ("params: {data: 7}", "'data' must be a string, not 7 (put it in quotes)"),
        ("params: {data: ''}", "'data' must not be empty"),
        ("params: {data: /x, port: many}", "'port': must be a whole number"),
        ("params: {data: /x, fast: perhaps}", "'fast': must be true or false"),
        ("params: {data: /x, mode: c}", "'mode': must be a or b"),
        ("params: [data]", "'params' must be a mapping, not a list"),
        ("params: {data: /x}, rol: promoted", "unknown key 'rol' (did you mean 'role'?)"),
        ("params: {data: /x}, offline_as: unpromoted", "'offline_as: unpromoted' needs 'role: promoted'"),
        ("params: {data: /x}, env: {OCF_RESKEY_data: y}", "'env': OCF_RESKEY_data is a parameter of the agent"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(root: Path, keys: str, expected: str) -> None:
    (found,) = faults(read(root, f"{{type: 'ocf:acme:database', {keys}}}"))
    place, _, message = found.partition(": ")
    assert message.startswith(expected)
    assert place.startswith("8:")


def test_the_place_is_that_of_the_key(root: Path) -> None:
    report = read(root, "\n        type: ocf:acme:database\n        params:\n          data: /x\n          prot: 1")
    assert faults(report) == ["12:11: unknown key 'prot' (did you mean 'port'?)"]


def test_an_agent_that_is_not_there_is_a_fault_where_it_may_run(root: Path) -> None:
    component = "{type: 'ocf:acme:databse', params: {data: /x}}"
    (fault,) = faults(read(root, component))
    assert "there is no OCF agent" in fault
    assert "(did you mean 'ocf:acme:database'?)" in fault
    assert read(root, component, node="w").config is not None, "a witness needs no agents"
    (fault,) = faults(read(root, "{type: 'ocf:databse'}"))
    assert "unknown component type 'ocf:databse'" in fault


def test_a_role_that_an_agent_has_not(root: Path) -> None:
    (fault,) = faults(read(root, "{type: 'ocf:acme:plain', role: promoted, params: {data: /x}}"))
    assert "'role' must be started, not 'promoted'" in fault


def test_values_are_text_and_the_hash_is_the_same_where_nothing_is_installed(root: Path) -> None:
    component = "{type: 'ocf:acme:database', role: promoted, params: {data: /x, port: 7, fast: true}}"
    here = read(root, component).config
    (root.parent / "empty").mkdir()
    elsewhere = read(root.parent / "empty" / "ocf", component, node="w").config
    assert here is not None
    assert elsewhere is not None
    made = here.groups["g"].components["it"]
    assert made.params["params"] == {"data": "/x", "port": "7", "fast": "true"}
    assert elsewhere.groups["g"].components["it"].params == made.params
    assert elsewhere.groups["g"].config_hash == here.groups["g"].config_hash
    kind = family(root).member("ocf:acme:database")
    assert kind is not None
    assert own(kind.params.model_validate(made.params)).params.given() == made.params["params"], "reads what it dumps"


def test_time_outs_are_the_agents_own_unless_they_are_given(root: Path) -> None:
    keys = "role: promoted, params: {data: /x}, timeout: {offline: 7s}, expect: {online: 90s}"
    report = read(root, f"{{type: 'ocf:acme:database', {keys}}}")
    assert report.faults == ()
    assert report.config is not None
    timeouts = report.config.groups["g"].components["it"].timeouts
    assert timeouts.online_s == 120 + 15
    assert timeouts.offline_s == 7
    assert timeouts.probe_s == 30
    kind = family(root).member("ocf:acme:database")
    assert isinstance(kind, OcfType)
    started = kind.timeouts(kind.params.model_validate({"params": {"data": "/x"}}))
    assert (started[Action.ONLINE], started[Action.OFFLINE], started[Action.PROBE]) == (120, 120, 20)


def test_meta_data_that_cannot_be_read_are_a_warning_and_nothing_is_checked(root: Path) -> None:
    report = read(root, "{type: 'ocf:acme:mute', params: {anything: 7}}")
    assert report.faults == ()
    assert any("its meta-data cannot be read, so nothing is checked: not XML" in str(one) for one in report.warnings)
    assert report.config is not None
    assert report.config.groups["g"].components["it"].params["params"] == {"anything": "7"}


def test_a_deprecated_parameter_is_a_warning(root: Path) -> None:
    report = read(root, "{type: 'ocf:acme:database', params: {data: /x, old: y}}")
    assert any("the agent's parameter 'old' is deprecated" in str(one) for one in report.warnings)


@pytest.mark.processes
def test_a_close_look_asks_the_agent_itself(root: Path) -> None:
    component = "{type: 'ocf:acme:database', params: {data: /x}}"
    assert not any("validate-all" in str(one) for one in read(root, component).warnings), "not at every start"
    report = read(root, component, closely=True)
    assert report.config is not None, "what it misses now may be there later"
    assert any(
        "component 'it': validate-all: exit status 5 (what it needs is not installed on this node): no disk" in str(one)
        for one in report.warnings
    )
    assert not any("validate-all" in str(one) for one in read(root, component, node="w", closely=True).warnings)


def test_a_close_look_at_many_has_an_end() -> None:
    findings, looked = Findings(), []

    def look(number: int) -> tuple[str, ...]:
        looked.append(number)
        time.sleep(0.2)
        return ()

    examine(
        (Examination(Mark("f", number + 1), f"c{number}", partial(look, number)) for number in range(40)), findings, 0.1
    )
    assert len(looked) < 40
    assert len(findings.warnings) + len(looked) == 40, "each of the others is named"


def test_an_agent_that_is_replaced_is_read_anew(root: Path) -> None:
    types = family(root)
    kind = types.member("ocf:acme:plain")
    assert kind is types.member("ocf:acme:plain")
    path = root / "resource.d" / "acme" / "plain"
    path.unlink()
    gone = types.member("ocf:acme:plain")
    assert isinstance(gone, OcfType)
    assert gone.missing()
    assert types.names() == ("ocf:acme:database", "ocf:acme:mute")
    assert types.member("ocf:acme") is None
    assert types.member("ocf:../../x:y") is None


CHECKS = [
    ("check: {tcp: '127.0.0.1:80'}", ""),
    ("check: {http: 'http://127.0.0.1/', interval: 1s, timeout: 500ms, fall: 2, rise: 2}", ""),
    ("check: {command: [true]}", "every word of a command must be text"),
    ("check: {}", "needs exactly one of 'tcp', 'http' and 'command'"),
    ("check: {tcp: 'a:1', http: 'http://a/'}", "needs exactly one of"),
    ("check: {tcp: nothing}", "must be host:port"),
    ("check: {tcp: 'a:1', fall: 0}", "'fall' must be at least 1, not 0"),
    ("check: {tcp: 'a:1', intervall: 1s}", "unknown key 'intervall' (did you mean 'interval'?)"),
]


@pytest.mark.parametrize(("keys", "message"), CHECKS)
def test_health_checks_are_keys_of_any_type(root: Path, keys: str, message: str) -> None:
    for kind in ("type: 'ocf:acme:plain', params: {data: /x}", "type: lamp, socket: x"):
        found = faults(read(root, f"{{{kind}, {keys}}}"))
        assert (len(found) == 1 and message in found[0]) if message else found == []
