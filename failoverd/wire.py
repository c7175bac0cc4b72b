"""The heartbeat's wire format: ``PeerState`` to sealed datagrams and back.

A datagram is a header in clear, then an AES-256-GCM ciphertext with the header as associated data (RFC 5116)::

    magic "fo" | version u8 | link u8 | cluster tag 4 bytes | sequence u64 | body length u16 |
    sender length u8 | incarnation length u8 | sender | incarnation || ciphertext and tag

The key is derived (HKDF-SHA256, RFC 5869) from the cluster key for one cluster, sender and incarnation; the nonce is
made of sequence number and link. The sequence number never repeats within an incarnation and an incarnation never
repeats at all (it has 128 random bits), so no nonce is ever used twice under one key.

The body is one letter and JSON: ``J`` plain, ``Z`` deflated. Unknown keys are ignored, so that a newer daemon may add
some; whatever else is not as expected is dropped with a reason (``Drop``), never an exception.
"""

import struct
import zlib
from dataclasses import replace
from enum import StrEnum
from hashlib import blake2b
from typing import Annotated, Any, NamedTuple, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import GetCoreSchemaHandler, TypeAdapter, ValidationError
from pydantic_core import CoreSchema

from failoverd.domain.report import Mark, PeerState

VERSION = 1
KEY_BYTES = 32

DATAGRAM_BYTES_MAX = 60_000
"""Below what UDP can carry (65,507 bytes over IPv4, less over IPv6 with extension headers)."""
BODY_BYTES_MAX = 512 * 1024
"""Of a body once it is inflated."""
DEFLATE_ABOVE_BYTES = 1_200
"""With header and tag about what fits an Ethernet frame: a datagram in fragments is lost when one of them is."""
DEFLATE_LEVEL = 1
STRING_MAX = 16_384
ITEMS_MAX = 16_384
NUMBER_MAX = 10**12
INCARNATION_CHARS_MIN = 22
"""128 bits take so many characters at the least (base64)."""

_MAGIC = b"fo"
_FIXED = struct.Struct(">2sBB4sQHBB")
_TAG_BYTES = 16
_NONCE = struct.Struct(">QB3x")
_PLAIN, _DEFLATED = b"J", b"Z"
_MARKS = "".join(Mark)


class Drop(StrEnum):
    """Why a datagram was not delivered."""

    TOO_LARGE = "too_large"
    TRUNCATED = "truncated"
    FOREIGN = "foreign"
    """Not one of ours at all."""
    OTHER_VERSION = "other_version"
    OTHER_CLUSTER = "other_cluster"
    UNKNOWN_PEER = "unknown_peer"
    OWN = "own"
    """It bears our own name: reflected, or a second node of the same name."""
    WRONG_LINK = "wrong_link"
    """Sealed for another link than the one that it came over."""
    FORGED = "forged"
    """Not sealed under our key, or altered on the way."""
    MALFORMED = "malformed"
    """Authentic, but it says nothing that we understand."""
    REPLAYED = "replayed"
    LATE = "late"
    """Overtaken by a newer datagram of the same link."""
    STALE = "stale"
    """Of an incarnation that is not the peer's present one."""


class Shed(StrEnum):
    """What was left out of a message that would not fit one datagram."""

    NOTHING = ""
    STEPS = "shed_steps"
    NAMES = "shed_names"
    GROUPS = "shed_groups"


class Header(NamedTuple):
    sender: str
    incarnation: str
    sequence: int
    link: int
    size: int
    """Of the header itself, in bytes."""


# --- body -----------------------------------------------------------------------------------------------------


