"""A layout and members that are no more than what a test says."""

from collections.abc import Sequence
from pathlib import Path

from failoverd.config.settings import ManagedSettings
from failoverd.coordinators.etcd.managed.asking import Unanswered
from failoverd.coordinators.etcd.managed.joining import Answer, Silent
from failoverd.coordinators.etcd.managed.layout import Layout
from failoverd.coordinators.etcd.managed.messages import Cluster, Member, Status

CLUSTER = 0xC1


def layout(node: str = "a", names: str = "abw", directory: Path = Path("/nowhere"), client_port: int = 7801) -> Layout:
    return Layout(
        cluster="shop",
        node=node,
        hosts={name: f"10.0.0.{number}" for number, name in enumerate(names, 1)},
        settings=ManagedSettings(client_port=client_port),
        directory=directory / "etcd",
        run_dir=directory / "run",
    )


def member(plan: Layout, name: str, number: int, *, started: bool = True, learner: bool = False) -> Member:
    urls = (plan.client_url(name),) if started else ()
    return Member(
        id=number,
        name=name if started else "",
        peer_urls=(plan.peer_url(name),),
        client_urls=urls,
        learner=learner,
    )


class FakeMembers:
    """Members 1, 2, 3 … in the order of the layout, all well; the first leads."""

    def __init__(self, plan: Layout) -> None:
        self.plan = plan
        self.ids = {name: number for number, name in enumerate(plan.hosts, 1)}
        self.urls = {plan.client_url(name): name for name in plan.hosts}
        self.there = {number: member(plan, name, number) for name, number in self.ids.items()}
        self.leader = 1
        self.silent: set[str] = set()
        """Nodes whose member does not answer."""
        self.size: dict[str, tuple[int, int]] = dict.fromkeys(plan.hosts, (20_000, 16_000))
        self.raised: dict[str, tuple[int, ...]] = {}
        self.done: list[tuple[str, str]] = []
        """What was changed, and of whom."""

    def _at(self, url: str) -> str:
        name = self.urls.get(url, "")
        if not name or name in self.silent:
            raise Unanswered(f"{url}: no answer")
        return name

    async def survey(self, client_url: str, peer_url: str) -> Answer:
        return Silent(why=f"{client_url}, {peer_url}: no answer")

    async def peer_view(self, peer_url: str) -> Cluster:
        raise Unanswered(f"{peer_url}: no answer")

    async def status(self, client_url: str) -> Status:
        name = self._at(client_url)
        size, used = self.size[name]
        learner = self.ids[name] in self.there and self.there[self.ids[name]].learner
        return Status(
            cluster=CLUSTER,
            id=self.ids[name],
            leader=self.leader,
            version="3.4.23",
            term=7,
            revision=100,
            index=100,
            db_bytes=size,
            db_used_bytes=used,
            learner=learner,
        )

    async def members(self, client_url: str) -> Cluster:
        self._at(client_url)
        return Cluster(id=CLUSTER, members=tuple(self.there.values()))

    async def alarms(self, client_url: str) -> dict[str, tuple[int, ...]]:
        self._at(client_url)
        return self.raised

    async def add(self, urls: Sequence[str], peer_url: str, *, voting: bool) -> None:
        self.done.append(("add", f"{urls[0]} {peer_url} {voting}"))

    async def remove(self, urls: Sequence[str], member: Member) -> None:
        self._at(urls[0])
        del self.there[member.id]
        self.done.append(("remove", member.name))

    async def promote(self, urls: Sequence[str], member: Member) -> None:
        self._at(urls[0])
        self.there[member.id] = Member(
            id=member.id, name=member.name, peer_urls=member.peer_urls, client_urls=member.client_urls
        )
        self.done.append(("promote", member.name))

    async def move(self, urls: Sequence[str], member: Member, peer_url: str) -> None:
        self._at(urls[0])
        self.there[member.id] = Member(
            id=member.id, name=member.name, peer_urls=(peer_url,), client_urls=member.client_urls
        )
        self.done.append(("move", member.name))

    async def compact(self, client_url: str, revision: int) -> None:
        assert revision > 0
        self.done.append(("compact", self._at(client_url)))

    async def defragment(self, client_url: str) -> None:
        name = self._at(client_url)
        self.size[name] = (self.size[name][1], self.size[name][1])
        self.done.append(("defragment", name))

    async def disarm(self, client_url: str, member: int, kind: str) -> None:
        self._at(client_url)
        self.raised = {}
        self.done.append(("disarm", f"{kind} {member}"))
