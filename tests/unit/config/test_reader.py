"""From a file to a ``Config``: defaults, every key, hashes."""

from dataclasses import replace
from pathlib import Path

import pytest

from failoverd.config.durations import format_duration
from failoverd.config.fault import ConfigError, Mark
from failoverd.config.findings import FAULTS_MAX, Findings
from failoverd.config.groups import config_hash
from failoverd.config.reader import check, load
from failoverd.config.settings import (
    EtcdSettings,
    FenceDevice,
    HeartbeatSettings,
    SqliteSettings,
    TlsSettings,
)
from failoverd.domain.lease import LeaseAction, LeaseSettings
from failoverd.domain.model import (
    Component,
    Expected,
    Group,
    GroupMode,
    HandoverMode,
    MonitorPolicy,
    OnFault,
    OnOfflineFailure,
    OnStop,
    PlacementPolicy,
    RequiredFault,
    Requirement,
    RestartPolicy,
    Timeouts,
    Where,
)
from tests.unit.config.support import EXEC, HEAD, TYPES, FakeMachine, checked, loaded, write

LAMP = "{type: lamp, socket: kitchen}"


def one(tmp_path: Path, component: str) -> Component:
    return (
        loaded(tmp_path, f"{HEAD}groups: {{shop: {{components: {{it: {component}}}}}}}\n")
        .groups["shop"]
        .components["it"]
    )


def test_defaults(tmp_path: Path) -> None:
    config = loaded(tmp_path, HEAD)
    assert (config.cluster, config.node, list(config.nodes)) == ("shop", "a", ["a", "b"])
    assert config.coordinator == SqliteSettings(path=tmp_path / "cluster.db")
    assert config.heartbeat == HeartbeatSettings(interval_s=0.1, dead_after_s=1.0)
    assert config.lease == LeaseSettings.of()
    assert (config.key_file, config.state_dir, config.run_dir) == (
        Path("/etc/failoverd/cluster.key"),
        Path("/var/lib/failoverd"),
        Path("/run/failoverd"),
    )
    assert not config.groups
    assert not config.fencing


def test_null_is_as_good_as_not_given_where_a_key_is_optional(tmp_path: Path) -> None:
    head = HEAD.replace("node: a", "node:")
    text = head + "run_dir:\ngroups:\nfencing: ~\n"
    config = check(write(tmp_path / "f.yaml", text), TYPES, machine=FakeMachine(hostname="b")).config
    assert config is not None
    assert (config.node, config.run_dir) == ("b", Path("/run/failoverd"))


def test_component_defaults_are_those_of_the_domain(tmp_path: Path) -> None:
    expected = Component(name="it", type="lamp", params={"socket": "kitchen", "fade": "2s", "warm_up": False})
    assert one(tmp_path, LAMP) == expected


def test_group_defaults_are_those_of_the_domain(tmp_path: Path) -> None:
    group = loaded(tmp_path, f"{HEAD}groups: {{shop: {{components: {{it: {LAMP}}}}}}}\n").groups["shop"]
    assert replace(group, config_hash="") == Group(name="shop", nodes=("a", "b"), components=group.components)


def test_every_key_of_a_component(tmp_path: Path) -> None:
    component = one(
        tmp_path,
        """{
        type: lamp, socket: hall, fade: 1500ms, warm_up: true, on_fault: failover, critical: false,
        monitor: {interval: 5s, fall: 3, rise: 2}, restart: {attempts: 4, window: 1h, backoff: 2s},
        handover: make_first, on_offline_failure: fence,
        expect: {online: 1s, offline: 500ms, prepare: 0s},
        timeout: {online: 1s, offline: 2s, monitor: 3s, clean: 4s, prepare: 5s}}""",
    )
    assert component == Component(
        name="it",
        type="lamp",
        params={"socket": "hall", "fade": "1.5s", "warm_up": True},
        handover=HandoverMode.MAKE_FIRST,
        has_prepare=True,
        critical=False,
        on_fault=OnFault.FAILOVER,
        restart=RestartPolicy(attempts=4, window_s=3600.0, backoff_s=2.0),
        on_offline_failure=OnOfflineFailure.FENCE,
        monitor=MonitorPolicy(interval_s=5.0, fall=3, rise=2),
        timeouts=Timeouts(online_s=1.0, offline_s=2.0, probe_s=3.0, clean_s=4.0, prepare_s=5.0),
        expect=Expected(online_s=1.0, offline_s=0.5, prepare_s=0.0),
    )


