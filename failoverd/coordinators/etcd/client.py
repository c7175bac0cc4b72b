"""A request to the etcd cluster: one deadline, as many members as it takes, and never twice what may have been done.

A read goes on to the next member whenever one does not answer. A write does so only while it is certain that no
member has got it; once it may have been applied, its fate is unknown and that is what the caller is told: sent again,
it would find its own traces and be refused, which the caller would take for "nothing was written".
"""

import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import aiohttp
import anyio

from failoverd.coordinators.etcd import gateway
from failoverd.coordinators.etcd.access import Credentials
from failoverd.coordinators.etcd.endpoints import Endpoints
from failoverd.coordinators.etcd.gateway import Failed
from failoverd.coordinators.etcd.messages import Header, Json, Malformed, Verdict, header, range_one
from failoverd.errors import CoordinatorUnavailable

PAUSE_FIRST_S = 0.02
PAUSE_MAX_S = 0.2
"""After a round of all members in vain, doubling: an election takes some hundreds of milliseconds."""
CLOSE_TIMEOUT_S = 1.0
CLOSE_S = 0.05
"""What TLS connections need to be let go after ``ClientSession.close`` (aiohttp, "Graceful shutdown")."""
CONNECTIONS_MAX = 64

RANGE, TXN, WATCH, AUTHENTICATE = "/v3/kv/range", "/v3/kv/txn", "/v3/watch", "/v3/auth/authenticate"

T = TypeVar("T")


class EtcdRefuses(CoordinatorUnavailable):
    """It answers, and trying again does not help until somebody has changed something. Nothing was written."""


@dataclass(slots=True, kw_only=True)
class Request:
    path: str
    body: Json
    repeatable: bool
    """False: a write."""
    deadline: float
    sent: bool = False
    """It may have reached a member that has not certainly refused it."""
    troubles: dict[str, str] = field(default_factory=dict)
    """What was wrong with each endpoint, the latest."""

    def left_s(self) -> float:
        return max(0.0, self.deadline - anyio.current_time())


