"""The daemon: the adapters for this machine, the node on top of them, signals and the service manager around it."""

import contextlib
import gc
import os
import secrets
import signal
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from failoverd import __version__
from failoverd.agents.absent import Absent
from failoverd.agents.health import HealthAsker
from failoverd.agents.registry import agent_types
from failoverd.clock import BootClock
from failoverd.config.reader import check, load
from failoverd.config.settings import Config
from failoverd.control.rundir import RunDirLock, listen
from failoverd.control.server import ControlServer
from failoverd.domain.durations import LearnedDurations
from failoverd.domain.model import Component, Group, Role
from failoverd.errors import FailoverdError, Refused
from failoverd.fencing.fencer import StandardFencer
from failoverd.fencing.metadata import inspect
from failoverd.guard.client import ProcessGuard
from failoverd.links.key import read as read_key
from failoverd.links.udp import UdpTransport
from failoverd.log.catalogue import Event
from failoverd.log.setup import StructlogEventLog, setup
from failoverd.ports import Agent, AgentHost, AgentType, Clock, EventLog, Spawner
from failoverd.runtime.control import Control
from failoverd.runtime.coordinator import open_coordinator
from failoverd.runtime.incident_store import IncidentStore, IncidentWriter
from failoverd.runtime.learned import LearnedStore
from failoverd.runtime.node import Node, NodePorts, NodeSettings
from failoverd.runtime.reload import Reloader
from failoverd.runtime.service_manager import ServiceManager
from failoverd.spawner.client import HelperSpawner

STOP_PATIENCE_S = 60.0
"""How long a stop waits for groups to be handed over or taken offline."""
SWITCH_S = 0.001
"""sys.setswitchinterval(): for how long a thread that computes may keep the event loop waiting for the interpreter."""
NICE = -15
"""setpriority(2): heartbeats and releases go before the work that they are about. The commands do not inherit it."""
LEARNED_EVERY_S = 5.0
LAST_WORDS_S = 1.0
"""For what is not on disk yet of the incident records."""
GC_THRESHOLDS = (20_000, 20, 50)
"""gc.set_threshold(): objects allocated more than freed, then how many collections of the younger generation. Seldom,
so that it does not step in between every few steps of a handover: hardly anything here is ever part of a cycle, and
what is may wait."""


def main(path: Path) -> int:
    """Be the daemon until told to stop. Raises ``ConfigError`` and other ``FailoverdError`` before it is up."""
    gc.set_threshold(*GC_THRESHOLDS)
    types = agent_types()
    config = load(path, types)
    with contextlib.suppress(OSError):  # needs a privilege; without it a loaded machine delays us more
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
    with contextlib.ExitStack() as stack:
        stack.enter_context(RunDirLock(config.run_dir))
        key = read_key(config.key_file)
        log = stack.enter_context(
            setup(cluster=config.cluster, node=config.node, wall=BootClock().wall, state_dir=_state_dir(config))
        )
        for warning in config.warnings:
            log.emit(Event.CONFIG_WARNING, reason=str(warning))
        try:
            anyio.run(partial(_serve, path, config, types, key, log), backend_options={"use_uvloop": True})
        except* FailoverdError as group:
            raise _first(group) from group
        log.emit(Event.DAEMON_STOPPED)
    return 0


def _state_dir(config: Config) -> Path | None:
    """Made where it is missing; a state_dir that cannot be had costs what it would remember, nothing else."""
    with contextlib.suppress(OSError):
        config.state_dir.mkdir(parents=True, exist_ok=True)
    return config.state_dir


def _first(group: BaseExceptionGroup[FailoverdError]) -> FailoverdError:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, FailoverdError)  # noqa: S101 (except* let nothing else in)
    return found


async def _serve(
    path: Path, config: Config, types: Mapping[str, AgentType], key: bytes, log: StructlogEventLog
) -> None:
    clock, manager = BootClock(), ServiceManager(os.environ)
    sys.setswitchinterval(SWITCH_S)
    log.emit(Event.DAEMON_STARTED, version=__version__, pid=os.getpid(), config=str(path))
    listener = listen(config.run_dir)
    transport = UdpTransport(
        cluster=config.cluster,
        node=config.node,
        incarnation=secrets.token_hex(16),  # of nobody: another one is taken on joining
        key=key,
        nodes=config.nodes,
        clock=clock,
    )
    opened = await open_coordinator(config, key, clock, log)
    stopped = False
    try:
        async with (
            HelperSpawner(config.run_dir, log) as spawner,
            _guard(config, log, clock, spawner) as guard,
            opened.running(spawner),
        ):
            store = LearnedStore(config.state_dir)
            fencer = StandardFencer(config.fencing, spawner)
            node = Node(
                _settings(config),
                NodePorts(
                    clock=clock,
                    coordinator=opened.coordinator,
                    transport=transport,
                    log=log,
                    build_agent=_builder(config, types, spawner, clock),
                    new_incarnation=lambda: secrets.token_hex(16),
                    host=_host(config.run_dir),
                    offload=_in_thread,
                    guard=guard,
                    checker=HealthAsker(spawner),
                    fencer=fencer,
                ),
                store.read(),
            )
            incidents = IncidentStore(config.state_dir)
            writer = IncidentWriter(incidents, log)
            node.incidents.archive = incidents
            node.incidents.on_record.append(writer.add)
            reloader = Reloader(
                path, config, types, node, partial(_announce_reload, manager, clock), refence=fencer.reconfigure
            )
            control = Control(node, log.ring, reloader.reload, opened.type, etcd=opened.document)
            server = ControlServer(listener, config.run_dir, control, log)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(server.serve)
                tasks.start_soon(_tell_ready, node, manager, log)
                tasks.start_soon(_obey_signals, node, reloader, manager)
                tasks.start_soon(_remember, node, store, log)
                tasks.start_soon(writer.run)
                tasks.start_soon(_judge_fencing, node, path, config, types, log)
                await node.run()
                stopped = True
                tasks.cancel_scope.cancel()
            with anyio.move_on_after(LAST_WORDS_S):
                await writer.flush()
    finally:
        transport.close()
        with anyio.CancelScope(shield=True):
            await opened.aclose(stop=stopped)


