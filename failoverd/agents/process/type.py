"""The ``process`` type's entry in the table of component types."""

from typing import ClassVar

from pydantic import BaseModel

from failoverd.agents.commands import fault_of, place_of
from failoverd.agents.process.agent import ProcessAgent
from failoverd.agents.process.census import Census
from failoverd.agents.process.params import ProcessParams
from failoverd.ports import Agent, AgentHost


class ProcessType:
    """``ports.AgentType``. All its agents share one census."""

    name = "process"
    params: ClassVar[type[BaseModel]] = ProcessParams

    def __init__(self) -> None:
        self._census = Census()

    def prepares(self, params: BaseModel) -> bool:
        del params
        return False

    def warnings(self, params: BaseModel) -> tuple[tuple[tuple[str | int, ...], str], ...]:
        own = _own(params)
        commands: list[tuple[tuple[str, ...], list[str] | str]] = [(("command",), own.command)]
        if own.ready is not None and own.ready.command is not None:
            commands.append((("ready", "command"), own.ready.command))
        found = ((key, command, fault_of(command, own)) for key, command in commands)
        return tuple(((*key[:-1], *place_of(key[-1], command)), fault) for key, command, fault in found if fault)

    def build(self, params: BaseModel, host: AgentHost) -> Agent:
        return ProcessAgent(_own(params), host, self._census)


def _own(params: BaseModel) -> ProcessParams:
    if not isinstance(params, ProcessParams):
        raise TypeError(f"not the parameters of a process component: {type(params).__name__}")
    return params
