"""One node of the cluster: the parts put together, and the loop that decides.

Everything reaches the world through ``NodePorts``, so that the same node runs as a daemon, in tests on a virtual
clock, and in simulations.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from typing import Any

import anyio
from anyio.abc import TaskGroup

from failoverd.bell import Alarm
from failoverd.domain.decide import Blocked, Obstacle, decide, next_deadline
from failoverd.domain.durations import LearnedDurations
from failoverd.domain.fencing import Shoot
from failoverd.domain.handover import Step
from failoverd.domain.lease import LeaseSettings
from failoverd.domain.model import Group, NodeSpec, OnStop, limits_of
from failoverd.domain.placement import Cause, LeaseState
from failoverd.domain.report import GroupReport, PeerState
from failoverd.domain.view import View
from failoverd.errors import CoordinatorUnavailable, GuardUnavailable
from failoverd.fencing.none import NoFencer
from failoverd.guard.none import NoGuard
from failoverd.log.catalogue import Event
from failoverd.pace import Pace
from failoverd.ports import Change, Clock, Coordinator, EventLog, Fencer, Guard, HealthChecker, Received, Transport
from failoverd.records import Kind, placement_key
from failoverd.runtime.actor import subject_of
from failoverd.runtime.announcer import Announcer
from failoverd.runtime.assembly import actor_of, failsafe_of, keeper_of, view_builder_of
from failoverd.runtime.board import Authority, Board, Elsewhere
from failoverd.runtime.bonds import Bonds
from failoverd.runtime.component import NoChecks, Surroundings
from failoverd.runtime.evidence import EvidenceLog
from failoverd.runtime.fencing import Fencing
from failoverd.runtime.group import BuildAgent, GroupRunner
from failoverd.runtime.handover_document import Offload, handover_document, inline
from failoverd.runtime.handovers import Handover, HandoverBook
from failoverd.runtime.holds import HoldKeeper
from failoverd.runtime.incidents import IncidentRecorder
from failoverd.runtime.mirror import Contact, Mirror, News
from failoverd.runtime.peers import Peers
from failoverd.runtime.reaches import Reaches
from failoverd.runtime.reclaim import Reclaimer
from failoverd.runtime.reporter import Reporter
from failoverd.runtime.slots import Slots
from failoverd.runtime.spread import phases
from failoverd.runtime.suspicion import Suspicion
from failoverd.runtime.telling import Teller

DEBOUNCE_S = 0.01
PAUSES = 25
"""Changes of components are judged together within this time, or in a large cluster within so many times what a round
of decisions takes; news of placements and peers, and the end of a handover, at once."""
IDLE_S = 10.0
"""Although nothing has changed: what counts times without a deadline in the view is looked at this often at least."""
PROBE_PATIENCE_S = 15.0
"""How long the first probes may hold up the node as a whole; what is still unknown then stays so by itself."""
DROPS_REPORT_S = 10.0
STOP_POLL_S = 0.05
INFORMED_POLL_S = 0.05
"""Where no news come: what else it may wait for is looked at this often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePorts:
    clock: Clock
    coordinator: Coordinator
    transport: Transport
    log: EventLog
    build_agent: BuildAgent
    new_incarnation: Callable[[], str]
    host: str
    """Identifies this machine and run_dir (see ``LeaseKeeper``)."""
    guard: Guard = field(default_factory=NoGuard)
    fencer: Fencer = field(default_factory=NoFencer)
    offload: Offload = inline
    checker: HealthChecker = field(default_factory=NoChecks)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    cluster: str
    me: str
    nodes: Mapping[str, NodeSpec]
    groups: Mapping[str, Group]
    interval_s: float
    dead_after_s: float
    lease: LeaseSettings


