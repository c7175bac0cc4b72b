"""What the agents that run commands have in common: how a command is written, what it sees, what is wrong with it."""

import os
import re
import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from failoverd.config.types import Keys
from failoverd.ports import Call, RunRequest, RunResult

SHELL = "/bin/sh"
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PREFIX = "FAILOVERD_"
_HANDED_ON = ("LANG", "LC_ALL", "TZ", "TMPDIR")
"""Beside PATH and HOME: what a command gets of the daemon's own environment."""

_SIMPLE_WORD = re.compile(r"[A-Za-z0-9_@%+:,./-]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHELL_WORDS = frozenset(
    # As one text: a list would be fifty lines.
    """! . : [ { alias bg break case cd command continue do eval exec exit export false fg for getopts hash if jobs kill
    local printf pwd read readonly return set shift test times trap true type ulimit umask unalias unset until wait
    while""".split()  # noqa: SIM905 (see above)
)
"""What a POSIX shell does itself: not to be looked for in PATH."""


def _variables(value: dict[str, str]) -> dict[str, str]:
    for name, content in value.items():
        if not _VARIABLE.fullmatch(name):
            raise ValueError(f"{name[:40]!r} is no name of an environment variable")
        if name.startswith(PREFIX):
            raise ValueError(f"{name[:40]} is set by failoverd itself")
        if "\0" in content:
            raise ValueError(f"the value of {name} must not contain a NUL character")
    return value


Variables = Annotated[dict[str, str], AfterValidator(_variables)]


def _absolute(value: str) -> str:
    if not value.startswith("/") or "\0" in value:
        raise ValueError("must be an absolute path")
    return value


AbsolutePath = Annotated[str, AfterValidator(_absolute)]


class CommandKeys(Keys):
    """How the commands of a component are run."""

    env: Variables = Field(default_factory=dict)
    """Variables that its commands get in addition (values in quotes where they look like numbers)."""

    user: str | None = None
    """Run as this user (name or number) instead of the daemon's own; needs a daemon that runs as root."""

    group: str | None = None
    """Run with this group (name or number) instead of the user's own."""

    cwd: AbsolutePath | None = None
    """The directory that its commands run in (default: /)."""

    @cached_property
    def base(self) -> dict[str, str]:
        """What they get of the daemon's own environment, which does not change."""
        return _base(own_user=self.user is None)


def argv(command: Sequence[str] | str) -> tuple[str, ...]:
    return (SHELL, "-c", command) if isinstance(command, str) else tuple(command)


def _base(own_user: bool) -> dict[str, str]:
    """What is handed on of the daemon's own environment."""
    env = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
    env.setdefault("LANG", "C.UTF-8")
    env["PATH"] = os.environ.get("PATH") or DEFAULT_PATH
    if own_user:  # else the spawner sets HOME, USER and LOGNAME from the user's account
        env["HOME"] = os.environ.get("HOME", "/")
    return env


def environment(call: Call, keys: CommandKeys) -> dict[str, str]:
    """A clean base, what the command is called for, and what was configured; nothing else of the daemon's own."""
    return {
        **keys.base,
        f"{PREFIX}CLUSTER": call.cluster,
        f"{PREFIX}NODE": call.node,
        f"{PREFIX}GROUP": call.group,
        f"{PREFIX}COMPONENT": call.component,
        f"{PREFIX}ACTION": call.action.value,
        f"{PREFIX}GENERATION": str(call.generation),
        **keys.env,
    }


def request(
    command: Sequence[str] | str,
    call: Call,
    keys: CommandKeys,
    timeout_s: float,
    extra: dict[str, str] | None = None,
) -> RunRequest:
    return RunRequest(
        argv=argv(command),
        env=environment(call, keys) | extra if extra else environment(call, keys),
        timeout_s=timeout_s,
        cwd=keys.cwd,
        user=keys.user,
        group=keys.group,
    )


def search_path(keys: CommandKeys) -> str:
    return keys.env.get("PATH") or os.environ.get("PATH") or DEFAULT_PATH


def program(command: list[str] | str) -> str | None:
    """The program that a command begins with, where that can be told without being a shell."""
    if not isinstance(command, str):
        return command[0]
    word = command.split(maxsplit=1)[0]
    return word if _SIMPLE_WORD.fullmatch(word) and word not in _SHELL_WORDS else None


def fault_of(command: list[str] | str, keys: CommandKeys) -> str | None:
    """Why the command cannot be run on this machine now; None where nothing speaks against it."""
    name = program(command)
    if name is None:
        return None
    if "/" in name and not name.startswith("/"):
        name = str(Path(keys.cwd or "/") / name)
    path = Path(name)
    if "/" not in name:
        if shutil.which(name, path=search_path(keys)) is None:
            return f"command {name} is not found in PATH ({search_path(keys)}), or is not executable"
        return None
    if not path.exists():
        return f"command {name} does not exist"
    if not path.is_file():
        return f"command {name} is not a file"
    if not os.access(path, os.X_OK):
        return f"command {name} is not executable: chmod +x {name}"
    return None


def place_of(key: str, command: list[str] | str) -> tuple[str | int, ...]:
    """Where the program stands in the component."""
    return (key,) if isinstance(command, str) else (key, 0)


def describe(result: RunResult) -> str:
    """How a command ended, in one line, with the last line that it printed."""
    return result.how
