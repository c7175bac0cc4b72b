"""The ``process`` type's entry in the table of component types."""

from collections.abc import Iterator
from functools import cached_property
from typing import ClassVar

from pydantic import BaseModel

from failoverd.agents.commands import fault_of, place_of
from failoverd.agents.process.agent import ProcessAgent
from failoverd.agents.process.census import Census
from failoverd.agents.process.params import JOURNAL, ProcessParams
from failoverd.agents.process.place import Form, Machine, Place
from failoverd.agents.process.start import DirectStart, NoStart, Starter
from failoverd.agents.process.unit import UnitStart
from failoverd.agents.systemd.manager import Manager
from failoverd.ports import Agent, AgentHost


class ProcessType:
    """``ports.AgentType``. All its agents share one census, and one connection to systemd."""

    name = "process"
    params: ClassVar[type[BaseModel]] = ProcessParams

    def __init__(self) -> None:
        self._census = Census()
        self._manager = Manager()

    @cached_property
    def machine(self) -> Machine:
        return Machine.here()

    def prepares(self, params: BaseModel) -> bool:
        del params
        return False

    def warnings(self, params: BaseModel) -> tuple[tuple[tuple[str | int, ...], str], ...]:
        own = _own(params)
        commands: list[tuple[tuple[str, ...], list[str] | str]] = [(("command",), own.command)]
        if own.ready is not None and own.ready.command is not None:
            commands.append((("ready", "command"), own.ready.command))
        found = ((key, command, fault_of(command, own)) for key, command in commands)
        faults = [((*key[:-1], *place_of(key[-1], command)), fault) for key, command, fault in found if fault]
        return (*faults, *_misplaced(own, self.machine))

    def build(self, params: BaseModel, host: AgentHost) -> Agent:
        own = _own(params)
        place = Place.of(host, self.machine)
        form = self.machine.form(own.contain)
        starter: Starter
        if lacks := self.machine.lacks(form):
            starter = NoStart(lacks)
        elif form is Form.UNIT:
            starter = UnitStart(self._manager, place.unit, own, f"{host.group}/{host.component} of failoverd")
        else:
            starter = DirectStart(host.spawner, own, place.own if form is Form.CGROUP else None)
        return ProcessAgent(own, host, self._census, place, starter)


def _misplaced(params: ProcessParams, machine: Machine) -> Iterator[tuple[tuple[str | int, ...], str]]:
    form = machine.form(params.contain)
    if lacks := machine.lacks(form):
        yield ("contain",), f"it cannot be brought online here: {lacks}"
    elif machine.root and params.contain == "auto" and form is Form.SESSION:
        lacks = machine.lacks(Form.CGROUP)
        yield (
            ("type",),
            f"it is kept together by its session alone here ('contain: session' says that it may be): {lacks}",
        )
    elif form is not Form.UNIT and params.output == JOURNAL:
        yield ("output",), f"its output is discarded here: only a unit of systemd has the journal, and it is a {form}"


def _own(params: BaseModel) -> ProcessParams:
    if not isinstance(params, ProcessParams):
        raise TypeError(f"not the parameters of a process component: {type(params).__name__}")
    return params
