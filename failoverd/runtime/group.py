"""One group on this node: its board, and a coroutine and a monitor for each of its components."""

from collections.abc import Callable
from functools import partial

import anyio
from anyio.abc import TaskGroup

from failoverd.domain.model import Component, Group
from failoverd.ports import Agent
from failoverd.runtime.board import Board
from failoverd.runtime.component import ComponentRunner, Surroundings
from failoverd.runtime.health import HealthMonitor
from failoverd.runtime.monitor import Monitor

BuildAgent = Callable[[Group, Component], Agent]


BEGIN_AT_ONCE = 10
"""Components in one round of the event loop: hundreds at once would hold up a heartbeat."""


class GroupRunner:
    def __init__(self, board: Board, build_agent: BuildAgent, around: Surroundings) -> None:
        self.board = board
        self._around = around
        self._build_agent = build_agent
        self.runners: dict[str, ComponentRunner] = {}
        self._checked: set[str] = set()
        """Components that a coroutine asks for their health."""
        self._tasks: TaskGroup | None = None
        self._ended = anyio.Event()

    @property
    def name(self) -> str:
        return self.board.group.name

    async def run(self) -> None:
        """Until ``end``: whatever is online then stays so."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            for number, component in enumerate(list(self.board.group.components.values()), 1):
                if component.name not in self.runners:  # else a reload came in between
                    self._begin(component)
                if number % BEGIN_AT_ONCE == 0:
                    await anyio.lowlevel.checkpoint()
            await self._ended.wait()
            tasks.cancel_scope.cancel()
        self._tasks = None

    def end(self) -> None:
        self._ended.set()

    def reconfigure(self, group: Group) -> None:
        """Apply a changed configuration: untouched components see no action and keep their counters."""
        self.board.regroup(group)
        for component in group.components.values():
            runner = self.runners.get(component.name)
            if runner is None or runner.done:
                self._begin(component)
            elif runner.component != component:
                runner.reconfigure(component, partial(self._build_agent, group, component))
                self._check(runner, component)

    async def entrust(self) -> None:
        """The daemon is about to end, and what is online goes with the lease: the guard confirms that it knows of all
        of it. Raises ``GuardUnavailable`` (in a group)."""
        async with anyio.create_task_group() as tasks:
            for runner in self.runners.values():
                if not runner.done and not runner.local.absent:
                    tasks.start_soon(runner.entrust)

    def cut_short(self) -> None:
        for runner in list(self.runners.values()):
            if not runner.done:
                runner.cut_short()

    def _begin(self, component: Component) -> None:
        agent = self._build_agent(self.board.group, component)
        runner = ComponentRunner(self.board, component, agent, self._around)
        self.runners[component.name] = runner
        if self._tasks is not None:
            self._tasks.start_soon(runner.run)
            self._tasks.start_soon(Monitor(runner, self._around.clock, next(self._around.phases)).run)
        self._checked.discard(component.name)
        self._check(runner, component)

    def _check(self, runner: ComponentRunner, component: Component) -> None:
        """Once it has a health check: one coroutine, until the component is removed."""
        if component.check is None or component.name in self._checked or self._tasks is None:
            return
        self._checked.add(component.name)
        self._tasks.start_soon(HealthMonitor(runner, self._around.clock, next(self._around.phases)).run)