class Node:
    def __init__(self, settings: NodeSettings, ports: NodePorts, learned: LearnedDurations | None = None) -> None:
        evidence = EvidenceLog(ports.log, ports.clock)
        ports = replace(ports, log=evidence)
        self.settings, self.ports = settings, ports
        self.me, self.clock, self.log = settings.me, ports.clock, ports.log
        self.learned = learned or LearnedDurations()
        self.authority = Authority(settings.me)
        self.groups: dict[str, GroupRunner] = {}
        self.books: dict[str, HandoverBook] = {}
        self._phases = phases()
        self.slots = Slots(settings.nodes[settings.me].max_parallel)
        self.pace = Pace()
        self.contact = Contact(ports.log)
        self.mirror = Mirror(ports.coordinator, ports.clock, ports.log, self.contact)
        self.peers = Peers(settings.me, settings.dead_after_s, ports.clock, ports.log)
        self.keeper = keeper_of(self)
        self.failsafe = failsafe_of(self)
        self.actor = actor_of(self)
        self.fencing = Fencing(self, ports.fencer)
        self.suspicion = Suspicion(self)
        self.view_builder = view_builder_of(self)
        self.reporter = Reporter(self)
        self.teller = Teller(self.clock, self._tell, self.reporter.state)
        self.bonds = Bonds(self)
        self.announcer = Announcer(self)
        self.reaches = Reaches(self)
        self.holds = HoldKeeper(self)
        self.reclaimer = Reclaimer(self.groups, self.authority, self.clock, late_after_s=settings.lease.ttl_s / 2)
        self.incidents = IncidentRecorder(self, evidence)
        self.late_max_s = 0.0
        """The worst lateness of a heartbeat so far."""
        self.blocked: dict[str, Blocked] = {}
        self.command_at: dict[str, float] = {}
        """When the command arrived that the next change of a group's placement carries out."""
        self._ticked = ports.clock.now()
        self._tasks: TaskGroup | None = None
        self._over = anyio.Event()
        self._alarm = Alarm(ports.clock.now)
        self._heard: dict[str, tuple[str, Mapping[str, GroupReport]]] = {}
        """What each peer, as which incarnation, said of its groups when we were last through with it."""
        self._debounce_s = DEBOUNCE_S
        self._decide_at = 0.0
        self._drops_at = ports.clock.now() + DROPS_REPORT_S
        self.became_ready = anyio.Event()
        self.on_beat: list[Callable[[float], None]] = []
        self._connect()

    def _connect(self) -> None:
        self.peers.configure(self.settings.nodes)
        self.mirror.on_news.append(self._on_news)
        self.keeper.on_lost.append(self._on_lease_lost)
        self.contact.on_back.append(self.wake)
        self.keeper.on_renewed += [self._on_renewed, self.reclaimer.renewed]
        self.contact.on_back.append(self.reclaimer.doubt)
        self.peers.on_doubt.append(self.reclaimer.doubt)
        for group in self.settings.groups.values():
            self.add_group(group)

    # --- groups -------------------------------------------------------------------------------------------------

    def add_group(self, group: Group) -> None:
        """Begin to look after a group (its components are probed before anything else)."""
        board = Board(group, self.authority, self.clock.now)
        book = HandoverBook(board, self.clock, self.log, lambda: self.learned, limits_of(self.settings.nodes))
        book.on_measured.append(self._learn)
        book.on_over.append(self.incidents.handover_over)
        around = Surroundings(
            cluster=self.settings.cluster,
            node=self.me,
            clock=self.clock,
            log=self.log,
            slots=self.slots,
            pace=self.pace,
            recorder=book,
            guard=self.ports.guard,
            checker=self.ports.checker,
            phases=self._phases,
        )
        runner = GroupRunner(board, self.ports.build_agent, around)
        self.groups[group.name], self.books[group.name] = runner, book
        self._heard.clear()
        runner.board.on_change.append(partial(self._on_board_change, book))
        self.bonds.added(group.name)
        kept = self.mirror.placements.get(group.name)
        if kept is not None:
            runner.board.place(kept.record)
        self.holds.apply_to(group.name)
        if self._tasks is not None:
            self._tasks.start_soon(runner.run)

    async def handover_document(self, group: str, handover: Handover) -> dict[str, Any]:
        return await handover_document(self.books[group], handover, self.clock.now(), self.ports.offload)

    def remove_group(self, name: str) -> None:
        """Look after it no longer; nothing of it may be online here."""
        self.groups.pop(name).end()
        del self.books[name]
        self.bonds.rebuild()

    def reconfigure_nodes(self, nodes: Mapping[str, NodeSpec]) -> None:
        """Take over changed limits of nodes (their names and addresses need a restart)."""
        self.settings = replace(self.settings, nodes=nodes)
        self.slots.resize(nodes[self.me].max_parallel)
        self.view_builder.nodes = nodes
        for book in self.books.values():
            book.limits = limits_of(nodes)

    def _learn(self, measured: list[tuple[Step, float]]) -> None:
        self.learned = self.learned.add_all(measured)

    # --- life ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Live until ``stop`` is through. Raises ``StartupError`` (in a group) when the node's name is in use."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            tasks.start_soon(self.mirror.run)
            tasks.start_soon(self.ports.transport.run, self._hear)
            for runner in list(self.groups.values()):
                tasks.start_soon(runner.run)
            tasks.start_soon(self.teller.run)
            tasks.start_soon(self.reclaimer.run)
            tasks.start_soon(self.suspicion.run)
            tasks.start_soon(self._decide_for_ever)
            tasks.start_soon(self._join_and_keep)
            await self._over.wait()
            tasks.cancel_scope.cancel()
        self._tasks = None

    async def _join_and_keep(self) -> None:
        await self._join()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.keeper.run)
            with anyio.move_on_after(PROBE_PATIENCE_S):
                for runner in list(self.groups.values()):
                    for name in list(runner.board.locals):
                        await self._until_probed(runner, name)
            await self._until_informed()
            known = {(name, one) for name, runner in self.groups.items() for one in runner.board.locals}
            self.ports.guard.retain(known)
            self.authority.ready = True
            self.view_builder.settle_until = self.clock.now() + 2 * self.settings.dead_after_s
            self.teller.send(self.clock.now())  # peers refuse to give us anything before they have heard it
            self.became_ready.set()
            self.wake_everything()

    async def _join(self) -> None:
        await self.keeper.join()
        if self.keeper.held is not None:
            self.ports.transport.reincarnate(self.keeper.held.incarnation)

    async def _until_probed(self, runner: GroupRunner, name: str) -> None:
        local = runner.board.locals.get(name)
        while local is not None and not local.asked:
            await local.own.next()

    async def _until_informed(self) -> None:
        """Until all is known that was written before we joined: what we owned before may be another's by now."""
        while True:
            seen, held = self.mirror.advanced.count, self.keeper.held
            known = held is not None and self.mirror.loaded and self.mirror.revision >= held.member_revision
            if known and self.clock.now() >= self.keeper.acts_from:
                break
            await self.mirror.advanced.beyond(seen, INFORMED_POLL_S)
        self.authority.informed = True
        self.wake_everything()

    async def stop(self, reason: str, patience_s: float) -> None:
        """Hand groups over (or leave them running, where their ``on_stop`` says so), give the lease back, end."""
        self.log.emit(Event.DAEMON_STOPPING, reason=reason)
        left_running = False
        for runner in self.groups.values():
            leaves = runner.board.group.on_stop is OnStop.LEAVE or runner.board.frozen
            if leaves and runner.board.present_count:
                runner.board.hands_off = left_running = True
        self.authority.stopping = True
        self.wake_everything()
        with anyio.move_on_after(patience_s):
            while not all(self._let_go(runner) for runner in self.groups.values()):
                await self.clock.sleep_until(self.clock.now() + STOP_POLL_S)
        remains = [name for name, runner in self.groups.items() if runner.board.present_count]
        state = LeaseState.AWAY if left_running or remains else LeaseState.LEFT
        why = f"left running: {', '.join(remains)}" if remains else reason
        left = False
        with anyio.move_on_after(self.settings.lease.request_timeout_s):
            try:
                left = await self.keeper.leave(state, why)
            except CoordinatorUnavailable as error:
                self.contact.failed(str(error))
        if not left and self._present:
            await self._entrust()  # what is left running is to go with the lease
        if left or not self._present:
            await self.ports.guard.dismiss()
        self._over.set()

    @property
    def _present(self) -> bool:
        """Whether anything is, or may be, online here."""
        return any(runner.board.present_count for runner in self.groups.values())

    async def _entrust(self) -> None:
        """To the guard; where there is none, nothing is left running."""
        try:
            for runner in self.groups.values():
                await runner.entrust()
        except* GuardUnavailable:
            self.authority.usable_until = 0.0  # self-stop
            with anyio.move_on_after(self.settings.lease.self_stop_s):
                while self._present:
                    await self.clock.sleep_until(self.clock.now() + STOP_POLL_S)

    def _let_go(self, runner: GroupRunner) -> bool:
        board = runner.board
        if board.hands_off or (board.frozen and board.present_count):
            return True
        holds = board.placement is not None and self.me in board.placement.holders
        # Without a coordinator nothing can be written of it: that nothing is online is all that can be had.
        return board.all_absent and not (holds and self.contact.ok)

    # --- the loop that decides ----------------------------------------------------------------------------------

    def wake(self, *, after_s: float = 0.0) -> None:
        """Decide anew, at once or within ``after_s``."""
        self.reporter.changed()
        at = self.clock.now() + after_s
        if at < self._decide_at:
            self._decide_at = at
            self._alarm.by(at)

    def wake_everything(self) -> None:
        for runner in self.groups.values():
            runner.board.wake_all()
        self.wake()

    async def _decide_for_ever(self) -> None:
        beat_at = self.clock.now()
        while True:
            now = self._ticked = self.clock.now()
            if now >= beat_at:
                self.late_max_s = max(self.late_max_s, now - beat_at) if self.authority.ready else 0.0
                self._beat(now)
                beat_at = max(beat_at + self.settings.interval_s, now)
            elif self.peers.due(now):  # silence is not found out only with the next heartbeat
                self._look(now)
            self._judge_lease(now)
            if now >= self._decide_at:
                self._decide_at = self._decide(now)
                self._debounce_s = max(DEBOUNCE_S, PAUSES * (self.clock.now() - now))
                self.teller.decided(now)
            self._alarm.at = min(beat_at, self._decide_at, self._judge_at(now), self.peers.look_at(now))
            await self._alarm.wait()

    def _judge_at(self, now: float) -> float:
        """When the lease is to be judged next although nothing is heard."""
        return self.authority.usable_until if self.authority.usable_until > now else inf

    def makes_progress(self, now: float) -> bool:
        """Whether the loop above runs: what renewals are fed by."""
        return now - self._ticked <= max(3 * self.settings.interval_s, self.settings.dead_after_s / 2)

    def _look(self, now: float) -> None:
        """At our peers' silence, and our own clock."""
        if self.peers.tick(now):
            self._decide_at = now
        self.authority.steady_until = now + self.settings.dead_after_s / 2
        trusted = self.peers.trusts(now)
        if trusted != self.authority.trusted:
            self.authority.trusted = trusted
            self.wake_everything()

    def _beat(self, now: float) -> None:
        self._look(now)
        self.failsafe.beat(now)
        self.reaches.beat(now)
        self.teller.send(now)
        for callback in self.on_beat:
            callback(now)
        if now >= self._drops_at:
            self._drops_at = now + DROPS_REPORT_S
            if drops := self.ports.transport.drain_drops():
                self.log.emit(Event.DATAGRAMS_DROPPED, counts=drops)

    def _decide(self, now: float) -> float:
        """One round; returns when the next is due although nothing is heard."""
        if not self.authority.ready:
            return now + IDLE_S  # nothing may be done yet, and becoming ready wakes us
        view = self.view_builder.build(now)
        blocked = {}
        decisions = decide(view)
        for decision in decisions:
            if isinstance(decision, Blocked):
                blocked[decision.group] = decision
            elif self._tasks is not None and self.actor.claim(subject_of(decision)):
                if isinstance(decision, Shoot):
                    self._tasks.start_soon(self.fencing.carry_out, decision)
                else:
                    self._tasks.start_soon(self.actor.carry_out, decision)
        self._note_blocked(view, blocked)
        self.suspicion.look(view)
        self.bonds.look()
        for book in self.books.values():
            book.check()
        self.announcer.announce()
        # What was decided may fail to be written, and then nothing is heard of it: look again soon.
        again = now + (self.settings.interval_s if any(not isinstance(d, Blocked) for d in decisions) else IDLE_S)
        deadlines = (again, next_deadline(view), self.view_builder.next_deadline(now))
        return min(at for at in deadlines if at is not None and at > now)

    def _note_blocked(self, view: View, blocked: dict[str, Blocked]) -> None:
        if not (view.lease_usable and view.trusted and view.ready and view.coordinator_ok):
            return  # nothing was judged: what was blocked still is
        for name, found in blocked.items():
            if found.obstacle is not Obstacle.CANNOT_DRAIN and self.groups[name].board.owned:
                self.books[name].fail(found.text)
        if blocked != self.blocked:
            self.reporter.changed()
        self.blocked = blocked
        self.holds.judged(view)

    # --- the lease ----------------------------------------------------------------------------------------------

    def _on_renewed(self) -> None:
        """The lease was, or what stands in for it was promised anew."""
        lapsed = self.clock.now() >= self.authority.usable_until
        self.authority.usable_until = max(self.keeper.usable_until, self.failsafe.usable_until)
        if lapsed:
            self.wake_everything()  # what was not begun for want of a lease now may be
        if self.keeper.held is not None:
            lease = self.settings.lease
            ends = max(lease.ends(self.keeper.held.began), self.failsafe.until or 0.0)
            self.ports.guard.extend(ends - lease.will_s, ends)

    def _judge_lease(self, now: float) -> None:
        """Self-stop once the lease could not be renewed in time; back to normal once it could."""
        usable = now < self.authority.usable_until
        if usable and self.authority.force:
            self.authority.force = False
            self.wake_everything()
        elif not usable and not self.authority.force and self._present:
            if not self.keeper.joined:
                return  # what runs here is still a predecessor's, within its own lease
            self.log.emit(Event.LEASE_SELF_STOP, reason="the lease could not be renewed in time")
            self.authority.force = True
            for runner in self.groups.values():
                runner.cut_short()
            self.wake_everything()

    def _on_lease_lost(self, _why: str) -> None:
        self.authority.usable_until = 0.0
        self.authority.informed = False
        if self._tasks is not None:
            self._tasks.start_soon(self._rejoin)
        self.wake()

    async def _rejoin(self) -> None:
        """With a new incarnation, once nothing is online here any more."""
        while self._present:
            await self.clock.sleep_until(self.clock.now() + STOP_POLL_S)
        await self._join()
        await self._until_informed()

    # --- news ---------------------------------------------------------------------------------------------------

    def _on_board_change(self, book: HandoverBook, pressing: bool) -> None:
        complete = book.complete  # somebody waits for the answer, on our side or on the other
        self.teller.changed(self.clock.now(), pressing=pressing or complete)
        self.wake(after_s=0.0 if complete else self._debounce_s)

    def _tell(self, state: PeerState) -> None:
        if self.keeper.held is not None:
            self.ports.transport.send(state)

    def _hear(self, received: Received) -> None:
        if self.peers.hear(received):
            self.wake()
        if received.fresh and self.failsafe.hear(received, informed=self.authority.informed):
            self._on_renewed()
        groups = received.state.groups
        incarnation, known = self._heard.get(received.peer, ("", None))
        if not received.fresh or (incarnation == received.incarnation and known is groups):
            return
        member = self.mirror.members.get(received.peer)
        if member is None or member.record.incarnation != received.incarnation:
            return
        self.reporter.changed()  # what we tell of names depends on what the peer does
        taken = [self._hear_of_group(name, report, received) for name, report in groups.items() if name in self.groups]
        if all(taken):
            self._heard[received.peer] = received.incarnation, groups

    def _hear_of_group(self, name: str, report: GroupReport, received: Received) -> bool:
        """False: it is not done with, and the same once more may say more."""
        board = self.groups[name].board
        names = board.names if report.names_hash == board.names_hash else report.names
        known = board.placement.generation if board.placement else 0
        if report.generation > known and self._tasks is not None and self.actor.claim(f"read {name}"):
            self._tasks.start_soon(self._reread, name)
        if names is None or len(names) != len(report.marks):
            return False  # it looks after other components than we do, and has not been told so yet
        before = board.elsewhere.get(received.peer)
        place = before.place if before is not None and before.names is names else None
        board.heard(received.peer, Elsewhere(received.incarnation, report.generation, names, report.marks, place))
        self.books[name].reported(received.peer, received.at, report.steps)
        return report.generation <= known

    async def _reread(self, group: str) -> None:
        """A peer acts on a newer placement than we know: do not wait for the watch."""
        try:
            entry = await self.ports.coordinator.read(placement_key(group))
            if entry is not None:
                self.mirror.absorb(Change(entry.key, entry.value, entry.revision))
        except CoordinatorUnavailable as error:
            self.contact.failed(str(error))
        finally:
            self.actor.release(f"read {group}")

    def _on_news(self, news: News) -> None:
        if news.kind is Kind.PLACEMENT and news.group in self.groups:
            self._on_placement(news.group)
        elif news.kind is Kind.NODE:
            self._on_member(news.node)
        elif news.kind in {Kind.FREEZE, Kind.DRAIN}:
            self.holds.apply()
        elif news.kind is Kind.CLEAR and self.mirror.loaded:
            self.holds.cleared(news.group)
        elif news.kind is Kind.FENCE and news.node == self.me:
            self.keeper.hurry()  # whoever shoots at us is to see in time that we live
        if news.kind is not Kind.LEASE:
            self.wake()

    def _on_placement(self, name: str) -> None:
        board, kept, now = self.groups[name].board, self.mirror.placements.get(name), self.clock.now()
        old, new = board.placement, kept.record if kept else None
        if new is not None:
            heard_at = self.peers.heard_at(new.source) if new.source and new.cause is Cause.NODE_LOST else None
            began = self.command_at.pop(name, now)
            self.books[name].placed(
                old,
                new,
                began=began,
                detect_s=None if heard_at is None else now - heard_at,
                found=not self.mirror.loaded,
            )
            self.view_builder.count_move(name, old, new, now)
            changed = old is None or (old.generation, old.wanted) != (new.generation, new.wanted)
            if changed and self.mirror.loaded:  # else it was so before we came
                self.announcer.placed(name)
        board.place(new)
        self.holds.apply_to(name)

    def _on_member(self, name: str) -> None:
        kept = self.mirror.members.get(name)
        if kept is None:
            return
        if name == self.me:
            held = self.keeper.held
            if held and kept.record.incarnation == held.incarnation and kept.record.state is LeaseState.FENCED:
                self.keeper.lost(f"fenced by {kept.record.by}: {kept.record.reason}")
            return
        if kept.record.state is LeaseState.LIVE:
            self.ports.transport.expect(name, kept.record.incarnation)
        elif kept.record.state is LeaseState.FENCED:
            how = {"how": kept.record.how.value} if kept.record.how else {}
            self.log.emit(Event.PEER_FENCED, peer=name, by=kept.record.by, reason=kept.record.reason, **how)
        else:
            self.log.emit(Event.PEER_LEFT, peer=name, state=kept.record.state.value, reason=kept.record.reason)
        for runner in self.groups.values():
            said = runner.board.elsewhere.get(name)
            ended = kept.record.state is LeaseState.FENCED
            if said is not None and (ended or said.incarnation != kept.record.incarnation):
                runner.board.forget_peer(name)
