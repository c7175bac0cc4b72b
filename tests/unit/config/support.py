"""What the tests of the configuration share: a component type, a machine and a way to write files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel

from failoverd.agents.exec import ExecType
from failoverd.config.machine import canonical
from failoverd.config.reader import check, load
from failoverd.config.settings import Config, Report
from failoverd.config.types import Duration, Keys
from failoverd.ports import Agent, AgentHost, AgentType

CONFIGS = Path(__file__).resolve().parents[2] / "configs"

HEAD = """\
cluster: shop
node: a
nodes:
  a: {address: 127.0.0.1}
  b: {address: "127.0.0.1:7801"}
coordinator: {type: sqlite, path: cluster.db}
"""
EXEC = '{type: exec, online: "true", offline: "true", monitor: "true"}'


class LampParams(Keys):
    """A lamp: a type with a key that is no command, for what ``exec`` does not show."""

    socket: str
    """Where it is plugged in."""
    fade: Duration = 2.0
    warm_up: bool = False


class LampType:
    name = "lamp"
    params: type[BaseModel] = LampParams

    def prepares(self, params: BaseModel) -> bool:
        assert isinstance(params, LampParams)
        return params.warm_up

    def warnings(self, params: BaseModel) -> tuple[tuple[tuple[str | int, ...], str], ...]:
        assert isinstance(params, LampParams)
        return ((("socket",), "the socket is dusty"),) if params.socket == "dusty" else ()

    def build(self, params: BaseModel, host: AgentHost) -> Agent:
        raise NotImplementedError


TYPES: Mapping[str, AgentType] = {"exec": ExecType(), "lamp": LampType()}


@dataclass(frozen=True, slots=True)
class FakeMachine:
    """A machine whose name and addresses do not depend on where the tests run."""

    hostname: str = "a.example"
    hosts: Mapping[str, str] = field(default_factory=lambda: {"localhost": "127.0.0.1", "elsewhere": "10.9.9.8"})
    here: frozenset[str] = frozenset({"127.0.0.1", "127.0.1.1", "127.0.2.1", "::1", "a"})

    def resolve(self, host: str) -> str | None:
        return canonical(host) or self.hosts.get(host)

    def finds(self, program: str) -> bool:
        del program
        return True

    def is_here(self, host: str) -> bool:
        return (self.resolve(host) or host) in self.here


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def checked(path: Path, text: str, *, node: str | None = None) -> Report:
    return check(write(path / "failoverd.yaml", text), TYPES, node=node, machine=FakeMachine())


def loaded(path: Path, text: str, *, node: str | None = None) -> Config:
    return load(write(path / "failoverd.yaml", text), TYPES, node=node, machine=FakeMachine())