def _guard(config: Config, log: EventLog, clock: Clock, spawner: HelperSpawner) -> ProcessGuard:
    lease = config.lease
    return ProcessGuard(
        config.run_dir,
        log,
        clock,
        action=lease.action.value,
        helper=lambda: spawner.helper_pid,
        watchdog=lease.watchdog.spec if lease.watchdog else "",
    )


def _settings(config: Config) -> NodeSettings:
    return NodeSettings(
        cluster=config.cluster,
        me=config.node,
        nodes=config.nodes,
        groups=config.groups,
        interval_s=config.heartbeat.interval_s,
        dead_after_s=config.heartbeat.dead_after_s,
        lease=config.lease,
    )


def _host(run_dir: Path) -> str:
    """Of the run_dir's lock file, whose lock we hold: nobody else on this machine, in whatever namespace, has it."""
    lock = (run_dir / "daemon.lock").stat()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}:{lock.st_dev:x}:{lock.st_ino:x}"


def _builder(
    config: Config, types: Mapping[str, AgentType], spawner: Spawner, clock: Clock
) -> Callable[[Group, Component], Agent]:
    def build(group: Group, component: Component) -> Agent:
        if config.nodes[config.node].role is Role.WITNESS:
            return Absent()
        kind = types[component.type]
        host = AgentHost(
            spawner=spawner,
            clock=clock,
            run_dir=config.run_dir,
            cluster=config.cluster,
            node=config.node,
            group=group.name,
            component=component.name,
        )
        return kind.build(kind.params.model_validate(component.params), host)

    return build


async def _in_thread(work: Callable[[], Any]) -> Any:
    return await anyio.to_thread.run_sync(work)


def _tidy_memory() -> None:
    """Keep the garbage collector from walking what start-up left behind."""
    gc.freeze()  # without a collection before it: that would hold up a heartbeat for longer than it may be late


# --- around the node ------------------------------------------------------------------------------------------


async def _tell_ready(node: Node, manager: ServiceManager, log: EventLog) -> None:
    await node.became_ready.wait()
    _tidy_memory()
    log.emit(Event.DAEMON_READY, groups=sorted(node.groups))
    manager.ready(f"node {node.me} of cluster {node.settings.cluster}")
    if manager.watchdog_s is not None:
        node.on_beat.append(_Watchdog(manager, manager.watchdog_s).beat)


class _Watchdog:
    """Fed by the rounds of the loop that decides, not by a timer that would outlive it."""

    def __init__(self, manager: ServiceManager, every_s: float) -> None:
        self._manager = manager
        self._every_s = every_s
        self._due = 0.0

    def beat(self, now: float) -> None:
        if now >= self._due:
            self._due = now + self._every_s
            self._manager.alive()


async def _judge_fencing(node: Node, path: Path, config: Config, types: Mapping[str, AgentType], log: EventLog) -> None:
    """Whether the fence agents are here and know their parameters, as ``failoverd check`` says it too. They are asked
    once everything else is up: a daemon that did not start for want of them would protect nobody."""
    await node.became_ready.wait()
    if config.fencing:
        ask = partial(check, path, types, node=config.node, inspect=inspect)
        report = await anyio.to_thread.run_sync(ask, abandon_on_cancel=True)
        for found in sorted({*report.faults, *report.warnings} - set(config.warnings)):
            log.emit(Event.CONFIG_WARNING, reason=str(found))


def _announce_reload(manager: ServiceManager, clock: Clock, begins: bool) -> None:
    if begins:
        manager.reloading(clock.now())
    else:
        manager.tell("READY=1")


async def _obey_signals(node: Node, reloader: Reloader, manager: ServiceManager) -> None:
    async with anyio.create_task_group() as tasks:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async for received in signals:
                if received is signal.SIGHUP:
                    tasks.start_soon(_reload, reloader)
                else:
                    manager.stopping()
                    tasks.start_soon(node.stop, f"received {received.name}", STOP_PATIENCE_S)


async def _reload(reloader: Reloader) -> None:
    with contextlib.suppress(Refused):  # it has been logged
        await reloader.reload()


async def _remember(node: Node, store: LearnedStore, log: EventLog) -> None:
    """Write learned durations now and then; a state_dir that cannot be written is told once."""
    written: LearnedDurations = node.learned
    failing = False
    while True:
        await anyio.sleep(LEARNED_EVERY_S)
        if node.learned is written:
            continue
        written = node.learned
        try:
            await anyio.to_thread.run_sync(store.write, written)
        except OSError as error:
            if not failing:
                log.emit(Event.STATE_UNWRITABLE, reason=f"durations.json: {error.strerror or error}")
            failing = True
        else:
            failing = False
