"""What a request to etcd becomes when members misbehave: which is asked next, and what is never sent twice."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from failoverd.coordinators.etcd.coordinator import EtcdCoordinator
from failoverd.coordinators.etcd.endpoints import RETURN_AFTER, RETURN_AFTER_MAX, Endpoints
from failoverd.coordinators.etcd.messages import Verdict, end_of_prefix, error_of, hinted, watch_news
from failoverd.demo.local import HOST, free_ports
from failoverd.errors import CoordinatorUnavailable
from failoverd.ports import Change, Commit, Put
from tests.unit.coordinators.etcd_fake import Answer, FakeMember, done, error, fake_members, header

TXN, RANGE = "/v3/kv/txn", "/v3/kv/range"
TIMEOUT_S = 0.6


@asynccontextmanager
async def client(*urls: str, timeout_s: float = TIMEOUT_S) -> AsyncIterator[EtcdCoordinator]:
    made = EtcdCoordinator(urls, cluster="shop", request_timeout_s=timeout_s)
    try:
        yield made
    finally:
        await made.aclose()


def urls(members: list[FakeMember]) -> list[str]:
    return [member.url for member in members]


def asked(members: list[FakeMember]) -> list[int]:
    return [member.count(TXN) for member in members]


# --- writes -----------------------------------------------------------------------------------------------------

UNCLEAR: list[Answer] = [
    None,
    error("etcdserver: request timed out", 14),
    error("etcdserver: request timed out, possibly due to previous leader failure", 14),
    error("etcdserver: leader changed", 14),
    error("etcdserver: server stopped", 14),
    (502, {}),
    (200, {"hello": "world"}),
]


@pytest.mark.parametrize("answer", UNCLEAR, ids=str)
async def test_write_that_may_have_been_applied_is_sent_once_and_called_unknown(answer: Answer) -> None:
    async with fake_members(2) as members, client(*urls(members)) as etcd:
        members[0].answers[TXN] = lambda: answer
        with pytest.raises(CoordinatorUnavailable, match=f"{members[0].url}.*unknown whether"):
            await etcd.commit([], [Put("k", b"")])
        assert asked(members) == [1, 0]
        members[1].answers[TXN] = done
        assert (await etcd.commit([], [Put("k", b"")])).ok, "the next request is the next member's"
        assert asked(members) == [1, 1]


async def test_write_without_an_answer_is_unknown_at_its_deadline() -> None:
    async with fake_members(2) as members, client(*urls(members)) as etcd:
        await etcd.read("k")
        members[0].silent.set()
        began = anyio.current_time()
        with pytest.raises(CoordinatorUnavailable, match="unknown whether"):
            await etcd.commit([], [Put("k", b"")])
        assert TIMEOUT_S * 0.9 < anyio.current_time() - began < TIMEOUT_S + 0.3
        assert asked(members) == [1, 0]


CERTAIN: list[Answer] = [
    error("etcdserver: no leader", 14),
    error("etcdserver: too many requests", 8, 429),
    error("etcdserver: rpc not supported for learner", 14),
    error("all SubConns are in TransientFailure, latest connection error: connection refused", 14),
    (404, {"message": "Not Found"}),
]


@pytest.mark.parametrize("answer", CERTAIN, ids=str)
async def test_write_that_was_certainly_not_begun_goes_to_the_next_member(answer: Answer) -> None:
    async with fake_members(2) as members, client(*urls(members)) as etcd:
        members[0].answers[TXN] = lambda: answer
        members[1].answers[TXN] = done
        assert await etcd.commit([], [Put("k", b"")]) == Commit(ok=True, revision=2)
        assert asked(members) == [1, 1]
        assert (await etcd.commit([], [Put("k", b"")])).ok
        assert asked(members) == [1, 2], "it stays with the one that answers"


async def test_write_waits_for_a_leader_within_its_deadline() -> None:
    async with fake_members(1) as members, client(*urls(members)) as etcd:
        answers = [error("etcdserver: no leader", 14)] * 3 + [done()]
        members[0].answers[TXN] = lambda: answers.pop(0)
        assert (await etcd.commit([], [Put("k", b"")])).ok


async def test_no_leader_at_all_is_told_by_the_deadline_with_few_questions() -> None:
    async with fake_members(2) as members, client(*urls(members)) as etcd:
        for member in members:
            member.answers[TXN] = lambda: error("etcdserver: no leader", 14)
        with pytest.raises(CoordinatorUnavailable, match=r"does not answer within 0\.6s .*no leader") as caught:
            await etcd.commit([], [Put("k", b"")])
        assert "unknown" not in str(caught.value)
        assert sum(asked(members)) <= 20


async def test_refusal_is_told_at_once_and_nobody_else_is_asked() -> None:
    async with fake_members(2) as members, client(*urls(members), timeout_s=5) as etcd:
        members[0].answers[TXN] = lambda: error("etcdserver: permission denied", 7, 403)
        with anyio.fail_after(1), pytest.raises(CoordinatorUnavailable, match=r"refuses: .*role with readwrite"):
            await etcd.commit([], [Put("k", b"")])
        assert asked(members) == [1, 0]


async def test_callers_patience_is_a_deadline_too() -> None:
    async with fake_members(2) as members, client(*urls(members), timeout_s=1) as etcd:
        await etcd.read("k")
        members[0].silent.set()
        members[1].answers[TXN] = done
        with anyio.move_on_after(0.7):
            await etcd.commit([], [Put("k", b"")])
        assert asked(members) == [1, 0]
        assert (await etcd.commit([], [Put("k", b"")])).ok
        assert asked(members) == [1, 1], "a member that kept the caller waiting is not asked again"


# --- reads ------------------------------------------------------------------------------------------------------


async def test_read_goes_on_to_whoever_answers_within_its_deadline() -> None:
    refused = f"http://{HOST}:{free_ports(1)[0]}"
    async with fake_members(2) as members, client(refused, *urls(members)) as etcd:
        members[0].silent.set()
        assert await etcd.read("k") is None
        assert members[1].count(RANGE) > 0


async def test_failure_names_every_endpoint_and_its_reason() -> None:
    refused = f"http://{HOST}:{free_ports(1)[0]}"
    async with fake_members(1) as members, client(refused, *urls(members)) as etcd:
        members[0].silent.set()
        with pytest.raises(CoordinatorUnavailable) as caught:
            await etcd.list("")
        assert f"{refused}: " in str(caught.value)
        assert "refused" in str(caught.value).lower()
        assert f"{members[0].url}: no answer" in str(caught.value)
        assert "etcdctl endpoint health" in str(caught.value)


# --- who answers ------------------------------------------------------------------------------------------------


async def test_member_of_another_cluster_is_never_written_to() -> None:
    async with fake_members(2) as members, client(*urls(members)) as etcd:
        members[0].answers[TXN] = done
        await etcd.commit([], [Put("k", b"")])
        members[0].silent.set()
        members[1].answers[RANGE] = lambda: (200, header(cluster="another"))
        for _ in range(3):
            with pytest.raises(CoordinatorUnavailable):
                await etcd.commit([], [Put("k", b"")])
        with pytest.raises(CoordinatorUnavailable, match="another etcd cluster"):
            await etcd.read("k")
        assert members[1].count(TXN) == 0


async def test_store_that_went_back_is_not_believed() -> None:
    async with fake_members(1) as members, client(*urls(members)) as etcd:
        members[0].answers[RANGE] = lambda: (200, header(9))
        await etcd.read("k")
        members[0].answers[RANGE] = lambda: (200, header(5))
        for _ in range(2):
            with pytest.raises(CoordinatorUnavailable, match="went back from revision 9 to 5"):
                await etcd.list("")


async def test_watch_of_a_store_that_went_back_is_an_error() -> None:
    async with fake_members(1) as members, client(*urls(members)) as etcd:
        members[0].answers[RANGE] = lambda: (200, header(9))
        await etcd.read("k")
        members[0].answers[RANGE] = lambda: (200, header(5))
        members[0].answers["/v3/watch"] = lambda: None
        async with etcd.watch("", 9) as batches:
            with anyio.fail_after(3), pytest.raises(CoordinatorUnavailable, match="went back"):
                await anext(batches)


async def test_watch_that_always_ends_is_not_hammered() -> None:
    async with fake_members(1) as members, client(*urls(members)) as etcd:
        members[0].answers["/v3/watch"] = lambda: (200, {"result": {**header(), "created": True}})
        async with etcd.watch("", 1) as batches:
            with anyio.move_on_after(1.0):
                await anext(batches)
        assert 2 <= members[0].count("/v3/watch") <= 12


# --- parts ------------------------------------------------------------------------------------------------------


def test_endpoints_move_on_once_for_many_failures_of_one() -> None:
    endpoints = Endpoints(["http://a/", "http://b", "http://a"])
    assert endpoints.urls == ("http://a", "http://b")
    for _ in range(3):
        endpoints.failed("http://a")
    assert endpoints.current == "http://b"
    endpoints.failed("http://b")
    assert endpoints.current == "http://a"


def test_the_first_endpoint_is_tried_again_after_a_while_and_less_often_in_vain() -> None:
    endpoints = Endpoints(["http://a", "http://b"])

    def answers_until_a_is_tried() -> int:
        for count in range(10 * RETURN_AFTER_MAX):
            if endpoints.current == "http://a":
                return count
            endpoints.answered("http://b")
        return 0

    endpoints.failed("http://a")
    assert answers_until_a_is_tried() == RETURN_AFTER
    endpoints.failed("http://a")
    assert answers_until_a_is_tried() == 2 * RETURN_AFTER
    for _ in range(20):
        endpoints.failed("http://a")
        answers_until_a_is_tried()
    endpoints.failed("http://a")
    assert answers_until_a_is_tried() == RETURN_AFTER_MAX
    for _ in range(RETURN_AFTER):
        endpoints.answered("http://a")
    endpoints.failed("http://a")
    assert answers_until_a_is_tried() == RETURN_AFTER


def test_prefix_ends_where_the_next_key_begins() -> None:
    assert end_of_prefix(b"/failoverd/shop/") == b"/failoverd/shop0"
    assert end_of_prefix("é".encode()) > "é\uffff".encode()


@pytest.mark.parametrize(
    ("status", "raw", "verdict"),
    [
        (
            401,
            b'{"error":"etcdserver: invalid auth token","code":16,"message":"etcdserver: invalid auth token"}',
            "TOKEN",
        ),
        (400, b'{"code":3,"message":"etcdserver: user name is empty"}', "TOKEN"),
        (400, b'{"code":3,"message":"etcdserver: too many operations in txn request"}', "REFUSED"),
        (503, b'{"code":8,"message":"etcdserver: mvcc: database space exceeded"}', "REFUSED"),
        (503, b"<html>proxy</html>", "UNCLEAR"),
        (400, b"Client sent an HTTP request to an HTTPS server.", "ELSEWHERE"),
        (200, b'{"error":{"grpc_code":14,"message":"etcdserver: no leader"}}', "ELSEWHERE"),
    ],
)
def test_errors_are_what_etcd_means_by_them(status: int, raw: bytes, verdict: str) -> None:
    assert error_of(status, raw)[0] is Verdict[verdict]


def test_hints_are_given_where_known() -> None:
    assert "alarm disarm" in hinted("etcdserver: mvcc: database space exceeded")
    assert hinted("other") == "other"


def test_watch_messages_are_read() -> None:
    line = b"""{"result":{"header":{"cluster_id":"1","revision":"3"},"events":[
        {"kv":{"key":"cC9r","mod_revision":"2","value":"dg=="}},{"type":"DELETE","kv":{"key":"cC9r","mod_revision":"3"}}]}}"""
    assert watch_news(line, b"p/").changes == (Change("k", b"v", 2), Change("k", None, 3))
    assert watch_news(b'{"result":{"canceled":true,"compact_revision":"7"}}', b"").compacted
    assert watch_news(b'{"error":{"message":"etcdserver: no leader"}}', b"").ended == "etcdserver: no leader"
    assert watch_news(b'{"result":{"canceled":true}}', b"").ended is not None
    assert watch_news(b'{"result":{"created":true}}', b"").ended is None
