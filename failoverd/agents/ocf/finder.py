"""Which resource agents are installed: the executable files below ``OCF_ROOT/resource.d/PROVIDER``."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PREFIX = "ocf:"
DEFAULT_ROOT = Path("/usr/lib/ocf")
_TYPE = re.compile(r"ocf:(?P<provider>[A-Za-z0-9_][A-Za-z0-9_.-]*):(?P<agent>[A-Za-z0-9_][A-Za-z0-9_.-]*)")


@dataclass(frozen=True, slots=True)
class Name:
    provider: str
    agent: str

    def __str__(self) -> str:
        return f"{PREFIX}{self.provider}:{self.agent}"


def parse_name(text: str) -> Name | None:
    """``ocf:heartbeat:IPaddr2``; None for what is no name of an OCF agent."""
    match = _TYPE.fullmatch(text)
    return Name(match["provider"], match["agent"]) if match else None


def root_of(environ: Mapping[str, str] = os.environ) -> Path:
    """OCF_ROOT, as the agents themselves understand it."""
    return Path(environ.get("OCF_ROOT") or DEFAULT_ROOT)


def path_of(root: Path, name: Name) -> Path:
    return root / "resource.d" / name.provider / name.agent


def is_agent(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def installed(root: Path) -> Iterator[Name]:
    """Every agent of every provider, in order."""
    try:
        providers = sorted(path for path in (root / "resource.d").iterdir() if path.is_dir())
    except OSError:
        return
    for provider in providers:
        try:
            agents = sorted(path for path in provider.iterdir() if is_agent(path))
        except OSError:
            continue
        for agent in agents:
            name = parse_name(f"{PREFIX}{provider.name}:{agent.name}")
            if name is not None:
                yield name
