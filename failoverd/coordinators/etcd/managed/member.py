"""This node's etcd member, put together: prepared, entered, started, adopted, watched, restarted, retired."""

import json
import socket
from collections.abc import Mapping
from typing import Any

import anyio
from anyio import to_thread

from failoverd.config.settings import Config, ManagedSettings, OnMemberStop
from failoverd.coordinators.etcd.coordinator import EtcdCoordinator
from failoverd.coordinators.etcd.managed import log_file
from failoverd.coordinators.etcd.managed import owner as ownership
from failoverd.coordinators.etcd.managed.asking import Asker, Unanswered
from failoverd.coordinators.etcd.managed.caretaker import Caretaker
from failoverd.coordinators.etcd.managed.certificates import Certificates, replace
from failoverd.coordinators.etcd.managed.entry import Entry
from failoverd.coordinators.etcd.managed.forcing import Forcing
from failoverd.coordinators.etcd.managed.greeting import PortTaken
from failoverd.coordinators.etcd.managed.health import Health
from failoverd.coordinators.etcd.managed.joining import Begin
from failoverd.coordinators.etcd.managed.layout import Layout, Start, fingerprint, member_config
from failoverd.coordinators.etcd.managed.owner import Owner
from failoverd.coordinators.etcd.managed.process import CannotRun, MemberProcess, Running
from failoverd.errors import StartupError
from failoverd.log.catalogue import Event
from failoverd.ports import Clock, Coordinator, EventLog, Spawner

BACKOFF_S = (0.1, 0.3, 1.0, 2.0, 5.0)
GOOD_RUN_S = 30.0
"""A member that ran for so long begins at the first pause again."""
UPKEEP_S = 10.0
"""How often certificates and the size of the log are looked at: mostly, a look at the clock."""
RETIRE_S = 5.0
AGAIN_S = 2.0
FORCED_S = 30.0
PATIENCE_S = 3.0
"""How long a node waits for others before it says so: they may be starting too."""
TELL_EVERY_S = 30.0


