"""What is asked of the members, as a protocol: ``asking`` implements it, tests fake it."""

from collections.abc import Sequence
from typing import Protocol

from failoverd.coordinators.etcd.managed.joining import Answer
from failoverd.coordinators.etcd.managed.messages import Cluster, Member, Status


class Members(Protocol):
    """Every question has a deadline of its own, and raises ``Unanswered`` where there is no answer of use; of a
    change it is then unknown whether it was made, which the next look at the members tells."""

    async def survey(self, client_url: str, peer_url: str) -> Answer:
        """What there is on a voter's node. Never raises."""

    async def peer_view(self, peer_url: str) -> Cluster:
        """The cluster as a member knows it, with or without a leader."""

    async def status(self, client_url: str) -> Status: ...

    async def members(self, client_url: str) -> Cluster: ...

    async def alarms(self, client_url: str) -> dict[str, tuple[int, ...]]: ...

    async def add(self, urls: Sequence[str], peer_url: str, *, voting: bool) -> None:
        """Asked of one member (client URL) after another until one has done it, as every change of members is."""

    async def remove(self, urls: Sequence[str], member: Member) -> None: ...

    async def promote(self, urls: Sequence[str], member: Member) -> None: ...

    async def move(self, urls: Sequence[str], member: Member, peer_url: str) -> None:
        """It has another address from now on."""

    async def compact(self, client_url: str, revision: int) -> None: ...

    async def defragment(self, client_url: str) -> None:
        """It answers nobody meanwhile."""

    async def disarm(self, client_url: str, member: int, kind: str) -> None: ...
