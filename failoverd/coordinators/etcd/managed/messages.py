"""What members say of themselves, read from their JSON. Pure.

A member lists its cluster's members in two ways: at its peer port to other members, as soon as it runs (etcd's
etcdserver/api/etcdhttp/peer.go), and at its client port by ``MemberList`` once there is a leader.
"""

import json
from dataclasses import dataclass
from typing import Any

from failoverd.coordinators.etcd.messages import Json, Malformed


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    id: int
    name: str
    """Empty while it has never started."""
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...] = ()
    """None while it has never started."""
    learner: bool = False
    """It receives everything and has no vote yet."""

    @property
    def started(self) -> bool:
        return bool(self.client_urls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """An etcd cluster as one of its members knows it."""

    id: int
    members: tuple[Member, ...]

    def find(self, name: str, peer_url: str) -> Member | None:
        """By its address rather than its name, which a member that never started may not have yet."""
        found = [member for member in self.members if peer_url in member.peer_urls]
        found += [member for member in self.members if member.name == name]
        return found[0] if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A member's word about itself."""

    cluster: int
    id: int
    leader: int
    """0: it knows of none."""
    version: str
    term: int
    revision: int
    index: int
    """Of the last entry that it has applied."""
    db_bytes: int
    db_used_bytes: int
    learner: bool
    errors: tuple[str, ...] = ()


def status_of(answer: Json) -> Status:
    """Of ``/v3/maintenance/status``. Raises ``Malformed``."""
    try:
        header = answer["header"]
        return Status(
            cluster=int(header["cluster_id"]),
            id=int(header["member_id"]),
            leader=int(answer.get("leader", 0)),
            version=str(answer.get("version", "")),
            term=int(answer.get("raftTerm", 0)),
            revision=int(header.get("revision", 0)),
            index=int(answer.get("raftAppliedIndex", 0)),
            db_bytes=int(answer.get("dbSize", 0)),
            db_used_bytes=int(answer.get("dbSizeInUse", 0)),
            learner=bool(answer.get("isLearner", False)),
            errors=tuple(str(text) for text in answer.get("errors", ())),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Malformed("answered without etcd's status: is this etcd's client port?") from error


def cluster_of_list(answer: Json) -> Cluster:
    """Of ``/v3/cluster/member/list``. Raises ``Malformed``."""
    try:
        members = tuple(_member(each, "ID") for each in answer.get("members", ()))
        return Cluster(id=int(answer["header"]["cluster_id"]), members=members)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Malformed("answered without etcd's members: is this etcd's client port?") from error


def cluster_of_peer(cluster: str, raw: bytes) -> Cluster:
    """Of ``/members`` at the peer port; ``cluster`` is its header ``X-Etcd-Cluster-ID``. Raises ``Malformed``."""
    try:
        return Cluster(id=int(cluster, 16), members=tuple(_member(each, "id") for each in json.loads(raw)))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Malformed("answered without etcd's members: is this etcd's peer port?") from error


def _member(each: dict[str, Any], number: str) -> Member:
    return Member(
        id=int(each[number]),
        name=str(each.get("name", "")),
        peer_urls=tuple(str(peer) for peer in each.get("peerURLs") or ()),
        client_urls=tuple(str(client) for client in each.get("clientURLs") or ()),
        learner=bool(each.get("isLearner", False)),
    )


def alarms_of(answer: Json) -> dict[str, tuple[int, ...]]:
    """The alarms that are raised, by kind (NOSPACE, CORRUPT), and the members that raised them. Raises
    ``Malformed``."""
    try:
        found: dict[str, list[int]] = {}
        for alarm in answer.get("alarms", ()):
            found.setdefault(str(alarm.get("alarm", "NONE")), []).append(int(alarm.get("memberID", 0)))
        return {kind: tuple(ids) for kind, ids in found.items()}
    except (TypeError, ValueError, AttributeError) as error:
        raise Malformed("answered alarms that cannot be read") from error
