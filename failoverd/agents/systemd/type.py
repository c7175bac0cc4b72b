"""The ``systemd`` type's entry in the table of component types."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel

from failoverd.agents.systemd.agent import SystemdAgent
from failoverd.agents.systemd.manager import Manager
from failoverd.agents.systemd.params import SystemdParams
from failoverd.ports import Agent, AgentHost

_BOOTED = Path("/run/systemd/system")
"""There where systemd is the first process (sd_booted(3))."""
_PLACES = ("/etc", "/run", "/run/systemd/generator", "/usr/local/lib", "/usr/lib", "/lib")
_ENABLED = ("/etc/systemd/system", "/run/systemd/system")


class SystemdType:
    """``ports.AgentType``. All its agents share one connection."""

    name = "systemd"
    params: ClassVar[type[BaseModel]] = SystemdParams

    def __init__(self) -> None:
        self._manager = Manager()

    def prepares(self, params: BaseModel) -> bool:
        del params
        return True

    def warnings(self, params: BaseModel) -> tuple[tuple[tuple[str | int, ...], str], ...]:
        return tuple((("unit",), text) for text in _warnings(_own(params).unit))

    def build(self, params: BaseModel, host: AgentHost) -> Agent:
        del host
        return SystemdAgent(_own(params), self._manager)


def _warnings(unit: str) -> Iterator[str]:
    if not _BOOTED.is_dir():
        yield "systemd does not run on this machine"
        return
    if not any(_exists(place, name) for place in _PLACES for name in _files(unit)):
        yield f"there is no {unit} on this machine"
    for directory in _ENABLED:
        for wanted in Path(directory).glob(f"*.[wr]*/{unit}"):
            yield f"{unit} is enabled ({wanted.parent.name}), so systemd starts it too: systemctl disable {unit}"
            return


def _files(unit: str) -> tuple[str, ...]:
    """An instance comes from its template."""
    stem, at, rest = unit.partition("@")
    return (unit, f"{stem}@.{rest.rpartition('.')[2]}") if at else (unit,)


def _exists(place: str, name: str) -> bool:
    path = Path(place)
    return (path / name if path.name == "generator" else path / "systemd" / "system" / name).exists()


def _own(params: BaseModel) -> SystemdParams:
    if not isinstance(params, SystemdParams):
        raise TypeError(f"not the parameters of a systemd component: {type(params).__name__}")
    return params
