"""The table of component types: failoverd's own, and those of other packages (entry point group ``failoverd.agents``).

An entry point names an object that is an ``ports.AgentType``, or a class or function that makes one without arguments.
A package whose entry point cannot be used does not take the others down: its types are there, but every component of
one is a fault of the configuration that names the package and says what is wrong with it.
"""

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, NoReturn

from pydantic import BaseModel, model_validator

from failoverd.agents.exec import ExecType
from failoverd.agents.ip.type import IpType
from failoverd.agents.mount.type import MountType
from failoverd.agents.ocf.family import OcfFamily
from failoverd.agents.process.type import ProcessType
from failoverd.agents.systemd.type import SystemdType
from failoverd.config.table import AgentTable
from failoverd.config.types import Keys
from failoverd.ports import Agent, AgentHost, AgentType

ENTRY_POINTS = "failoverd.agents"


def agent_types(extra: Iterable[EntryPoint] | None = None) -> AgentTable:
    """Every component type by its name. ``extra``: other people's (default: those of the installed packages)."""
    built_in = (ExecType(), IpType(), MountType(), ProcessType(), SystemdType())
    types: dict[str, AgentType] = {kind.name: kind for kind in built_in}
    own = frozenset(types)
    for point in entry_points(group=ENTRY_POINTS) if extra is None else extra:
        if point.name in own or point.name.startswith(OcfFamily.prefix):
            continue  # a package cannot change what a file meant before it was installed
        known = point.name in types
        types[point.name] = _broken(point, "another package provides it too") if known else _load(point)
    return AgentTable(types, (OcfFamily(),))


def _load(point: EntryPoint) -> AgentType:
    try:
        found = point.load()
        made = found() if callable(found) and not isinstance(found, BaseModel) else found
    except (
        ImportError,
        AttributeError,
        SyntaxError,
        TypeError,
        ValueError,
        LookupError,
        OSError,
        RuntimeError,
    ) as error:
        return _broken(point, f"{type(error).__name__}: {error}")
    missing = [name for name in ("name", "params", "prepares", "warnings", "build") if not hasattr(made, name)]
    if missing:
        return _broken(point, f"{point.value} is no agent type: it has no {', '.join(missing)}")
    if made.name != point.name:
        return _broken(point, f"{point.value} calls itself {made.name!r}")
    typed: AgentType = made
    return typed


def _broken(point: EntryPoint, why: str) -> AgentType:
    package = f"{point.dist.name} {point.dist.version}" if point.dist is not None else point.value
    return BrokenType(point.name, f"the type '{point.name}' of the package {package} cannot be used: {why}")


class BrokenType:
    """Stands for a type that could not be loaded: refuses every component of it, with the reason."""

    def __init__(self, name: str, why: str) -> None:
        self.name = name
        self.why = why
        self.params: type[BaseModel] = _refusing(why)

    def prepares(self, params: BaseModel) -> bool:
        del params
        return False

    def warnings(self, params: BaseModel) -> tuple[tuple[tuple[str | int, ...], str], ...]:
        del params
        return ()

    def build(self, params: BaseModel, host: AgentHost) -> Agent:
        """Never reached by way of a configuration: no parameters are valid."""
        del params, host
        raise TypeError(self.why)


def _refusing(why: str) -> type[BaseModel]:
    class Refusing(Keys):
        model_config: ClassVar[Any] = {"extra": "allow"}

        @model_validator(mode="before")
        @classmethod
        def refuse(cls, _data: Any) -> NoReturn:
            raise ValueError(why)

    return Refusing
