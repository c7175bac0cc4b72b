"""The JSON of etcd's gRPC gateway: what is sent, what comes back, what an error means for a write. Pure.

64-bit numbers travel as strings, bytes as base64, fields with their default value not at all (proto3's JSON mapping).
Source: etcd's api/etcdserverpb/rpc.proto and api/v3rpc/rpctypes/error.go.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from failoverd.ports import Change, Delete, Entry, Expect, Put

Json = dict[str, Any]


class Malformed(ValueError):  # noqa: N818 (a member's answer, told on as an error of ours)
    """An answer that is none of etcd's."""


# --- what is sent -----------------------------------------------------------------------------------------------


def text64(raw: bytes) -> str:
    return b64encode(raw).decode("ascii")


def end_of_prefix(prefix: bytes) -> bytes:
    """The first key behind all that begin with ``prefix``, which is not empty and no more than UTF-8 (so no 0xff)."""
    return prefix[:-1] + bytes([prefix[-1] + 1])


def range_one(key: bytes) -> Json:
    return {"key": text64(key)}


def range_prefix(prefix: bytes) -> Json:
    return {"key": text64(prefix), "range_end": text64(end_of_prefix(prefix))}


def txn(prefix: bytes, expects: Sequence[Expect], writes: Sequence[Put | Delete]) -> Json:
    """One transaction: a key that does not exist has mod_revision 0, so one kind of comparison is enough."""
    return {
        "compare": [
            {
                "key": text64(prefix + expect.key.encode()),
                "target": "MOD",
                "result": "EQUAL",
                "mod_revision": str(expect.revision),
            }
            for expect in expects
        ],
        "success": [_operation(prefix, write) for write in writes],
    }


def _operation(prefix: bytes, write: Put | Delete) -> Json:
    key = text64(prefix + write.key.encode())
    if isinstance(write, Put):
        return {"request_put": {"key": key, "value": text64(write.value)}}
    return {"request_delete_range": {"key": key}}


def watch_create(prefix: bytes, after: int) -> Json:
    return {"create_request": {**range_prefix(prefix), "start_revision": str(after + 1)}}


# --- what comes back --------------------------------------------------------------------------------------------


def parse(raw: bytes) -> Json:
    try:
        found = json.loads(raw)
    except ValueError as error:
        raise Malformed("answered something that is not JSON: is this etcd's client port?") from error
    if not isinstance(found, dict):
        raise Malformed("answered JSON that is not etcd's: is this etcd's client port?")
    return found


@dataclass(frozen=True, slots=True)
class Header:
    """Of the answer; ``revision`` is the store's."""

    cluster: str
    revision: int


def header(answer: Json) -> Header:
    try:
        found = answer["header"]
        return Header(str(found["cluster_id"]), int(found.get("revision", 0)))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Malformed("answered without etcd's header: is this etcd's client port?") from error


