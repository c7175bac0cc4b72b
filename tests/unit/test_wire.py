"""The wire format: what is said arrives, and nothing that anybody else sends does any harm."""

import json
import math
import secrets
import zlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from failoverd import wire
from failoverd.domain.model import Action
from failoverd.domain.report import GroupReport, Mark, PeerState, Promise, StepReport
from failoverd.wire import Drop, Header, Sealer, Shed

KEY = bytes(range(32))
INCARNATION = "0f" * 16
TAG = wire.cluster_tag("shop")

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
ages = st.floats(0, 1e6)
steps = st.builds(
    StepReport,
    component=names,
    action=st.sampled_from(Action),
    begin_age_s=ages,
    end_age_s=st.none() | ages,
    ok=st.booleans(),
)
promises = st.builds(Promise, incarnation=names, asked=st.integers(0, 10**12), for_s=ages)


@st.composite
def groups(draw: st.DrawFn) -> GroupReport:
    marks = draw(st.text("".join(Mark), max_size=60))
    listed = st.lists(names, min_size=len(marks), max_size=len(marks)).map(tuple)
    return GroupReport(
        generation=draw(st.integers(0, 10**9)),
        names_hash=draw(st.text("0123456789abcdef", max_size=16)),
        marks=marks,
        names=draw(st.none() | listed),
        config_hash=draw(st.text(max_size=16)),
        steps=tuple(draw(st.lists(steps, max_size=48))),
        blocked=draw(st.text(max_size=40)),
        reasons=draw(st.dictionaries(names, st.text(max_size=40), max_size=4)),
    )


states = st.builds(
    PeerState,
    ready=st.booleans(),
    coordinator_ok=st.booleans(),
    stopping=st.booleans(),
    load=st.floats(0, 1000),
    heard=st.dictionaries(names, st.lists(st.none() | ages, max_size=3).map(tuple), max_size=4),
    asks=st.integers(0, 10**12),
    promises=st.dictionaries(names, promises, max_size=4),
    groups=st.dictionaries(names, groups(), max_size=3),
)

SMALL = PeerState(ready=True, coordinator_ok=True)


def sealer(**changes: Any) -> Sealer:
    given_: dict[str, Any] = {"key": KEY, "cluster": "shop", "sender": "a", "incarnation": INCARNATION} | changes
    return Sealer(given_.pop("key"), **given_)


def sealed(state: PeerState = SMALL, **changes: Any) -> bytes:
    return sealer(**changes).seal(wire.encode(state)[0], 1)[0]


def opened(data: bytes) -> PeerState | Drop:
    """The whole way in, as a receiver of the cluster "shop" goes it."""
    header = wire.parse(data, TAG)
    if isinstance(header, Drop):
        return header
    cipher = wire.cipher_of(KEY, cluster="shop", sender=header.sender, incarnation=header.incarnation)
    body = wire.unseal(cipher, header, data)
    return body if isinstance(body, Drop) else wire.decode(body)


# --- what is said arrives -------------------------------------------------------------------------------------


@given(states)
def test_a_state_arrives_as_it_was_sent(state: PeerState) -> None:
    assert opened(sealed(state)) == state


def test_the_header_says_who_speaks_and_each_message_has_a_number_of_its_own() -> None:
    speaker = sealer()
    first = [wire.parse(data, TAG) for data in speaker.seal(b"J{}", 2)]
    second = wire.parse(speaker.seal(b"J{}", 1)[0], TAG)
    assert all(isinstance(header, Header) for header in (*first, second))
    seen = [header[:4] for header in (*first, second) if isinstance(header, Header)]
    assert seen == [("a", INCARNATION, 1, 0), ("a", INCARNATION, 1, 1), ("a", INCARNATION, 2, 0)]


def test_no_two_datagrams_share_key_and_nonce() -> None:
    """Equal bodies give unlike ciphertexts on each link, at each sending and in each incarnation."""
    bodies = set()
    for incarnation in (INCARNATION, "1f" * 16):
        speaker = sealer(incarnation=incarnation)
        for _ in range(50):
            for data in speaker.seal(b"J{}", 3):
                header = wire.parse(data, TAG)
                assert isinstance(header, Header)
                bodies.add(data[header.size :])
    assert len(bodies) == 2 * 50 * 3


