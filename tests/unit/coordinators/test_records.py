"""The records' JSON: what is written comes back, and what is not certain is refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from failoverd.domain.holds import HoldKind, Subject
from failoverd.domain.placement import Cause, Fault, Lease, LeaseState, Member, Placement, Wanted
from failoverd.errors import CoordinatorCorrupt
from failoverd.records import (
    REASON_CHARS_MAX,
    VALUE_BYTES_MAX,
    Key,
    Kind,
    clear_key,
    decode,
    encode,
    fault_key,
    hold_key,
    lease_key,
    node_key,
    parse_key,
    placement_key,
)

names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/"), min_size=1, max_size=12)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)

placements = st.builds(
    Placement,
    owner=names,
    generation=st.integers(1, 2**63 - 1),
    holders=st.lists(names, unique=True, max_size=4).map(tuple),
    wanted=st.sampled_from(Wanted),
    cause=st.sampled_from(Cause),
    reason=texts,
    by=texts,
    at=texts,
    source=st.none() | names,
)
members = st.builds(Member, incarnation=names, state=st.sampled_from(LeaseState), host=texts, reason=texts)
leases = st.builds(
    Lease,
    incarnation=names,
    renewal=st.integers(0, 2**63 - 1),
    ttl_s=st.floats(0.001, 1e6),
    state=st.sampled_from(LeaseState),
)
faults = st.builds(Fault, component=names, reason=texts, incarnation=st.none() | names, at=texts)

LEASE = {"version": 1, "incarnation": "i", "renewal": 3, "ttl_s": 1.5, "state": "live"}
PLACEMENT = {"version": 1, "owner": "a", "generation": 7, "holders": ["a", "b"]}


@given(st.one_of(placements, members, leases, faults))
def test_every_record_comes_back_as_it_was(record: Placement | Member | Lease | Fault) -> None:
    value = encode(record)
    assert json.loads(value)["version"] == 1
    assert decoded(record, value) == record


def decoded(like: Placement | Member | Lease | Fault, value: bytes) -> object:
    match like:
        case Placement():
            return decode(Placement, "k", value)
        case Member():
            return decode(Member, "k", value)
        case Lease():
            return decode(Lease, "k", value)
        case Fault():
            return decode(Fault, "k", value)


def test_fields_of_a_newer_version_are_ignored() -> None:
    value = json.dumps({**LEASE, "version": 2, "colour": {"of": "things"}}).encode()
    assert decode(Lease, "lease/a", value) == Lease(incarnation="i", renewal=3, ttl_s=1.5)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": None}, "version"),
        ({"version": 0}, "version"),
        ({"version": True}, "version"),
        ({"version": "1"}, "version"),
        ({"renewal": "3"}, "renewal"),
        ({"renewal": 3.5}, "renewal"),
        ({"renewal": -1}, "renewal"),
        ({"ttl_s": 0}, "ttl_s"),
        ({"ttl_s": 1e999}, "."),
        ({"ttl_s": float("nan")}, "."),
        ({"state": "undead"}, "state"),
        ({"incarnation": ""}, "incarnation"),
        ({"incarnation": None}, "incarnation"),
    ],
)
def test_malformed_lease_is_refused_with_key_and_reason(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(CoordinatorCorrupt, match=f"^lease/a: .*{reason}"):
        decode(Lease, "lease/a", json.dumps({**LEASE, **change}).encode())


@pytest.mark.parametrize(
    "change",
    [
        {"generation": 0},
        {"generation": True},
        {"owner": ""},
        {"holders": ["a", "a"]},
        {"holders": ["a", ""]},
        {"holders": "ab"},
        {"wanted": "perhaps"},
        {"source": 5},
    ],
)
def test_malformed_placement_is_refused(change: dict[str, Any]) -> None:
    (field,) = change
    with pytest.raises(CoordinatorCorrupt, match=f"^placement/g: {field}"):
        decode(Placement, "placement/g", json.dumps({**PLACEMENT, **change}).encode())


@pytest.mark.parametrize("field", ["owner", "generation", "holders"])
def test_missing_field_is_named(field: str) -> None:
    rest = {name: value for name, value in PLACEMENT.items() if name != field}
    with pytest.raises(CoordinatorCorrupt, match=field):
        decode(Placement, "placement/g", json.dumps(rest).encode())


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_corrupt_and_nothing_worse(value: bytes) -> None:
    with pytest.raises(CoordinatorCorrupt, match=r"^lease/a: "):
        decode(Lease, "lease/a", value)


def test_huge_and_deep_values_are_corrupt() -> None:
    for value in (b" " * (VALUE_BYTES_MAX + 1), b"[" * 60_000, b'{"version":1,"renewal":' + b"9" * 60_000 + b"}"):
        with pytest.raises(CoordinatorCorrupt):
            decode(Lease, "lease/a", value)


def test_reason_quoting_a_command_is_always_writable() -> None:
    fault = Fault(component="db", reason="exit 1: \udcff " + "x" * 100_000)
    assert len(decode(Fault, "fault/g/a", encode(fault)).reason) == REASON_CHARS_MAX


def test_what_would_be_refused_is_not_written() -> None:
    with pytest.raises(ValueError, match="generation"):
        encode(Placement(owner="a", generation=0, holders=()))
    with pytest.raises(ValueError, match="limit"):
        encode(Placement(owner="a" * VALUE_BYTES_MAX, generation=1, holders=()))


@given(names, names)
def test_keys_are_parsed_back(group: str, node: str) -> None:
    assert parse_key(placement_key(group)) == Key(Kind.PLACEMENT, group=group)
    assert parse_key(node_key(node)) == Key(Kind.NODE, node=node)
    assert parse_key(lease_key(node)) == Key(Kind.LEASE, node=node)
    assert parse_key(fault_key(group, node)) == Key(Kind.FAULT, group=group, node=node)
    assert str(parse_key(fault_key(group, node))) == fault_key(group, node)
    assert parse_key(clear_key(group)) == Key(Kind.CLEAR, group=group)
    assert placement_key(group).startswith(Kind.PLACEMENT.prefix)


@given(st.sampled_from(HoldKind), names)
def test_keys_of_holds_are_parsed_back(kind: HoldKind, name: str) -> None:
    subject = Subject(kind, name)
    found = parse_key(hold_key(subject))
    assert found is not None
    assert found.hold == subject
    assert found.kind is (Kind.DRAIN if kind is HoldKind.DRAIN else Kind.FREEZE)
    assert str(found) == hold_key(subject)


def test_keys_of_unknown_kinds_are_left_alone_and_malformed_ones_refused() -> None:
    assert parse_key("fencing/a") is None
    assert parse_key("placements/a") is None
    for key in ("placement", "placement/", "placement/a/b", "fault/g", "fault//a", "lease/a/", "freeze/a", "freeze/b/c",
                "drain/a/b"):  # fmt: skip
        with pytest.raises(CoordinatorCorrupt, match=f"^{key}: "):
            parse_key(key)


@pytest.mark.parametrize("name", ["", "a/b"])
def test_name_that_would_make_another_key_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="key"):
        placement_key(name)
