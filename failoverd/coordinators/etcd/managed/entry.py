"""The way into the cluster of a node whose member has no data: asking around until ``joining`` says how."""

from collections.abc import Callable

import anyio

from failoverd.coordinators.etcd.managed.asking import Unanswered
from failoverd.coordinators.etcd.managed.certificates import Certificates
from failoverd.coordinators.etcd.managed.greeting import greeting_at
from failoverd.coordinators.etcd.managed.joining import Add, Answer, Begin, Remove, Wait, decide
from failoverd.coordinators.etcd.managed.layout import Layout
from failoverd.coordinators.etcd.managed.messages import Member
from failoverd.coordinators.etcd.managed.ports import Members
from failoverd.log.catalogue import Event
from failoverd.ports import EventLog

PAUSE_FIRST_S = 0.1
PAUSE_MAX_S = 2.0


class Entry:
    def __init__(
        self, layout: Layout, asker: Members, certificates: Certificates, log: EventLog, tell: Callable[[str], None]
    ) -> None:
        """``tell``: what is waited for."""
        self._layout, self._asker, self._certificates = layout, asker, certificates
        self._log, self._tell = log, tell

    async def begin(self, listen: str) -> Begin:
        """Until the member may be started. ``listen``: this node's address, where others are answered meanwhile.
        Raises ``PortTaken``."""
        port, tls = self._layout.settings.client_port, self._certificates.server_context()
        async with greeting_at(listen, port, tls, tuple(self._layout.hosts)):
            pause_s = PAUSE_FIRST_S
            while True:
                decision = decide(self._layout, await self._survey())
                if isinstance(decision, Begin):
                    return decision
                changed = await self._act(decision)
                pause_s = PAUSE_FIRST_S if changed else min(2 * pause_s, PAUSE_MAX_S)
                await anyio.sleep(pause_s)

    async def _survey(self) -> dict[str, Answer]:
        answers: dict[str, Answer] = {}

        async def ask(name: str) -> None:
            answers[name] = await self._asker.survey(self._layout.client_url(name), self._layout.peer_url(name))

        async with anyio.create_task_group() as tasks:
            for name in self._layout.others:
                tasks.start_soon(ask, name)
        return answers

    async def _act(self, decision: Add | Remove | Wait) -> bool:
        """Whether something was changed."""
        try:
            match decision:
                case Wait(why=why):
                    self._tell(why)
                    return False
                case Add(voting=voting):
                    await self._asker.add(self._urls, self._layout.peer_url(self._layout.node), voting=voting)
                    self._log.emit(Event.ETCD_MEMBER_ADDED, member=self._layout.node, voting=voting)
                case Remove(member=member):
                    await self._remove(member)
        except Unanswered as error:
            self._tell(f"the other members do not let this one in (yet): {error}")
            return False
        return True

    async def _remove(self, member: Member) -> None:
        """Raises ``Unanswered``."""
        await self._check_absent(member)
        await self._asker.remove(self._urls, member)
        self._log.emit(
            Event.ETCD_MEMBER_REMOVED,
            member=self._layout.node,
            reason="it has lost its data here and is to enter as a new one",
        )

    async def _check_absent(self, member: Member) -> None:
        """At our own address we would have met it; at another, somebody may run under our name."""
        elsewhere = [peer for peer in member.peer_urls if peer != self._layout.peer_url(self._layout.node)]
        for peer in elsewhere:
            try:
                await self._asker.peer_view(peer)
            except Unanswered:
                continue
            raise Unanswered(f"a member called {member.name} runs at {peer}: two machines have the same node name")

    @property
    def _urls(self) -> tuple[str, ...]:
        return tuple(self._layout.client_url(name) for name in self._layout.others)
