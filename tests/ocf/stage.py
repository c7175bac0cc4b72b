"""A machine of its own (network, mounts, processes) on which resource agents are exercised, and what came of it.

``python -m tests.ocf.stage NAME ...`` runs the named exercises at the same time in fresh namespaces and prints one JSON
document: for each exercise its steps. Nothing is left behind: when it ends, so do the namespaces.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import anyio

from failoverd.agents.ocf.family import OcfFamily
from failoverd.clock import BootClock
from failoverd.domain.model import Action, Timeouts
from failoverd.log.catalogue import Event
from failoverd.ports import Agent, AgentHost, Call, Probe, Result, Spawner
from failoverd.spawner.client import HelperSpawner

UNSHARE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private")
REAPER = ("bash", "-c", '"$@" & wait $!', "init")
"""The first process of the namespace: somebody has to collect what daemons leave to it when they end."""
WITHIN_S = 120.0


@dataclass
class Step:
    what: str
    answer: str
    detail: str
    seconds: float


@dataclass
class Stage:
    """What an exercise works with."""

    family: OcfFamily
    spawner: Spawner
    root: Path
    """A directory of its own."""
    run_dir: Path
    name: str
    steps: list[Step] = field(default_factory=list)

    @property
    def state(self) -> Path:
        """HA_RSCTMP"""
        return self.run_dir / "ocf" / "state"

    @property
    def instance(self) -> str:
        return f"trial.{self.name}"

    def component(self, kind: str, params: Mapping[str, Any], **keys: Any) -> "Exercised":
        return Exercised(self, kind, {"params": dict(params), **keys})

    async def sh(self, *words: str) -> str:
        """A command of the test's own, which must succeed."""
        done = await anyio.run_process(list(words), check=False, stderr=subprocess.STDOUT)
        text = done.stdout.decode(errors="replace")
        assert done.returncode == 0, f"{' '.join(words)}: {text}"
        return text.strip()


class Exercised:
    """One component: its operations as the daemon calls them, with the time-outs of its agent's meta-data."""

    def __init__(self, stage: Stage, kind: str, keys: Mapping[str, Any]) -> None:
        found = stage.family.member(kind)
        assert found is not None
        self.stage, self.type = stage, found
        self.params = found.params.model_validate(dict(keys))
        host = AgentHost(
            spawner=stage.spawner,
            clock=BootClock(),
            run_dir=stage.run_dir,
            cluster="trial",
            node="a",
            group="trial",
            component=stage.name,
        )
        self.agent: Agent = found.build(self.params, host)
        self.timeouts: Mapping[Action, float] = found.timeouts(self.params)  # type: ignore[attr-defined]  # ports.Timed

    async def validate(self) -> None:
        began = time.monotonic()
        look = self.type.examine  # type: ignore[attr-defined]  # ports.Examiner
        found = await anyio.to_thread.run_sync(lambda: look(self.params, self.stage.name))
        self._note("validate", "refused" if found else "good", "; ".join(found), began)

    async def probe(self) -> None:
        await self._do(Action.PROBE, self.agent.probe)

    async def online(self) -> None:
        await self._do(Action.ONLINE, self.agent.online)

    async def offline(self) -> None:
        await self._do(Action.OFFLINE, self.agent.offline)

    async def prepare(self) -> None:
        await self._do(Action.PREPARE, self.agent.prepare)

    async def lifecycle(self, fault: Callable[[], Awaitable[object]]) -> None:
        """Absent, online, broken behind its back, offline, absent; and once more what is absent already."""
        await self.validate()
        await self.probe()
        await self.online()
        await self.probe()
        await fault()
        await self.probe()
        await self.offline()
        await self.probe()
        await self.offline()

    async def _do(self, action: Action, operation: Callable[[Call], Awaitable[Probe | Result]]) -> None:
        call = Call(
            cluster="trial",
            node="a",
            group="trial",
            component=self.stage.name,
            action=action,
            generation=1,
            timeout_s=self.timeouts.get(action, Timeouts().of(action)),
        )
        began = time.monotonic()
        answer = await operation(call)
        state = answer.presence if isinstance(answer, Probe) else answer.outcome
        output = f" [{answer.output[-600:]}]" if isinstance(answer, Result) and not answer.ok else ""
        self._note(action.value, state.value, answer.detail + output, began)

    def _note(self, what: str, answer: str, detail: str, began: float) -> None:
        self.stage.steps.append(Step(what, answer, detail, round(time.monotonic() - began, 3)))


Exercise = Callable[[Stage], Awaitable[None]]


class _NoLog:
    def emit(self, event: Event, **fields: Any) -> None:
        print(event, fields, file=sys.stderr)


async def perform(exercises: Mapping[str, Exercise], root: Path) -> dict[str, list[dict[str, Any]]]:
    """All at the same time, as their components would be."""
    run_dir = root / "run"
    stages: dict[str, Stage] = {}
    async with HelperSpawner(run_dir, _NoLog()) as spawner, anyio.create_task_group() as tasks:
        family = OcfFamily()
        for name, exercise in exercises.items():
            own = root / name
            own.mkdir(mode=0o755)
            stages[name] = Stage(family, spawner, own, run_dir, name)
            tasks.start_soon(_one, exercise, stages[name])
    return {name: [asdict(step) for step in stage.steps] for name, stage in stages.items()}


async def _one(exercise: Exercise, stage: Stage) -> None:
    try:
        with anyio.fail_after(WITHIN_S):
            await exercise(stage)
    except (AssertionError, TimeoutError, OSError, ValueError) as error:
        stage.steps.append(Step("trouble", type(error).__name__, str(error), 0.0))


def furnish() -> None:
    """What every machine has: a loopback interface, a network, an empty /run."""
    for words in (
        ("mount", "-t", "tmpfs", "-o", "mode=0755", "failoverd-run", "/run"),
        ("mount", "-t", "sysfs", "failoverd-sys", "/sys"),
        ("ip", "link", "set", "lo", "up"),
        ("ip", "link", "add", "lan0", "type", "veth", "peer", "name", "lan1"),
        ("ip", "link", "set", "lan1", "up"),
        ("ip", "link", "set", "lan0", "up"),
        ("ip", "address", "add", "10.77.0.1/24", "dev", "lan0"),
    ):
        subprocess.run(words, check=True, timeout=20)
    Path("/run/lock").mkdir(mode=0o1777)


def run(names: tuple[str, ...]) -> dict[str, list[dict[str, Any]]]:
    """From the test: in namespaces of its own."""
    done = subprocess.run(
        [*UNSHARE, *REAPER, sys.executable, "-m", "tests.ocf.stage", *names],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=2 * WITHIN_S,
        check=False,
        env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8"},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[dict[str, Any]]] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(names: list[str]) -> None:
    # Imported here because the exercises import this module.
    from tests.ocf.exercises import EXERCISES  # noqa: PLC0415 (as said)

    furnish()
    root = Path(tempfile.mkdtemp(prefix="failoverd-ocf-"))
    root.chmod(0o755)
    try:
        found = anyio.run(perform, {name: EXERCISES[name].run for name in names}, root)
    finally:
        subprocess.run(["umount", "--recursive", "--lazy", "--quiet", str(root)], check=False, timeout=20)
        shutil.rmtree(root, ignore_errors=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