class _Bounded:
    """Annotation: every string, container and number below it is bounded, and numbers are finite."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        _bound(schema, handler)
        return schema


_LIMITS: dict[str, dict[str, Any]] = {
    "str": {"max_length": STRING_MAX},
    "tuple": {"max_length": ITEMS_MAX},
    "list": {"max_length": ITEMS_MAX},
    "dict": {"max_length": ITEMS_MAX},
    "int": {"ge": 0, "le": NUMBER_MAX},
    "float": {"ge": -NUMBER_MAX, "le": NUMBER_MAX, "allow_inf_nan": False},
}
"""By the type of a node in a schema of pydantic-core."""


def _bound(node: Any, handler: GetCoreSchemaHandler) -> None:
    """Set the limits in a schema, in place: the check then costs nothing in Python."""
    if isinstance(node, list | tuple):
        for item in node:
            _bound(item, handler)
    elif isinstance(node, dict) and node.get("type") == "definition-ref":
        _bound(handler.resolve_ref_schema(cast("CoreSchema", node)), handler)
    elif isinstance(node, dict):
        node.update(_LIMITS.get(node.get("type", ""), {}))
        for key, value in node.items():
            if key.endswith(("schema", "fields", "choices", "definitions")):
                _bound(value, handler)


_STATE: TypeAdapter[PeerState] = TypeAdapter(Annotated[PeerState, _Bounded])


def encode(state: PeerState) -> tuple[bytes, Shed]:
    """The body of a message, and what had to be left out of it so that it fits (a heartbeat is always sent)."""
    body = _body(state)
    if len(body) <= _BODY_SENT_MAX:
        return body, Shed.NOTHING
    groups = {name: replace(group, steps=()) for name, group in state.groups.items()}
    body = _body(replace(state, groups=groups))
    if len(body) <= _BODY_SENT_MAX:
        return body, Shed.STEPS
    groups = {name: replace(group, names=None) for name, group in groups.items()}
    body = _body(replace(state, groups=groups))
    if len(body) <= _BODY_SENT_MAX:
        return body, Shed.NAMES
    return _body(replace(state, groups={})), Shed.GROUPS


def _body(state: PeerState) -> bytes:
    text = _STATE.dump_json(state)
    if len(text) <= DEFLATE_ABOVE_BYTES or len(text) > BODY_BYTES_MAX:
        return _PLAIN + text
    return _DEFLATED + zlib.compress(text, DEFLATE_LEVEL)


def decode(body: bytes) -> PeerState | Drop:
    """Read a body that is known to be authentic."""
    text = _inflated(body[1:]) if body[:1] == _DEFLATED else body[1:]
    if text is None or body[:1] not in {_PLAIN, _DEFLATED}:
        return Drop.MALFORMED
    try:
        state = _STATE.validate_json(text, strict=True)
    except ValidationError:
        return Drop.MALFORMED
    for group in state.groups.values():
        # What is left of the letters that are no marks; and a name for each mark, or no names.
        if group.marks.strip(_MARKS) or (group.names is not None and len(group.names) != len(group.marks)):
            return Drop.MALFORMED
    return state


def _inflated(data: bytes) -> bytes | None:
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(data, BODY_BYTES_MAX)
    except zlib.error:
        return None
    return text if inflater.eof and not inflater.unused_data else None


# --- seal -----------------------------------------------------------------------------------------------------


def cluster_tag(cluster: str) -> bytes:
    """Tells our datagrams from those of another cluster on the same network, before any cryptography."""
    return blake2b(cluster.encode(), digest_size=4).digest()


def cipher_of(key: bytes, *, cluster: str, sender: str, incarnation: str) -> AESGCM:
    """The cipher of one incarnation of one sender."""
    parts = (b"failoverd heartbeat", bytes([VERSION]), cluster.encode(), sender.encode(), incarnation.encode())
    info = b"".join(len(part).to_bytes(2, "big") + part for part in parts)
    return AESGCM(HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(key))


class Sealer:
    """Seals the messages of this incarnation; it alone counts their sequence number."""

    def __init__(self, key: bytes, *, cluster: str, sender: str, incarnation: str) -> None:
        if len(incarnation) < INCARNATION_CHARS_MIN:
            raise ValueError(f"incarnation {incarnation!r} cannot have 128 random bits: a nonce might be used twice")
        self._cipher = cipher_of(key, cluster=cluster, sender=sender, incarnation=incarnation)
        self._tag = cluster_tag(cluster)
        self._sender = sender.encode()
        self._incarnation = incarnation.encode()
        self._sequence = 0

    def seal(self, body: bytes, links: int) -> list[bytes]:
        """One datagram for each link, all with the next sequence number."""
        self._sequence += 1
        return [self._seal(body, link) for link in range(links)]

    def _seal(self, body: bytes, link: int) -> bytes:
        names = self._sender + self._incarnation
        lengths = (len(body) + _TAG_BYTES, len(self._sender), len(self._incarnation))
        header = _FIXED.pack(_MAGIC, VERSION, link, self._tag, self._sequence, *lengths) + names
        return header + self._cipher.encrypt(_NONCE.pack(self._sequence, link), body, header)


_NAMES_BYTES_MAX = 2 * 255
_BODY_SENT_MAX = DATAGRAM_BYTES_MAX - _FIXED.size - _NAMES_BYTES_MAX - _TAG_BYTES


def parse(data: bytes, tag: bytes) -> Header | Drop:
    """Read the header. Nothing in it is proven before ``unseal`` succeeded."""
    if len(data) > DATAGRAM_BYTES_MAX:
        return Drop.TOO_LARGE
    if not data.startswith(_MAGIC):
        return Drop.FOREIGN
    if len(data) < _FIXED.size:
        return Drop.TRUNCATED
    _, version, link, theirs, sequence, body_size, sender_size, incarnation_size = _FIXED.unpack_from(data)
    if version != VERSION:
        return Drop.OTHER_VERSION
    if theirs != tag:
        return Drop.OTHER_CLUSTER
    middle = _FIXED.size + sender_size
    size = middle + incarnation_size
    if len(data) != size + body_size:
        return Drop.TRUNCATED
    try:
        sender, incarnation = data[_FIXED.size : middle].decode(), data[middle:size].decode()
    except UnicodeDecodeError:
        return Drop.FOREIGN
    return Header(sender, incarnation, sequence, link, size)


def unseal(cipher: AESGCM, header: Header, data: bytes) -> bytes | Drop:
    """The body, if the datagram is authentic."""
    nonce = _NONCE.pack(header.sequence, header.link)
    try:
        return cipher.decrypt(nonce, data[header.size :], data[: header.size])
    except InvalidTag:
        return Drop.FORGED
