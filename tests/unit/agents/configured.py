"""What ``check`` says of one component of a real type, with the places of its faults."""

from pathlib import Path

from failoverd.agents.registry import agent_types
from failoverd.config.fault import Fault
from failoverd.config.reader import check
from failoverd.config.settings import Report
from tests.unit.config.support import HEAD, FakeMachine, write


def report(directory: Path, component: str) -> Report:
    """``component``: its mapping in YAML's flow style, in line 10 from column 12 on."""
    text = f"{HEAD}groups:\n  g:\n    components:\n      it: {component}\n"
    return check(write(directory / "it.yaml", text), agent_types(()), machine=FakeMachine())


def faults(directory: Path, component: str) -> list[str]:
    """``column: message``; everything is in line 10."""
    return _said(report(directory, component).faults)


def warnings(directory: Path, component: str) -> list[str]:
    return [text for text in _said(report(directory, component).warnings) if "keygen" not in text]


def _said(found: tuple[Fault, ...]) -> list[str]:
    return [f"{one.column}: {one.message}" for one in found]