def test_an_incarnation_without_enough_random_bits_is_refused() -> None:
    with pytest.raises(ValueError, match="nonce"):
        sealer(incarnation="1-abcdef")


def test_a_busy_group_of_400_fits_one_ethernet_frame() -> None:
    moving = tuple(
        StepReport(component=f"component-{i}", action=Action.ONLINE, begin_age_s=i * 0.013, end_age_s=i * 0.011)
        for i in range(48)
    )
    report = GroupReport(generation=7, names_hash="a" * 16, marks="Nfdo" * 100, config_hash="b" * 16, steps=moving)
    state = PeerState(ready=True, coordinator_ok=True, heard={"b": (0.05, 0.07)}, groups={"shop": report})
    assert len(sealed(state)) <= 1472
    assert opened(sealed(state)) == state


def random_name(_: int) -> str:
    return secrets.token_hex(30)


def test_what_does_not_fit_is_shed_least_important_first() -> None:
    """Steps first (reports only), then names, then all groups; the heartbeat itself is always sent."""
    many = tuple(
        StepReport(component=random_name(i), action=Action.ONLINE, begin_age_s=0.5, end_age_s=None) for i in range(2000)
    )
    few_names = tuple(sorted(map(random_name, range(400))))
    report = GroupReport(generation=3, names_hash="h", marks="N" * 400, names=few_names, steps=many)
    state = PeerState(ready=True, coordinator_ok=True, groups={"g": report})

    body, shed = wire.encode(state)
    assert shed is Shed.STEPS
    assert wire.decode(body) == replace(state, groups={"g": replace(report, steps=())})

    many_names = tuple(sorted(map(random_name, range(3000))))
    report = replace(report, marks="N" * 3000, names=many_names)
    body, shed = wire.encode(replace(state, groups={"g": report}))
    assert shed is Shed.NAMES
    assert wire.decode(body) == replace(state, groups={"g": replace(report, names=None, steps=())})

    empty = replace(report, marks="", names=None, steps=())
    body, shed = wire.encode(replace(state, groups={random_name(i): empty for i in range(3000)}))
    assert shed is Shed.GROUPS
    assert wire.decode(body) == SMALL


def test_a_newer_daemon_may_say_more() -> None:
    text = {"ready": True, "coordinator_ok": False, "colour": "blue", "groups": {}}
    assert wire.decode(b"J" + json.dumps(text).encode()) == PeerState(ready=True, coordinator_ok=False)


# --- what others send does no harm ----------------------------------------------------------------------------


@given(st.binary(max_size=200))
def test_random_bytes_are_dropped(data: bytes) -> None:
    assert isinstance(opened(data), Drop)


@given(st.binary(max_size=200))
def test_random_bytes_behind_a_good_beginning_are_dropped(data: bytes) -> None:
    good = sealed()
    assert isinstance(opened(good[:11] + data), Drop)
    assert isinstance(opened(b"fo\x01\x00" + TAG + data), Drop)


