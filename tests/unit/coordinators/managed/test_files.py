"""What is written for etcd, kept beside it, and read of its log."""

import json
import stat
from pathlib import Path

import pytest

from failoverd.coordinators.etcd.managed import log_file
from failoverd.coordinators.etcd.managed.layout import Start, fingerprint, member_config, url
from failoverd.coordinators.etcd.managed.owner import Owner, has_data, save, set_aside, take_over
from failoverd.coordinators.etcd.managed.process import CannotRun
from tests.unit.coordinators.managed.support import layout


def test_own_member_is_asked_first_and_a_node_without_one_asks_the_others() -> None:
    assert layout("b").endpoints == ("https://10.0.0.2:7801", "https://10.0.0.1:7801", "https://10.0.0.3:7801")
    assert layout("x").endpoints == ("https://10.0.0.1:7801", "https://10.0.0.2:7801", "https://10.0.0.3:7801")


def test_it_listens_on_the_nodes_own_address_and_the_loopback_alone() -> None:
    plan = layout("a")
    made = member_config(plan, listen="10.0.0.1", initial=plan.initial, start=Start.NEW)
    assert made["listen-client-urls"] == "https://10.0.0.1:7801,https://127.0.0.1:7801"
    assert made["listen-peer-urls"] == "https://10.0.0.1:7802"
    local = member_config(plan, listen="127.0.0.2", initial=plan.initial, start=Start.NEW)
    assert local["listen-client-urls"] == "https://127.0.0.2:7801", "nodes on one machine share the loopback"
    for kind in ("client", "peer"):
        tls = made[f"{kind}-transport-security"]
        assert tls["client-cert-auth"] is True
        assert tls["trusted-ca-file"]


@pytest.mark.parametrize(("host", "written"), [("10.0.0.1", "https://10.0.0.1:1"), ("fd00::1", "https://[fd00::1]:1")])
def test_addresses_in_urls(host: str, written: str) -> None:
    assert url(host, 1) == written


def test_a_running_member_is_known_again_whoever_the_first_members_were() -> None:
    plan = layout("a")
    first = member_config(plan, listen="10.0.0.1", initial=plan.initial, start=Start.NEW)
    later = member_config(plan, listen="10.0.0.1", initial={"a": "https://10.0.0.1:7802"}, start=Start.EXISTING)
    assert fingerprint(first) == fingerprint(later)
    moved = member_config(layout("a", client_port=9), listen="10.0.0.1", initial={}, start=Start.NEW)
    assert fingerprint(moved) != fingerprint(first)


# --- whose data -------------------------------------------------------------------------------------------------


def test_the_directory_is_ours_and_closed(tmp_path: Path) -> None:
    plan = layout("a", directory=tmp_path)
    owner = take_over(plan)
    assert owner == Owner(cluster="shop", node="a", voters=plan.initial)
    assert stat.S_IMODE(plan.directory.stat().st_mode) == 0o700
    assert take_over(plan) == owner


def test_voters_that_the_configuration_leaves_out_are_remembered_until_they_are_gone(tmp_path: Path) -> None:
    take_over(layout("a", "abcde", directory=tmp_path))
    plan = layout("a", "abc", directory=tmp_path)
    assert set(take_over(plan).departing) == {"d", "e"}
    owner = take_over(plan)
    assert set(owner.departing) == {"d", "e"}, "also after another restart"
    save(plan, Owner(cluster="shop", node="a", voters=owner.voters, departing={"e": "https://e"}))
    assert set(take_over(plan).departing) == {"e"}
    assert take_over(layout("a", "abcde", directory=tmp_path)).departing == {}


@pytest.mark.parametrize(("cluster", "node"), [("mail", "a"), ("shop", "b")])
def test_data_of_another_is_not_touched(tmp_path: Path, cluster: str, node: str) -> None:
    plan = layout("a", directory=tmp_path)
    take_over(plan)
    save(plan, Owner(cluster=cluster, node=node, voters={}))
    with pytest.raises(CannotRun, match=f"data of node {node} of cluster {cluster}, this is node a of cluster shop"):
        take_over(plan)


def test_half_a_start_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    plan = layout("a", directory=tmp_path)
    (plan.data_dir / "member" / "snap").mkdir(parents=True)
    (plan.directory / "owner.json").write_text('{"cluster"')
    take_over(plan)
    assert not plan.data_dir.exists()


def test_data_is_kept_when_the_node_votes_no_more(tmp_path: Path) -> None:
    plan = layout("a", directory=tmp_path)
    wal = plan.data_dir / "member" / "wal"
    wal.mkdir(parents=True)
    (wal / "0.wal").touch()
    take_over(plan)
    assert has_data(plan)
    set_aside(plan)
    assert not has_data(plan)
    assert (plan.directory / "data.retired" / "member" / "wal" / "0.wal").exists()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "etcd").write_text("a file")
    with pytest.raises(CannotRun, match=str(tmp_path)):
        take_over(layout("a", directory=tmp_path))


# --- etcd's log -------------------------------------------------------------------------------------------------


def written(path: Path, *records: dict[str, str] | str) -> Path:
    path.write_text("".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in records))
    return path


@pytest.mark.parametrize(
    ("complaint", "advice"),
    [
        ("listen tcp 10.0.0.1:7802: bind: address already in use", "ss -tlnp"),
        ("listen tcp 10.0.0.1:7802: bind: cannot assign requested address", "ip address"),
        ("the member has been permanently removed from the cluster", "move the directory 'etcd' of the state_dir away"),
        ("wal: crc mismatch", "it gets the data from the other members"),
        ("write /x/0.wal: no space left on device", "make room"),
    ],
)
def test_why_it_ended_comes_with_what_to_do(tmp_path: Path, complaint: str, advice: str) -> None:
    path = written(
        tmp_path / "etcd.log",
        "[WARNING] a line that is no record",
        {"level": "info", "msg": "starting"},
        {"level": "fatal", "msg": "discovery failed", "error": complaint},
        {"level": "info", "msg": "closing"},
    )
    told = log_file.why_ended(path)
    assert told.startswith(f"discovery failed: {complaint}")
    assert advice in told


def test_a_log_without_a_complaint_says_nothing(tmp_path: Path) -> None:
    assert log_file.why_ended(tmp_path / "none") == ""
    assert log_file.why_ended(written(tmp_path / "log", {"level": "info", "msg": "well"})) == ""
    assert log_file.why_ended(written(tmp_path / "log", "panic: something")) == "panic: something"


def test_a_long_log_is_cut_and_its_end_kept(tmp_path: Path) -> None:
    path = tmp_path / "etcd.log"
    with path.open("ab", buffering=0) as etcd:
        etcd.write(b"a" * log_file.SIZE_MAX)
        log_file.keep_small(path)
        assert path.stat().st_size == log_file.SIZE_MAX, "not too long yet"
        etcd.write(b"the end")
        log_file.keep_small(path)
        etcd.write(b"and on")
    assert path.read_bytes() == b"and on", "it goes on at the beginning, since it appends"
    assert (tmp_path / "etcd.log.1").read_bytes().endswith(b"the end")
