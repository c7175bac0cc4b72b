"""The records of ``failoverd.domain.placement`` as the coordinator keeps them: keys, and values in JSON.

Each value is one JSON object with ``"version": 1`` beside the record's own fields. A newer version may have more
fields, which are ignored here; one that means something else by a field of ours must rename it, so that it is refused
here instead of misunderstood. What cannot be read for certain is ``CoordinatorCorrupt``: a record is never guessed at.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from failoverd.domain.fence_record import FenceRecord, record_faults
from failoverd.domain.holds import Clearance, Hold, HoldKind, Subject
from failoverd.domain.placement import Fault, Lease, Member, Placement
from failoverd.errors import CoordinatorCorrupt

VERSION = 1
VALUE_BYTES_MAX = 64 * 1024
REASON_CHARS_MAX = 1000

Record = Placement | Member | Lease | Fault | Hold | Clearance | FenceRecord
R = TypeVar("R", Placement, Member, Lease, Fault, Hold, Clearance, FenceRecord)

_ADAPTERS: dict[type, TypeAdapter[Any]] = {
    kind: TypeAdapter(kind) for kind in (Placement, Member, Lease, Fault, Hold, Clearance, FenceRecord)
}


# --- keys -----------------------------------------------------------------------------------------------------


class Kind(StrEnum):
    PLACEMENT = "placement"
    NODE = "node"
    LEASE = "lease"
    FAULT = "fault"
    FREEZE = "freeze"
    DRAIN = "drain"
    CLEAR = "clear"
    FENCE = "fence"

    @property
    def prefix(self) -> str:
        """What the keys of this kind begin with: to list or to watch them all."""
        return f"{self.value}/"

    @property
    def record(self) -> type[Record]:
        return _RECORDS[self]


_KINDS: dict[str, Kind] = {kind.value: kind for kind in Kind}

_RECORDS: dict[Kind, type[Record]] = {
    Kind.PLACEMENT: Placement,
    Kind.NODE: Member,
    Kind.LEASE: Lease,
    Kind.FAULT: Fault,
    Kind.FREEZE: Hold,
    Kind.DRAIN: Hold,
    Kind.CLEAR: Clearance,
    Kind.FENCE: FenceRecord,
}


@dataclass(frozen=True, slots=True)
class Key:
    """A key taken apart; what its kind does not have is empty."""

    kind: Kind
    group: str = ""
    node: str = ""
    hold: Subject | None = None

    def __str__(self) -> str:
        if self.hold is not None:
            return hold_key(self.hold)
        return "/".join(_named(part) for part in (self.kind.value, self.group, self.node) if part)


def placement_key(group: str) -> str:
    return f"{Kind.PLACEMENT.prefix}{_named(group)}"


def node_key(node: str) -> str:
    return f"{Kind.NODE.prefix}{_named(node)}"


def lease_key(node: str) -> str:
    return f"{Kind.LEASE.prefix}{_named(node)}"


def fault_key(group: str, node: str) -> str:
    return f"{Kind.FAULT.prefix}{_named(group)}/{_named(node)}"


def clear_key(group: str) -> str:
    return f"{Kind.CLEAR.prefix}{_named(group)}"


def hold_key(subject: Subject) -> str:
    return f"{_HOLD_PREFIXES[subject.kind]}{_named(subject.name)}"


_HOLD_PREFIXES: dict[HoldKind, str] = {
    HoldKind.FREEZE_GROUP: f"{Kind.FREEZE.prefix}group/",
    HoldKind.FREEZE_NODE: f"{Kind.FREEZE.prefix}node/",
    HoldKind.FREEZE_ALL: f"{Kind.FREEZE.prefix}all/",
    HoldKind.DRAIN: Kind.DRAIN.prefix,
}


def fence_key(node: str) -> str:
    return f"{Kind.FENCE.prefix}{_named(node)}"


def parse_key(key: str) -> Key | None:
    """The reverse of the functions above; None for a key of a kind that this version does not know.

    Raises ``CoordinatorCorrupt`` for one of a known kind that is malformed.
    """
    first, *names = key.split("/")
    kind = _KINDS.get(first)
    if kind is None:
        return None
    if len(names) != _FORMS[kind].count("/") or not all(names):
        raise CoordinatorCorrupt(f"{key}: not a key of the form {_FORMS[kind]}")
    if kind in {Kind.PLACEMENT, Kind.CLEAR}:
        return Key(kind, group=names[0])
    if kind is Kind.FAULT:
        return Key(kind, group=names[0], node=names[1])
    if kind in {Kind.FREEZE, Kind.DRAIN}:
        return Key(kind, hold=_subject(key))
    return Key(kind, node=names[0])


def _subject(key: str) -> Subject:
    for kind, prefix in _HOLD_PREFIXES.items():
        if key.startswith(prefix):
            return Subject(kind, key.removeprefix(prefix))
    raise CoordinatorCorrupt(f"{key}: neither a group, a node nor all")


_FORMS: dict[Kind, str] = {
    Kind.PLACEMENT: "placement/<group>",
    Kind.NODE: "node/<node>",
    Kind.LEASE: "lease/<node>",
    Kind.FAULT: "fault/<group>/<node>",
    Kind.FREEZE: "freeze/<group, node or all>/<name>",
    Kind.DRAIN: "drain/<node>",
    Kind.CLEAR: "clear/<group>",
    Kind.FENCE: "fence/<node>",
}


def _named(name: str) -> str:
    """The configuration refuses such names; a key made of one would silently mean something else."""
    if not name or "/" in name:
        raise ValueError(f"{name!r} cannot be part of a coordinator key")
    return name


# --- values ---------------------------------------------------------------------------------------------------


def encode(record: Record) -> bytes:
    """The record as one JSON object. Raises ``ValueError`` for one that ``decode`` would refuse.

    Only a ``reason`` may come back changed: it quotes commands, so it is cut to ``REASON_CHARS_MAX`` and made UTF-8.
    """
    fault = next(_faults(record), None)
    if fault is not None:
        raise ValueError(f"{type(record).__name__}: {fault}")
    fields: dict[str, Any] = _ADAPTERS[type(record)].dump_python(record, mode="json")
    if "reason" in fields:
        fields["reason"] = _text(fields["reason"])
    value = to_json({"version": VERSION, **fields})
    if len(value) > VALUE_BYTES_MAX:
        raise ValueError(f"{type(record).__name__}: {len(value)} bytes, {VALUE_BYTES_MAX} are the limit")
    return value


def _text(reason: str) -> str:
    return reason[:REASON_CHARS_MAX].encode("utf-8", "replace").decode("utf-8")


def decode(kind: type[R], key: str, value: bytes) -> R:
    """Read back what ``encode`` wrote. Raises ``CoordinatorCorrupt`` that names the key and what is wrong with it."""
    if not _is_plainly_ours(value):
        _check_envelope(key, value)
    try:
        record = cast("R", _ADAPTERS[kind].validate_json(value, strict=True))
    except ValidationError as error:
        raise CoordinatorCorrupt(f"{key}: {_first(error)}") from error
    fault = next(_faults(record), None)
    if fault is not None:
        raise CoordinatorCorrupt(f"{key}: {fault}")
    return record


_ENVELOPE = f'{{"version":{VERSION},'.encode()


def _is_plainly_ours(value: bytes) -> bool:
    """Whether a look at the bytes is enough to know that ``_check_envelope`` has nothing against them, provided that
    they are an object in JSON: they begin as ``encode`` begins them, and nothing in them may contradict that."""
    return (
        value.startswith(_ENVELOPE)
        and len(value) <= VALUE_BYTES_MAX
        and value.count(b'"version"') == 1
        and b"\\u" not in value
        and b"NaN" not in value
        and b"Infinity" not in value
    )


def _check_envelope(key: str, value: bytes) -> None:
    if len(value) > VALUE_BYTES_MAX:
        raise CoordinatorCorrupt(f"{key}: {len(value)} bytes, {VALUE_BYTES_MAX} are the limit")
    try:
        document = from_json(value, allow_inf_nan=False)
    except ValueError as error:
        raise CoordinatorCorrupt(f"{key}: not JSON: {error}") from error
    version = document.get("version") if isinstance(document, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < VERSION:
        raise CoordinatorCorrupt(f"{key}: not an object with a version of {VERSION} or above")


def _first(error: ValidationError) -> str:
    detail = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in detail["loc"])
    return f"{where}: {detail['msg']}" if where else detail["msg"]


def _faults(record: Record) -> Iterator[str]:
    """What types alone do not say."""
    match record:
        case Placement():
            yield from _placement_faults(record)
        case Member():
            if not record.incarnation:
                yield "incarnation: must not be empty"
        case Lease():
            yield from _lease_faults(record)
        case Fault():
            if not record.component:
                yield "component: must not be empty"
        case FenceRecord():
            yield from record_faults(record)


def _placement_faults(record: Placement) -> Iterator[str]:
    if not record.owner:
        yield "owner: must not be empty"
    if record.generation < 1:
        yield f"generation: must be 1 or above, it is {record.generation}"
    if len(set(record.holders)) != len(record.holders) or not all(record.holders):
        yield f"holders: must be distinct nodes, they are {list(record.holders)}"


def _lease_faults(record: Lease) -> Iterator[str]:
    if not record.incarnation:
        yield "incarnation: must not be empty"
    if record.renewal < 0:
        yield f"renewal: must be 0 or above, it is {record.renewal}"
    if not (isfinite(record.ttl_s) and record.ttl_s > 0):
        yield f"ttl_s: must be above 0, it is {record.ttl_s:g}"
    if not (isfinite(record.promises_s) and record.promises_s >= 0):
        yield f"promises_s: must not be below 0, it is {record.promises_s:g}"