def entries(answer: Json, prefix: bytes) -> tuple[Entry, ...]:
    """Of a range request, in the order of their keys."""
    try:
        return tuple(
            Entry(_key(kv, prefix), b64decode(kv.get("value", "")), int(kv["mod_revision"]))
            for kv in answer.get("kvs", ())
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Malformed("answered entries that cannot be read") from error


def _key(kv: Json, prefix: bytes) -> str:
    # A key that is not ours must not stand in the way of those that are.
    return b64decode(kv["key"])[len(prefix) :].decode(errors="backslashreplace")


@dataclass(frozen=True, slots=True)
class WatchNews:
    """One message of a watch."""

    changes: tuple[Change, ...] = ()
    compacted: bool = False
    """The watch is over: what it was to begin with is compacted away."""
    ended: str | None = None
    """The watch is over for this reason."""


def watch_news(line: bytes, prefix: bytes) -> WatchNews:
    message = parse(line)
    try:
        if "error" in message:
            return WatchNews(ended=str(message["error"].get("message", "ended with an error")))
        result = message["result"]
        if int(result.get("compact_revision", 0)) > 0:
            return WatchNews(compacted=True)
        if result.get("canceled"):
            return WatchNews(ended=str(result.get("cancel_reason") or "etcd ended the watch"))
        return WatchNews(changes=tuple(_change(event, prefix) for event in result.get("events", ())))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Malformed("sent a message of a watch that cannot be read") from error


def _change(event: Json, prefix: bytes) -> Change:
    kv = event["kv"]
    value = None if event.get("type") == "DELETE" else b64decode(kv.get("value", ""))
    return Change(_key(kv, prefix), value, int(kv["mod_revision"]))


# --- errors -----------------------------------------------------------------------------------------------------


class Verdict(Enum):
    """What an error means for the request."""

    TOKEN = "token"  # noqa: S105 (no secret)
    """Not done: the token is not good (any more)."""
    ELSEWHERE = "elsewhere"
    """Not done: this member cannot now, another one may."""
    REFUSED = "refused"
    """Not done, and no member would."""
    UNCLEAR = "unclear"
    """No answer, or one that says nothing of it: a write may have been, or may yet be, applied."""


TOKEN_TEXTS = (
    "invalid auth token",
    "user name is empty",
    "revision in header is old",
    "revision of auth store is old",
)
ELSEWHERE_TEXTS = (
    "no leader",
    "too many requests",
    "not supported for learner",
    "all SubConns are in TransientFailure",
    "Error while dialing",
)
"""Said before a write is proposed to the cluster. ("leader changed", "request timed out" and "server stopped" are said
after, so are no proof that it will not be applied.)"""

REFUSED_CODES = frozenset({3, 5, 6, 7, 9, 11, 12})
"""gRPC's invalid argument, not found, already exists, permission denied, failed precondition, out of range,
unimplemented: all said by etcd before it applies anything, or by its deterministic refusal to apply."""

COMMON_NAME = "CommonName of client"
"""With users enabled the gateway refuses whoever's certificate has a common name (etcd's embed/serve.go), lest one
believes that the name counts as the user, as it does over gRPC."""

HINTS = (
    (COMMON_NAME, "with users enabled, etcd's gateway wants a client certificate whose subject has no CN"),
    ("permission denied", "coordinator.username needs a role with readwrite on the prefix /failoverd/<cluster>/"),
    ("user name is empty", "etcd asks for a user: set coordinator.username and password_file"),
    ("authentication failed", "look at coordinator.username and password_file"),
    ("space exceeded", "compact and defragment etcd, then 'etcdctl alarm disarm'"),
    ("certificate", "look at coordinator.tls and the validity of the certificates"),
)


def verdict(status: int, text: str, code: int | None) -> Verdict:
    """``text`` is etcd's message, ``code`` gRPC's (None: there was none, so it was not etcd that answered)."""
    if code == 16 or any(part in text for part in TOKEN_TEXTS):  # gRPC's unauthenticated
        return Verdict.TOKEN
    if COMMON_NAME in text:
        return Verdict.REFUSED
    if any(part in text for part in ELSEWHERE_TEXTS) or (code is None and 400 <= status < 500):
        return Verdict.ELSEWHERE
    if code in REFUSED_CODES or "space exceeded" in text:
        return Verdict.REFUSED
    return Verdict.UNCLEAR


def error_of(status: int, raw: bytes) -> tuple[Verdict, str]:
    """An HTTP answer that is no success: what it means, and a line for the operator."""
    try:
        answer = parse(raw)
    except Malformed:
        text = raw[:200].decode(errors="replace").strip()
        told = f"HTTP status {status}, {text!r}" if text else f"HTTP status {status}"
        return verdict(status, text, None), hinted(f"{told}: is this etcd's client port?")
    found = answer.get("error", answer)
    found = found if isinstance(found, dict) else answer
    text = str(found.get("message") or answer.get("message") or f"HTTP status {status}")[:300]
    code = found.get("code", found.get("grpc_code"))
    return verdict(status, text, code if isinstance(code, int) else None), hinted(text)


def hinted(text: str) -> str:
    """With what to do about it, where that is known."""
    for part, hint in HINTS:
        if part in text:
            return f"{text} ({hint})"
    return text