class EtcdClient:
    """Belongs to one event loop."""

    def __init__(
        self,
        endpoints: Endpoints,
        *,
        marker: bytes,
        timeout_s: float,
        tls: ssl.SSLContext | None,
        credentials: Credentials | None,
    ) -> None:
        """``marker`` is a key that may be asked for to see who answers (it need not exist)."""
        self._endpoints = endpoints
        self._marker = marker
        self.timeout_s = timeout_s
        self._credentials = credentials
        self._token: str | None = None
        self._authenticating = anyio.Lock()
        self._cluster: str | None = None
        self._revision = 0
        """The highest that was ever confirmed to us."""
        self._closing = anyio.Event()
        self._waiting: set[anyio.CancelScope] = set()
        self._session = gateway.session(tls, CONNECTIONS_MAX)

    # --- requests ---------------------------------------------------------------------------------------------

    async def read(self, body: Json) -> Json:
        return await self._call(self._request(RANGE, body), self._exchange)

    async def write(self, body: Json) -> Json:
        return await self._call(self._request(TXN, body, repeatable=False), self._exchange)

    async def stream(self, body: Json) -> tuple[str, aiohttp.ClientResponse]:
        """Open a watch: the endpoint, and the answer whose body is the stream."""
        return await self._call(self._request(WATCH, body), self._open)

    def _request(self, path: str, body: Json, *, repeatable: bool = True) -> Request:
        return Request(path=path, body=body, repeatable=repeatable, deadline=anyio.current_time() + self.timeout_s)

    async def _call(self, request: Request, once: Callable[[str, Request], Awaitable[T]]) -> T:
        """Raises ``CoordinatorUnavailable`` by the request's deadline."""
        self.check_open()
        with self.waiting_at_most(self.timeout_s):
            return await self._try_members(request, once)
        self.check_open()
        raise self._unavailable(request)

    async def _try_members(self, request: Request, once: Callable[[str, Request], Awaitable[T]]) -> T:
        pause_s = PAUSE_FIRST_S
        while True:
            for _ in self._endpoints.urls:
                url = self._endpoints.current
                try:
                    return await self._watched_over(url, request, once)
                except Failed as failed:
                    self.check_open()
                    request.troubles[url] = failed.why
                    lost = failed.verdict is Verdict.UNCLEAR and request.sent and not request.repeatable
                    if failed.verdict in (Verdict.REFUSED, Verdict.TOKEN):
                        raise EtcdRefuses(f"etcd {url} refuses: {failed.why}") from failed
                    if lost:
                        raise self._unavailable(request) from failed
                    request.sent = False
            await self.pause(pause_s)
            self.check_open()
            pause_s = min(2 * pause_s, PAUSE_MAX_S)

    async def _watched_over(self, url: str, request: Request, once: Callable[[str, Request], Awaitable[T]]) -> T:
        """The next member is asked from now on when this one failed, also if it was the caller who lost patience."""
        began = anyio.current_time()
        good = None
        try:
            answer = await once(url, request)
            good = True
        except Failed as failed:
            good = failed.verdict in (Verdict.REFUSED, Verdict.TOKEN)
            raise
        finally:
            if good is None:  # cancelled
                good = anyio.current_time() - began < self.timeout_s / 2
                request.troubles[url] = "no answer"
            if not good:
                self._endpoints.failed(url)
        self._endpoints.answered(url)
        return answer

    async def _exchange(self, url: str, request: Request) -> Json:
        await self._introduce(url, request)
        confirmed = self._revision
        limit_s = self._share_s(request) if request.repeatable else request.left_s()
        try:
            answer = await self._authorized(url, request, limit_s)
            found = header(answer)
        except Malformed as error:
            raise Failed(Verdict.UNCLEAR, str(error)) from error
        self._check(url, found, confirmed)
        return answer

    async def _open(self, url: str, request: Request) -> tuple[str, aiohttp.ClientResponse]:
        await self._introduce(url, request)
        share_s = self._share_s(request)
        token = await self._authenticated(url, request)
        response = await gateway.post(
            self._session, url + request.path, request.body, token=token, limit_s=share_s, connect_s=share_s
        )
        return url, response

    async def _authorized(self, url: str, request: Request, limit_s: float) -> Json:
        """With a token, and once more with a new one where the old is not good any more."""
        token = await self._authenticated(url, request)
        try:
            request.sent = True
            return await self._ask(url, request, token, limit_s)
        except Failed as failed:
            if failed.verdict is not Verdict.TOKEN or self._credentials is None:
                raise
            self.forget_token(token)
        request.sent = False
        token = await self._authenticated(url, request)
        request.sent = True
        return await self._ask(url, request, token, limit_s)

    async def _ask(self, url: str, request: Request, token: str | None, limit_s: float) -> Json:
        connect_s = self._share_s(request)
        return await gateway.ask(
            self._session, url + request.path, request.body, token=token, limit_s=limit_s, connect_s=connect_s
        )

    def _share_s(self, request: Request) -> float:
        """What one member gets of the time that is left, so that the next one gets some too."""
        return request.left_s() / (2 if len(self._endpoints.urls) > 1 else 1)

    # --- who is asked -----------------------------------------------------------------------------------------

    async def _introduce(self, url: str, request: Request) -> None:
        """Before a member is asked for the first time, or again after it failed: is it of our cluster? This also
        finds out with a harmless question whether it answers at all."""
        if self._endpoints.known(url):
            return
        confirmed = self._revision
        probe = Request(path=RANGE, body=range_one(self._marker), repeatable=True, deadline=request.deadline)
        answer = await self._authorized(url, probe, self._share_s(request))
        try:
            found = header(answer)
        except Malformed as error:
            raise Failed(Verdict.ELSEWHERE, str(error)) from error
        if self._cluster is None:
            self._cluster = found.cluster
        if found.cluster != self._cluster:
            raise Failed(
                Verdict.ELSEWHERE,
                "a member of another etcd cluster than the one that this daemon has used: correct"
                " coordinator.endpoints, or restart failoverd on every node if etcd was built anew",
            )
        self._check(url, found, confirmed)
        self._endpoints.identified(url)

    def _check(self, url: str, found: Header, confirmed: int) -> None:
        """Answers are linearizable: an older store than was ever confirmed is another one under the same name."""
        if found.revision < confirmed:
            self._endpoints.failed(url)
            raise EtcdRefuses(
                f"etcd {url} went back from revision {confirmed} to {found.revision} (restored from a backup, or built"
                " anew?); restart failoverd on every node once etcd holds what it should"
            )
        self.confirmed(found.revision)

    def confirmed(self, revision: int) -> None:
        self._revision = max(self._revision, revision)

    async def _authenticated(self, url: str, request: Request) -> str | None:
        """The token to use; one request at a time fetches it for all."""
        if self._credentials is None or self._token is not None:
            return self._token
        async with self._authenticating:
            if self._token is None:
                self._token = await self._fetch_token(url, request, self._credentials)
        return self._token

    async def _fetch_token(self, url: str, request: Request, credentials: Credentials) -> str | None:
        body = {"name": credentials.username, "password": credentials.password()}
        login = Request(path=AUTHENTICATE, body=body, repeatable=True, deadline=request.deadline)
        try:
            answer = await self._ask(url, login, None, self._share_s(request))
        except Failed as failed:
            if "authentication is not enabled" in failed.why:
                return None  # nobody is asked for a token; where that changes, we are told so and come back
            certain = failed.verdict is Verdict.UNCLEAR  # of the request behind it, which was not sent
            raise Failed(Verdict.ELSEWHERE if certain else failed.verdict, failed.why) from failed
        return str(answer.get("token", ""))

    def forget_token(self, token: str | None) -> None:
        if self._token == token:
            self._token = None

    def renew_token(self) -> None:
        self._token = None

    # --- errors and the end -----------------------------------------------------------------------------------

    def _unavailable(self, request: Request) -> CoordinatorUnavailable:
        told = "; ".join(f"{url}: {why}" for url, why in request.troubles.items())
        told = told or f"{self._endpoints.current}: no answer"
        if request.sent and not request.repeatable:
            return CoordinatorUnavailable(
                f"etcd did not confirm a write within {self.timeout_s:g}s ({told}): unknown whether it was applied"
            )
        return CoordinatorUnavailable(
            f"etcd does not answer within {self.timeout_s:g}s ({told}); look at its members with 'etcdctl endpoint"
            " health --cluster', and at the network to them"
        )

    def failed(self, url: str) -> None:
        self._endpoints.failed(url)

    def doubt(self, url: str) -> None:
        self._endpoints.doubt(url)

    async def pause(self, seconds: float) -> None:
        """Ends early when the client is closed."""
        with anyio.move_on_after(seconds):
            await self._closing.wait()

    @contextmanager
    def waiting_at_most(self, seconds: float) -> Iterator[None]:
        """Ends silently once the time is up, or the client is closed."""
        with anyio.move_on_after(seconds) as scope:
            self._waiting.add(scope)
            try:
                yield
            finally:
                self._waiting.discard(scope)

    def check_open(self) -> None:
        if self._closing.is_set():
            raise CoordinatorUnavailable("the etcd coordinator is closed")

    async def aclose(self) -> None:
        self._closing.set()
        for scope in self._waiting:
            scope.cancel()
        with anyio.move_on_after(CLOSE_TIMEOUT_S):
            await self._session.close()
            await anyio.sleep(CLOSE_S)