@given(st.data())
def test_a_changed_bit_anywhere_is_noticed(data: st.DataObject) -> None:
    good = sealed()
    bit = data.draw(st.integers(0, len(good) * 8 - 1))
    bad = bytearray(good)
    bad[bit // 8] ^= 1 << bit % 8
    assert isinstance(opened(bytes(bad)), Drop)


def test_a_datagram_cut_short_or_lengthened_is_truncated() -> None:
    good = sealed()
    assert {opened(good[:size]) for size in range(2, len(good))} == {Drop.TRUNCATED}
    assert opened(good + b"x") is Drop.TRUNCATED
    assert opened(b"") is Drop.FOREIGN


def test_each_kind_of_stranger_has_its_reason() -> None:
    good = sealed()
    assert opened(b"GET / HTTP/1.1\r\n\r\n") is Drop.FOREIGN
    assert opened(good[:2] + b"\x02" + good[3:]) is Drop.OTHER_VERSION
    assert opened(sealed(cluster="other")) is Drop.OTHER_CLUSTER
    assert opened(sealed(key=bytes(32))) is Drop.FORGED
    assert opened(b"fo\x01" + bytes(wire.DATAGRAM_BYTES_MAX)) is Drop.TOO_LARGE


def test_a_cluster_name_with_the_same_tag_is_another_cluster_all_the_same() -> None:
    """The tag is four bytes of a hash; what keeps clusters apart is the key."""
    foreign = sealed(cluster="other")
    assert opened(foreign[:4] + TAG + foreign[8:]) is Drop.FORGED


def test_a_datagram_cannot_be_given_to_another_sender_incarnation_or_link() -> None:
    """Names are part of the derived key, and the boundary between them cannot be moved."""
    data = sealer(sender="ab", incarnation="c" * 22).seal(b"J{}", 1)[0]
    moved = bytearray(data)
    moved[18], moved[19] = data[18] + 1, data[19] - 1
    header = wire.parse(bytes(moved), TAG)
    assert isinstance(header, Header)
    assert (header.sender, header.incarnation) == ("abc", "c" * 21)
    assert opened(bytes(moved)) is Drop.FORGED
    moved = bytearray(data)
    moved[3] = 1
    assert opened(bytes(moved)) is Drop.FORGED


# --- authentic, but nonsense ----------------------------------------------------------------------------------


def body_of(**changes: Any) -> bytes:
    return b"J" + json.dumps({"ready": True, "coordinator_ok": True} | changes).encode()


def group_of(**changes: Any) -> dict[str, Any]:
    return {"groups": {"g": {"generation": 1, "names_hash": "h", "marks": "N"} | changes}}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"X{}",
        b"J",
        b"J{}",
        b"J[]",
        b"J" + b"[" * 20_000,
        b"J\xff\xfe",
        b"Znot deflated",
        b"Z" + zlib.compress(b"{}")[:-3],
        b"Z" + zlib.compress(body_of()[1:]) + b"more",
        body_of(ready="yes"),
        body_of(load=math.nan),
        body_of(load=math.inf),
        body_of(promises={"b": {"incarnation": "i", "asked": 1, "for_s": 1e300}}),
        body_of(promises={"b": {"incarnation": "i", "asked": -1, "for_s": 1}}),
        body_of(promises={"b": 3}),
        body_of(heard={"b": "soon"}),
        body_of(heard={"b" * (wire.STRING_MAX + 1): []}),
        body_of(heard={"b": [0.1] * (wire.ITEMS_MAX + 1)}),
        body_of(**group_of(generation=-1)),
        body_of(**group_of(generation=10**40)),
        body_of(**group_of(marks="Q")),
        body_of(**group_of(marks="NQN")),
        body_of(**group_of(names=["one", "two"])),
        body_of(**group_of(names_hash=None)),
        body_of(**group_of(steps=[{"component": "c", "action": "explode", "begin_age_s": 1}])),
    ],
)
def test_nonsense_from_a_peer_is_malformed(body: bytes) -> None:
    assert wire.decode(body) is Drop.MALFORMED


def test_what_the_nonsense_was_made_of_is_fine_by_itself() -> None:
    promised = {"b": {"incarnation": "i", "asked": 1, "for_s": 1}}
    assert isinstance(wire.decode(body_of(**group_of(names=["one"]), load=2, promises=promised)), PeerState)


def test_a_bomb_is_not_inflated() -> None:
    bomb = zlib.compress(b'{"ready":true,"coordinator_ok":true,"x":"' + b"a" * 30_000_000 + b'"}', 9)
    assert len(bomb) < wire.DATAGRAM_BYTES_MAX
    assert wire.decode(b"Z" + bomb) is Drop.MALFORMED


@settings(max_examples=300)
@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text() | st.integers(), st.lists), st.booleans())
def test_any_json_at_all_is_read_or_malformed(value: Any, deflate: bool) -> None:
    text = json.dumps({"ready": True, "coordinator_ok": True, "heard": value, "groups": {"g": value}}).encode()
    body = b"Z" + zlib.compress(text) if deflate else b"J" + text
    assert isinstance(wire.decode(body), Drop | PeerState)
