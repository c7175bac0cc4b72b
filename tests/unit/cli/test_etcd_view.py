"""The line and the notes that ``status`` has about the etcd members."""

from typing import Any

from failoverd.cli.etcd_view import etcd_line, etcd_notes


def member(state: str, **fields: Any) -> dict[str, Any]:
    return {"state": state, "reason": "", "version": "3.4.23", "term": 7, "db_bytes": 24_576, **fields}


def test_members_on_one_line() -> None:
    etcd = {"state": "running", "members": {"a": member("leader"), "b": member("follower", db_bytes=1_500_000)}}
    assert etcd_line(etcd).plain == "etcd a leader, b follower; version 3.4.23, 1.5 MB, term 7"
    assert list(etcd_notes(etcd)) == []


def test_what_is_not_plain_is_noted() -> None:
    gone = {"state": "unreachable", "reason": "https://10.0.0.3:7801: no answer"}
    etcd = {"state": "waiting", "reason": "for w", "members": {"a": member("no_leader", reason="alone"), "w": gone}}
    assert etcd_line(etcd).plain == "etcd a no leader, w unreachable; version 3.4.23, 25 kB, term 7"
    assert list(etcd_notes(etcd)) == [
        ("etcd here", "waiting: for w"),
        ("etcd on a", "no leader: alone"),
        ("etcd on w", "unreachable: https://10.0.0.3:7801: no answer"),
    ]


def test_nothing_known_yet() -> None:
    assert etcd_line({}).plain == "etcd "
    assert list(etcd_notes({"state": "not_voting", "members": {}})) == []
