"""The port: keys below ``/failoverd/<cluster>/``, etcd's own revisions."""

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Self

from failoverd.config.settings import EtcdSettings
from failoverd.coordinators.etcd.access import Credentials, tls_context
from failoverd.coordinators.etcd.client import EtcdClient
from failoverd.coordinators.etcd.endpoints import Endpoints
from failoverd.coordinators.etcd.messages import Malformed, entries, header, range_one, range_prefix, txn
from failoverd.coordinators.etcd.watch import EtcdWatch
from failoverd.coordinators.requests import check_commit
from failoverd.errors import CoordinatorUnavailable, StartupError
from failoverd.ports import Change, Commit, Delete, Entry, Expect, Listing, Put

IDLE_TIMEOUTS = 3
IDLE_MIN_S = 0.3
"""A watch that was silent for ``IDLE_TIMEOUTS`` requests' time, and at least this, is opened anew. In a cluster that
lives it never is silent: every node renews its lease, as a rule once in a request's time."""


class EtcdCoordinator:
    """Belongs to the event loop that it was made in. Nothing is asked of etcd before the first request, so that a
    daemon may be up before its etcd."""

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        cluster: str,
        request_timeout_s: float,
        tls: ssl.SSLContext | None = None,
        credentials: Credentials | None = None,
        idle_s: float | None = None,
    ) -> None:
        self._prefix = f"/failoverd/{cluster}/".encode()
        self._idle_s = max(IDLE_MIN_S, IDLE_TIMEOUTS * request_timeout_s) if idle_s is None else idle_s
        self._client = EtcdClient(
            Endpoints(endpoints),
            marker=self._prefix,
            timeout_s=request_timeout_s,
            tls=tls,
            credentials=credentials,
        )

    @classmethod
    def of(cls, settings: EtcdSettings, *, cluster: str, request_timeout_s: float) -> Self:
        """Raises ``StartupError`` where a file that the settings name cannot be used."""
        credentials = None
        if settings.username is not None and settings.password_file is not None:
            credentials = Credentials(username=settings.username, password_file=settings.password_file)
            try:
                credentials.password()
            except CoordinatorUnavailable as error:
                raise StartupError(str(error)) from error
        files = settings.tls
        tls = None if files is None else tls_context(ca=files.ca, cert=files.cert, key=files.key)
        return cls(
            settings.endpoints,
            cluster=cluster,
            request_timeout_s=request_timeout_s,
            tls=tls,
            credentials=credentials,
        )

    async def read(self, key: str) -> Entry | None:
        found = self._entries(await self._client.read(range_one(self._prefix + key.encode())))
        return found[0] if found else None

    async def list(self, prefix: str) -> Listing:
        answer = await self._client.read(range_prefix(self._prefix + prefix.encode()))
        return Listing(header(answer).revision, self._entries(answer))

    def _entries(self, answer: dict[str, object]) -> tuple[Entry, ...]:
        try:
            return entries(answer, self._prefix)
        except Malformed as error:
            raise CoordinatorUnavailable(f"etcd {error}") from error

    async def commit(self, expects: Sequence[Expect], writes: Sequence[Put | Delete]) -> Commit:
        check_commit(expects, writes)
        answer = await self._client.write(txn(self._prefix, expects, writes))
        return Commit(ok=answer.get("succeeded") is True, revision=header(answer).revision)

    @asynccontextmanager
    async def watch(self, prefix: str, after: int) -> AsyncIterator[AsyncIterator[tuple[Change, ...]]]:
        watch = EtcdWatch(self._client, self._prefix + prefix.encode(), self._prefix, after=after, idle_s=self._idle_s)
        try:
            yield watch
        finally:
            watch.close()

    async def aclose(self) -> None:
        """Ends the watches with an error. Takes a second at most."""
        await self._client.aclose()