class ManagedEtcd:
    """Belongs to the event loop in which it is made."""

    def __init__(self, config: Config, settings: ManagedSettings, key: bytes, *, clock: Clock, log: EventLog) -> None:
        """Raises ``StartupError`` where the certificates cannot be made."""
        self._config, self._settings = config, settings
        self._clock, self._log = clock, log
        self.layout = layout = Layout.of(config, settings)
        self._certificates = Certificates(
            key,
            cluster=config.cluster,
            node=config.node,
            names=[host for host, _ in config.nodes[config.node].addresses],
            ca_file=layout.ca_file,
            pem_file=layout.pem_file,
        )
        try:
            self._certificates.renew(clock.wall())
        except OSError as error:
            raise StartupError(
                f"{layout.run_dir}: certificates cannot be written: {error.strerror or error}"
            ) from error
        self._asker = Asker(self._certificates.client_context())
        self._health = Health(layout, clock, log)
        self._running: Running | None = None
        self._told = ""
        self._wait_told_at = 0.0

    def coordinator(self, request_timeout_s: float) -> Coordinator:
        """Over this node's member and, where it does not answer, the others."""
        return EtcdCoordinator(
            self.layout.endpoints,
            cluster=self._config.cluster,
            request_timeout_s=request_timeout_s,
            tls=self._certificates.client_context(),
        )

    def document(self) -> dict[str, Any]:
        """For the status; without a wait."""
        pid = self._running.pid if self._running is not None else None
        return {**self._health.document(), "pid": pid, "directory": str(self.layout.directory)}

    async def run(self, spawner: Spawner, environment: Mapping[str, str]) -> None:
        """Until cancelled; the member then runs on."""
        process = MemberProcess(self.layout, spawner, environment)
        owner = await self._take_over()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep_up)
            caretaker = Caretaker(
                self.layout, self._asker, owner, self._health, keep=self._keep, clock=self._clock, log=self._log
            )
            tasks.start_soon(caretaker.run)
            if self.layout.votes:
                tasks.start_soon(self._keep_running, process)
            else:
                tasks.start_soon(self._retire, process)

    async def aclose(self, *, stop: bool) -> None:
        """``stop``: in good order, so that the member too ends where the configuration says so."""
        if stop and self._settings.on_stop is OnMemberStop.STOP and self._running is not None:
            await self._running.end()
        await self._asker.aclose()

    async def _take_over(self) -> Owner:
        """Until the directory is ours: what is in the way is told, and may be removed meanwhile."""
        while True:
            try:
                return await to_thread.run_sync(ownership.take_over, self.layout)
            except CannotRun as error:
                self._cannot(str(error))
                await self._pause(AGAIN_S)

    async def _keep(self, owner: Owner) -> None:
        try:
            await to_thread.run_sync(ownership.save, self.layout, owner)
        except OSError as error:
            self._log.emit(Event.STATE_UNWRITABLE, reason=f"owner.json: {error.strerror or error}")

    # --- the process ------------------------------------------------------------------------------------------

    async def _keep_running(self, process: MemberProcess) -> None:
        failures = 0
        while True:
            began = self._clock.now()
            try:
                running = self._running = await self._adopted(process) or await self._started(process)
            except (CannotRun, PortTaken) as error:
                self._cannot(str(error))
            else:
                await running.wait()
                self._running = None
                await self._tell_end(running)
            failures = 0 if self._clock.now() - began >= GOOD_RUN_S else failures + 1
            await self._pause(BACKOFF_S[min(failures, len(BACKOFF_S)) - 1] if failures else BACKOFF_S[0])

    async def _adopted(self, process: MemberProcess) -> Running | None:
        """One that an earlier daemon has started, if it was started as it would be now."""
        found = await process.find()
        if found is None:
            return None
        wanted = fingerprint(await self._document(self.layout.initial, Start.EXISTING))
        if found.fingerprint == wanted:
            self._is("running")
            self._log.emit(Event.ETCD_MEMBER_ADOPTED, pid=found.pid)
            return found
        await found.end()
        self._log.emit(
            Event.ETCD_MEMBER_EXITED, pid=found.pid, reason="ended in order to be started with other settings"
        )
        return None

    async def _started(self, process: MemberProcess) -> Running:
        """Raises ``CannotRun`` or ``PortTaken``."""
        forcing = Forcing(self.layout, process.spawner, process.path)
        forced = await forcing.wanted()
        if forced:
            await forcing.carry_out()
        begin = Begin(start=Start.EXISTING, initial=self.layout.initial)  # of no effect on a member that has data
        if not await to_thread.run_sync(ownership.has_data, self.layout):
            await to_thread.run_sync(ownership.take_over, self.layout)
            process.check()  # the others are to wait for nobody who cannot come
            self._is("waiting")
            self._wait_told_at = 0.0
            entry = Entry(self.layout, self._asker, self._certificates, self._log, self._waits)
            begin = await entry.begin(await self._listen())
        document = await self._document(begin.initial, begin.start)
        try:
            await to_thread.run_sync(replace, self.layout.config_file, json.dumps(document, indent=1).encode())
        except OSError as error:
            raise CannotRun(f"{self.layout.config_file}: {error.strerror or error}") from error
        running = await process.start(fingerprint(document))
        self._is("running")
        self._log.emit(
            Event.ETCD_MEMBER_STARTED, pid=running.pid, cluster_state=begin.start.value, members=list(begin.initial)
        )
        if forced:
            await self._forced()
        return running

    async def _forced(self) -> None:
        """Tell it once the member leads a cluster of its own."""
        own = self.layout.node
        with anyio.move_on_after(FORCED_S):
            while self._health.leader != own or not self._health.members[own].leads:
                await self._pause(BACKOFF_S[0])
            self._log.emit(Event.ETCD_CLUSTER_FORCED, member=own)

    async def _document(self, initial: Mapping[str, str], start: Start) -> dict[str, Any]:
        return member_config(self.layout, listen=await self._listen(), initial=initial, start=start)

    async def _listen(self) -> str:
        """This node's first address, numeric: etcd listens on nothing else. Raises ``CannotRun``."""
        host = self.layout.hosts[self.layout.node]
        try:
            found = await anyio.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError as error:
            raise CannotRun(f"{host}, this node's first address, is not known: {error.strerror or error}") from error
        return str(found[0][4][0])

    async def _tell_end(self, running: Running) -> None:
        why = await to_thread.run_sync(log_file.why_ended, self.layout.log_file)
        self._is("restarting", why)
        self._log.emit(Event.ETCD_MEMBER_EXITED, pid=running.pid, reason=why or "it left no word; it is started again")

    # --- a node that does not vote any more -------------------------------------------------------------------

    async def _retire(self, process: MemberProcess) -> None:
        """A member of an earlier configuration runs until it is none: the caretakers remove it."""
        self._is("not_voting")
        while await process.find() is not None or await to_thread.run_sync(ownership.has_data, self.layout):
            if await self._is_removed():
                running = await process.find()
                if running is not None:
                    await running.end()
                await to_thread.run_sync(ownership.set_aside, self.layout)
                self._log.emit(Event.ETCD_MEMBER_EXITED, reason="this node does not vote any more")
                return
            await self._pause(RETIRE_S)

    async def _is_removed(self) -> bool:
        for name in self.layout.hosts:
            try:
                cluster = await self._asker.members(self.layout.client_url(name))
            except Unanswered:
                continue
            return all(member.name != self.layout.node for member in cluster.members)
        return False

    # --- upkeep -----------------------------------------------------------------------------------------------

    async def _keep_up(self) -> None:
        while True:
            await self._pause(UPKEEP_S)
            await to_thread.run_sync(log_file.keep_small, self.layout.log_file)
            try:
                if await to_thread.run_sync(self._certificates.renew, self._clock.wall()):
                    self._log.emit(Event.ETCD_CERTIFICATE_RENEWED)
            except OSError as error:
                self._log.emit(Event.STATE_UNWRITABLE, reason=f"{self.layout.pem_file}: {error.strerror or error}")

    async def _pause(self, seconds: float) -> None:
        await self._clock.sleep_until(self._clock.now() + seconds)

    # --- what is told -----------------------------------------------------------------------------------------

    def _is(self, condition: str, reason: str = "") -> None:
        self._health.condition, self._health.reason = condition, reason

    def _cannot(self, why: str) -> None:
        self._is("failing", why)
        if why != self._told:
            self._told = why
            self._log.emit(Event.ETCD_MEMBER_FAILED, reason=why)

    def _waits(self, why: str) -> None:
        self._health.reason = why
        now = self._clock.now()
        self._wait_told_at = self._wait_told_at or now + PATIENCE_S
        if now >= self._wait_told_at:
            self._wait_told_at = now + TELL_EVERY_S
            self._log.emit(Event.ETCD_MEMBER_WAITING, reason=why)