def test_every_key_of_a_group(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        f"""{HEAD}
groups:
  shop:
    nodes: [b, a]
    mode: parallel
    on_stop: leave
    fault_expiry: 30m
    max_moves: 3 per 10m
    failback: {{after: 1m}}
    placement: load
    requires: [{{group: base, where: other_node, on_fault: stay}}, {{group: base}}]
    components: {{lamp: {LAMP}, db: {EXEC[:-1]}, depends_on: [lamp]}}}}
  base:
    components: {{it: {LAMP}}}
""",
    )
    group = config.groups["shop"]
    assert replace(group, components={}, config_hash="") == Group(
        name="shop",
        nodes=("b", "a"),
        components={},
        mode=GroupMode.PARALLEL,
        on_stop=OnStop.LEAVE,
        fault_expiry_s=1800.0,
        max_moves=3,
        move_window_s=600.0,
        failback_after_s=60.0,
        placement=PlacementPolicy.LOAD,
        requires=(
            Requirement(group="base", where=Where.OTHER_NODE, on_fault=RequiredFault.STAY),
            Requirement(group="base"),
        ),
    )
    assert group.components["db"].depends_on == ("lamp",)


def test_settings(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        """\
cluster: shop
node: a
nodes: {a: {address: 10.0.0.1}}
coordinator:
  type: etcd
  endpoints: ["https://10.0.0.1:2379"]
  tls: {ca: ca.pem, cert: /c.pem, key: /k.pem}
  username: ha
  password_file: pw
heartbeat: {interval: 50ms, dead_after: 500ms}
lease: {ttl: 6s, renew: 1s, request_timeout: 500ms, self_stop: 3s, failsafe: 7s, action: reboot}
fencing: {a: [{agent: fence_x, params: {ip: 10.9.0.1, port: 7, secure: true}, timeout: 20s}]}
""",
    )
    assert config.coordinator == EtcdSettings(
        endpoints=("https://10.0.0.1:2379",),
        tls=TlsSettings(ca=tmp_path / "ca.pem", cert=Path("/c.pem"), key=Path("/k.pem")),
        username="ha",
        password_file=tmp_path / "pw",
    )
    assert config.heartbeat == HeartbeatSettings(interval_s=0.05, dead_after_s=0.5)
    assert config.lease == LeaseSettings(
        ttl_s=6.0, renew_s=1.0, request_timeout_s=0.5, self_stop_s=3.0, failsafe_s=7.0, action=LeaseAction.REBOOT
    )
    device = FenceDevice(agent="fence_x", params={"ip": "10.9.0.1", "port": 7, "secure": True}, timeout_s=20.0)
    assert config.fencing == {"a": ((device,),)}


@pytest.mark.parametrize(
    ("monitor", "command", "interval_s", "probe_s"),
    [
        ('"true"', "true", 10.0, 10.0),
        ("[run-job, status]", ["run-job", "status"], 10.0, 10.0),
        ("{command: [run-job, status], interval: 3s}", ["run-job", "status"], 3.0, 10.0),
        ('{command: "true", timeout: 2s}', "true", 10.0, 2.0),
    ],
)
def test_monitor_is_a_command_or_a_mapping_with_one(
    tmp_path: Path, monitor: str, command: object, interval_s: float, probe_s: float
) -> None:
    component = one(tmp_path, f'{{type: exec, online: "true", offline: "true", monitor: {monitor}}}')
    assert component.params["monitor"] == command
    assert component.monitor.interval_s == interval_s
    assert component.timeouts.probe_s == probe_s


def test_parameters_can_be_read_back_by_their_agent(tmp_path: Path) -> None:
    component = one(tmp_path, "{type: lamp, socket: hall, fade: 90s}")
    params = TYPES["lamp"].params.model_validate(dict(component.params))
    assert params.model_dump() == {"socket": "hall", "fade": 90.0, "warm_up": False}


def test_anchors_and_merge_keys_serve_for_common_settings(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        f"""{HEAD}
x-slow: &slow {{timeout: {{online: 5m}}, type: lamp}}
groups:
  shop:
    components:
      one: {{<<: *slow, socket: hall}}
      two: {{<<: *slow, socket: attic, timeout: {{online: 1m}}}}
""",
    )
    components = config.groups["shop"].components
    assert [components[name].timeouts.online_s for name in ("one", "two")] == [300.0, 60.0]


def hash_of(tmp_path: Path, groups: str) -> str:
    return loaded(tmp_path, HEAD + groups).groups["shop"].config_hash


