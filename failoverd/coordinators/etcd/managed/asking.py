"""One question to one member, or to the daemon in its place; or the same question to one member after another."""

import json
import ssl
from collections.abc import Callable, Sequence
from typing import TypeVar

import aiohttp
import anyio

from failoverd.coordinators.etcd import gateway
from failoverd.coordinators.etcd.gateway import Failed
from failoverd.coordinators.etcd.managed.joining import Answer, Empty, Runs, Silent
from failoverd.coordinators.etcd.managed.messages import (
    Cluster,
    Member,
    Status,
    alarms_of,
    cluster_of_list,
    cluster_of_peer,
    status_of,
)
from failoverd.coordinators.etcd.messages import Json, Malformed
from failoverd.errors import FailoverdError

GREETING = "/failoverd/greeting"
"""Answered by a daemon whose member does not run yet; by etcd, with status 404."""
TIMEOUT_S = 1.0
CHANGE_TIMEOUT_S = 7.0
"""What etcd itself allows a change of members (etcdserver/config.go: ReqTimeout, and elections)."""
DEFRAGMENT_TIMEOUT_S = 30.0
CONNECTIONS_MAX = 32

T = TypeVar("T")


class Unanswered(FailoverdError):  # noqa: N818 (what is the case)
    """No answer of use. Whether a change was made is unknown."""


class Asker:
    """``ports.Members``. Belongs to one event loop."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._session = gateway.session(tls, CONNECTIONS_MAX)

    async def aclose(self) -> None:
        await self._session.close()

    # --- who is there -----------------------------------------------------------------------------------------

    async def survey(self, client_url: str, peer_url: str) -> Answer:
        try:
            return Runs(cluster=await self.peer_view(peer_url), formed=await self._formed(peer_url))
        except Unanswered as error:
            why = str(error)
        try:
            found = await self._ask(client_url, GREETING, {})
            return Empty(voters=tuple(str(name) for name in found["voters"]))
        except Unanswered as error:
            # At the peer port nobody is as it should be where no member runs: the other port counts.
            return Silent(why=str(error) if "refused" in why else why)
        except (KeyError, TypeError):
            return Silent(why=f"{client_url}: answered something that is not failoverd's")

    async def peer_view(self, peer_url: str) -> Cluster:
        number, raw = await self._get(peer_url, "/members")
        try:
            return cluster_of_peer(number, raw)
        except Malformed as error:
            raise Unanswered(f"{peer_url}: {error}") from error

    async def _formed(self, peer_url: str) -> bool:
        """Whether its members have agreed upon a version, which is the first thing that they agree upon."""
        return b"not_decided" not in (await self._get(peer_url, "/version"))[1]

    async def _get(self, peer_url: str, path: str) -> tuple[str, bytes]:
        """The cluster's number, hexadecimal, and the body. Raises ``Unanswered``."""
        try:
            with anyio.fail_after(TIMEOUT_S):
                async with self._session.get(peer_url + path, allow_redirects=False) as response:
                    raw = await gateway.whole(response)
                    if response.status != 200:
                        raise Unanswered(f"{peer_url}: HTTP status {response.status}")
                    return response.headers.get("X-Etcd-Cluster-ID", ""), raw
        except TimeoutError as error:
            raise Unanswered(f"{peer_url}: no answer") from error
        except aiohttp.ClientConnectorError as error:
            raise Unanswered(f"{peer_url}: {explained(gateway.of_connecting(error))}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unanswered(f"{peer_url}: {explained(str(error) or type(error).__name__)}") from error
        except Failed as error:
            raise Unanswered(f"{peer_url}: {error}") from error

    async def status(self, client_url: str) -> Status:
        return self._read(client_url, status_of, await self._ask(client_url, "/v3/maintenance/status", {}))

    async def members(self, client_url: str) -> Cluster:
        return self._read(client_url, cluster_of_list, await self._ask(client_url, "/v3/cluster/member/list", {}))

    async def alarms(self, client_url: str) -> dict[str, tuple[int, ...]]:
        return self._read(client_url, alarms_of, await self._ask(client_url, "/v3/maintenance/alarm", {}))

    # --- changes ----------------------------------------------------------------------------------------------

    async def add(self, urls: Sequence[str], peer_url: str, *, voting: bool) -> None:
        body = {"peerURLs": [peer_url], "isLearner": not voting}
        await self._change(urls, "/v3/cluster/member/add", body)

    async def remove(self, urls: Sequence[str], member: Member) -> None:
        await self._change(urls, "/v3/cluster/member/remove", {"ID": str(member.id)})

    async def promote(self, urls: Sequence[str], member: Member) -> None:
        await self._change(urls, "/v3/cluster/member/promote", {"ID": str(member.id)})

    async def move(self, urls: Sequence[str], member: Member, peer_url: str) -> None:
        await self._change(urls, "/v3/cluster/member/update", {"ID": str(member.id), "peerURLs": [peer_url]})

    async def compact(self, client_url: str, revision: int) -> None:
        await self._ask(
            client_url, "/v3/kv/compaction", {"revision": str(revision), "physical": True}, CHANGE_TIMEOUT_S
        )

    async def defragment(self, client_url: str) -> None:
        await self._ask(client_url, "/v3/maintenance/defragment", {}, DEFRAGMENT_TIMEOUT_S)

    async def disarm(self, client_url: str, member: int, kind: str) -> None:
        body = {"action": "DEACTIVATE", "memberID": str(member), "alarm": kind}
        await self._ask(client_url, "/v3/maintenance/alarm", body, CHANGE_TIMEOUT_S)

    async def _change(self, urls: Sequence[str], path: str, body: Json) -> None:
        """Asked of one member after another until one has done it. A change that was made without our hearing of it
        is found by the next look at the members."""
        troubles = []
        for url in urls:
            try:
                await self._ask(url, path, body, CHANGE_TIMEOUT_S)
            except Unanswered as error:
                troubles.append(str(error))
            else:
                return
        raise Unanswered("; ".join(troubles) or "there is no member to ask")

    async def _ask(self, url: str, path: str, body: Json, limit_s: float = TIMEOUT_S) -> Json:
        try:
            return await gateway.ask(
                self._session, url + path, body, token=None, limit_s=limit_s, connect_s=min(limit_s, TIMEOUT_S)
            )
        except Failed as failed:
            raise Unanswered(f"{url}: {explained(failed.why)}") from failed

    def _read(self, url: str, reader: Callable[[Json], T], answer: Json) -> T:
        try:
            return reader(answer)
        except Malformed as error:
            raise Unanswered(f"{url}: {error}") from error


def explained(why: str) -> str:
    """With what to do where the reason is a certificate: its owner has another cluster key, or is no member of ours."""
    if "certificate" not in why.lower():
        return why
    return (
        "the certificate there, or ours, is not of this cluster: key_file and the cluster's name must be the same on "
        f"every node ({why.partition(' (look at')[0]})"
    )


def greeting(voters: Sequence[str]) -> bytes:
    """The body of the answer to ``GREETING`` of a daemon whose member has no data."""
    return json.dumps({"version": 1, "empty": True, "voters": list(voters)}).encode()
