"""What the tests of the agents share: a spawner that is told what to answer, and hosts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio

from failoverd import procfs
from failoverd.clock import BootClock
from failoverd.domain.model import Action
from failoverd.errors import SpawnFailed
from failoverd.log.catalogue import Event
from failoverd.ports import AgentHost, Call, Clock, Detached, RunRequest, RunResult, Spawner


class FakeSpawner:
    """Remembers what it was asked for; answers with ``result``, or with ``error``."""

    def __init__(self, result: RunResult | None = None, error: SpawnFailed | None = None) -> None:
        self.result = result or RunResult(exit_status=0)
        self.error = error
        self.requests: list[RunRequest] = []

    async def run(self, request: RunRequest) -> RunResult:
        self.requests.append(request)
        if self.error is not None:
            raise self.error
        return self.result

    async def detach(self, request: RunRequest, output: str | None) -> Detached:
        del output
        self.requests.append(request)
        raise self.error or SpawnFailed("nothing is detached here")


class NoLog:
    def emit(self, event: Event, **fields: Any) -> None:
        """Not looked at."""


def host(run_dir: Path, spawner: Spawner, clock: Clock | None = None, component: str = "web") -> AgentHost:
    return AgentHost(
        spawner=spawner,
        clock=clock or BootClock(),
        run_dir=run_dir,
        cluster="shop",
        node="a",
        group="g",
        component=component,
    )


def call(action: Action = Action.PROBE, timeout_s: float = 10.0, component: str = "web") -> Call:
    return Call(
        cluster="shop", node="a", group="g", component=component, action=action, generation=7, timeout_s=timeout_s
    )


def runs(pid: int) -> bool:
    there = procfs.stat(pid)
    return there is not None and there.alive


async def until(condition: Callable[[], object], within_s: float = 5.0) -> None:
    """Wait for something that no event tells of; fails when it does not come true."""
    with anyio.fail_after(within_s):
        while not condition():  # noqa: ASYNC110 (see above)
            await anyio.sleep(0.01)


def read_pid(path: Path) -> int:
    text = path.read_text(encoding="ascii").strip() if path.exists() else ""
    return int(text or "0")


async def pid_in(path: Path) -> int:
    await until(lambda: read_pid(path))
    return read_pid(path)