def test_hash_depends_on_meaning_alone(tmp_path: Path) -> None:
    """Two nodes with the same group must agree, however their files are laid out."""
    plain = hash_of(tmp_path, f"groups: {{shop: {{nodes: [a, b], components: {{x: {LAMP}, y: {EXEC}}}}}}}\n")
    write(tmp_path / "shop.yaml", f"groups:\n  shop:\n    components:\n      y: {EXEC}\n      x: {LAMP}\n")
    assert hash_of(tmp_path, "include: shop.yaml\nlease: {ttl: 9s}\nrun_dir: /other\n") == plain
    spelt = "{fade: 2000ms, socket: kitchen, type: lamp, critical: true, monitor: {interval: 10000ms}}"
    assert hash_of(tmp_path, f"groups: {{shop: {{components: {{x: {spelt}, y: {EXEC}}}}}}}\n") == plain
    assert len(plain) == 16
    assert set(plain) <= set("0123456789abcdef")


@pytest.mark.parametrize(
    "groups",
    [
        f"groups: {{shop: {{nodes: [b, a], components: {{x: {LAMP}}}}}}}",
        f"groups: {{shop: {{components: {{x: {LAMP}, y: {LAMP}}}}}}}",
        "groups: {shop: {components: {x: {type: lamp, socket: cellar}}}}",
        "groups: {shop: {components: {x: {type: lamp, socket: kitchen, timeout: {clean: 31s}}}}}",
        f"groups: {{shop: {{max_moves: 4 per 1h, components: {{x: {LAMP}}}}}}}",
        f"groups: {{shop: {{placement: spread, components: {{x: {LAMP}}}}}}}",
        f"groups: {{shop: {{requires: [{{group: o}}], components: {{x: {LAMP}}}}}, o: {{components: {{x: {LAMP}}}}}}}",
    ],
)
def test_hash_shows_every_difference(tmp_path: Path, groups: str) -> None:
    plain = hash_of(tmp_path, f"groups: {{shop: {{components: {{x: {LAMP}}}}}}}\n")
    assert hash_of(tmp_path, groups + "\n") != plain


def test_hash_does_not_contain_itself(tmp_path: Path) -> None:
    group = loaded(tmp_path, f"{HEAD}groups: {{shop: {{components: {{x: {LAMP}}}}}}}\n").groups["shop"]
    assert config_hash(group) == group.config_hash


def test_agent_is_asked_for_warnings_only_where_the_group_may_run_here(tmp_path: Path) -> None:
    text = HEAD + "groups: {shop: {nodes: [%s], components: {it: {type: lamp, socket: dusty}}}}\n"
    here = [str(warning) for warning in checked(tmp_path, text % "a").warnings if "dusty" in warning.message]
    assert here == [f"{tmp_path}/failoverd.yaml:7:67: component 'it': the socket is dusty"]
    assert not [warning for warning in checked(tmp_path, text % "b").warnings if "dusty" in warning.message]


def test_load_raises_with_every_fault_in_order(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path / "f.yaml", HEAD + "b: 1\na: 1\nlease: {ttl: 1}\n"), TYPES, machine=FakeMachine())
    lines = str(caught.value).splitlines()
    assert [line.removeprefix(f"{tmp_path}/f.yaml:").split(": ")[0] for line in lines] == ["7:1", "8:1", "9:14"]
    assert [str(fault) for fault in caught.value.faults] == lines


def test_key_file_that_is_there_gives_no_warning(tmp_path: Path) -> None:
    write(tmp_path / "cluster.key", "x")
    assert checked(tmp_path, HEAD + "key_file: cluster.key\n").warnings == ()


def test_declared_offline_times_are_held_against_self_stop(tmp_path: Path) -> None:
    lamp = "{type: lamp, socket: hall, expect: {offline: %s}}"
    text = f"{HEAD}lease: {{ttl: 6s}}\ngroups: {{shop: {{components: {{it: {lamp}}}}}}}\n"
    assert not [warning for warning in checked(tmp_path, text % "1s").warnings if "self_stop" in warning.message]
    assert [warning for warning in checked(tmp_path, text % "1.5s").warnings if "self_stop" in warning.message]


def test_no_more_faults_than_anybody_reads() -> None:
    findings = Findings()
    for number in range(2 * FAULTS_MAX):
        findings.fault(Mark("f", number), "x")
    assert len(findings.faults) == FAULTS_MAX


def test_component_default_texts_are_true() -> None:
    """The schema's descriptions say "default …" in words: they must be the defaults."""
    assert format_duration(Timeouts().probe_s) == "10s"
    assert (Timeouts().online_s, Timeouts().clean_s, MonitorPolicy().interval_s) == (60.0, 30.0, 10.0)
