"""The ``exec`` type: a component is what a few commands make of it.

Exit statuses are those of the Open Cluster Framework's resource agents: 0 is done, or running; 7 is not running, which
for ``offline`` and ``clean`` counts as done; anything else has failed. A command that runs into its time-out is ended
with its whole process group. What it leaves behind in the background should not keep its output open: nobody reads it.
"""

from typing import ClassVar

from pydantic import BaseModel

from failoverd.agents.commands import CommandKeys, describe, fault_of, place_of, request
from failoverd.config.types import Command
from failoverd.errors import SpawnFailed
from failoverd.ports import (
    Agent,
    AgentHost,
    Call,
    CommandWill,
    Outcome,
    Presence,
    Probe,
    Result,
    RunResult,
    Spawner,
    Will,
)

RUNNING = 0
NOT_RUNNING = 7
_CANNOT_EXECUTE = (126, 127)
"""What a shell answers for a command that is not executable, or not found (POSIX, Shell Command Language 2.8.2)."""


class ExecParams(CommandKeys):
    """Parameters of a component of type ``exec``: what a few commands bring online, take offline and monitor."""

    online: Command
    """Brings it online; returns when it is."""

    offline: Command
    """Takes it offline; returns when it is. Nothing to take offline is success."""

    monitor: Command
    """Tells whether it is online: exit status 0 when it is, 7 when it is not, anything else when it has failed."""

    clean: Command | None = None
    """Takes it offline by force, after ``offline`` has failed. Without it, ``offline`` is run once more."""

    prepare: Command | None = None
    """Run on the target before its turn; must touch nothing that only one node may use."""

    def commands(self) -> dict[str, list[str] | str]:
        every = {
            "online": self.online,
            "offline": self.offline,
            "monitor": self.monitor,
            "clean": self.clean,
            "prepare": self.prepare,
        }
        return {key: command for key, command in every.items() if command is not None}


class ExecAgent:
    def __init__(self, params: ExecParams, spawner: Spawner) -> None:
        self._params = params
        self._spawner = spawner
        self._last: tuple[Call, Will] | None = None
        """The latest will, and what was called for: made once for each turn of being online."""

    async def probe(self, call: Call) -> Probe:
        try:
            result = await self._spawner.run(request(self._params.monitor, call, self._params, call.timeout_s))
        except SpawnFailed as error:
            return Probe(presence=Presence.UNKNOWN, detail=f"monitor: {error}")
        return Probe(presence=presence_of(result), detail=_detail_of_probe(result))

    async def prepare(self, call: Call) -> Result:
        if self._params.prepare is None:
            return Result(outcome=Outcome.DONE)
        return await self._do(self._params.prepare, call, RUNNING)

    async def online(self, call: Call) -> Result:
        return await self._do(self._params.online, call, RUNNING)

    async def offline(self, call: Call) -> Result:
        return await self._do(self._params.offline, call, RUNNING, NOT_RUNNING)

    async def clean(self, call: Call) -> Result:
        return await self._do(self._params.clean or self._params.offline, call, RUNNING, NOT_RUNNING)

    async def watch(self, _call: Call) -> Probe | None:
        return None

    def will(self, call: Call) -> Will | None:
        """``ports.Testator``."""
        if self._last is None or self._last[0] != call:
            command = self._params.clean or self._params.offline
            self._last = (call, CommandWill(request=request(command, call, self._params, call.timeout_s)))
        return self._last[1]

    async def _do(self, command: list[str] | str, call: Call, *good: int) -> Result:
        try:
            result = await self._spawner.run(request(command, call, self._params, call.timeout_s))
        except SpawnFailed as error:
            return Result(outcome=Outcome.UNAVAILABLE, detail=f"{call.action}: {error}")
        outcome = outcome_of(result, good)
        if outcome is Outcome.DONE:
            return Result(outcome=outcome)
        fault = fault_of(command, self._params) if result.exit_status in _CANNOT_EXECUTE else None
        if fault is not None:  # the shell's "not found" of a command that is nothing but this program
            return Result(outcome=Outcome.UNAVAILABLE, detail=f"{call.action}: {fault}", output=result.output)
        return Result(outcome=outcome, detail=f"{call.action}: {describe(result)}", output=result.output)


def presence_of(result: RunResult) -> Presence:
    """What the answer of a monitor command means."""
    if result.timed_out:
        return Presence.UNKNOWN
    if result.exit_status == RUNNING:
        return Presence.ONLINE
    if result.exit_status == NOT_RUNNING:
        return Presence.OFFLINE
    # A shell that did not find the program has asked nobody; neither has a monitor that was killed.
    if result.exit_status in _CANNOT_EXECUTE or result.exit_status is None:
        return Presence.UNKNOWN
    return Presence.FAILED


def outcome_of(result: RunResult, good: tuple[int, ...]) -> Outcome:
    """What the end of any other command means; ``good``: the exit statuses of success."""
    if result.timed_out:
        return Outcome.TIMED_OUT
    return Outcome.DONE if result.exit_status in good else Outcome.FAILED


def _detail_of_probe(result: RunResult) -> str:
    quiet = not result.timed_out and result.exit_status in (RUNNING, NOT_RUNNING)
    return "" if quiet else f"monitor: {describe(result)}"


class ExecType:
    """``ports.AgentType``."""

    name = "exec"
    params: ClassVar[type[BaseModel]] = ExecParams

    def prepares(self, params: BaseModel) -> bool:
        return _own(params).prepare is not None

    def warnings(self, params: BaseModel) -> tuple[tuple[tuple[str | int, ...], str], ...]:
        own = _own(params)
        found = ((place_of(key, command), fault_of(command, own)) for key, command in own.commands().items())
        return tuple((place, fault) for place, fault in found if fault is not None)

    def build(self, params: BaseModel, host: AgentHost) -> Agent:
        return ExecAgent(_own(params), host.spawner)


def _own(params: BaseModel) -> ExecParams:
    if not isinstance(params, ExecParams):
        raise TypeError(f"not the parameters of an exec component: {type(params).__name__}")
    return params
