"""Which process is the one that was started: pid, start time and boot, kept in a file and never mixed up."""

import contextlib
import hashlib
import json
import os
import secrets
from dataclasses import asdict, dataclass
from urllib.parse import quote

from failoverd import procfs
from failoverd.errors import FailoverdError
from failoverd.ports import AgentHost, Detached

MARK = "FAILOVERD_INSTANCE"
_FILE_MAX = 4096


class StateUnreadable(FailoverdError):  # noqa: N818 (what is the case)
    """The state file is there but tells nothing. Nothing was changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    pid: int
    """Also its session and process group."""
    start_ticks: int
    boot_id: str
    generation: int = 0
    mark: str = ""
    """What its environment carries: tells what it left behind from what another instance is."""
    ready: bool = False
    """It has said so itself, which it does once."""

    def __post_init__(self) -> None:
        numbers = (self.pid, self.start_ticks, self.generation)
        if not all(isinstance(number, int) for number in numbers) or self.pid <= 1 or not isinstance(self.mark, str):
            raise ValueError(f"not a process: {self}")

    @classmethod
    def of(cls, detached: Detached, generation: int, mark: str) -> "Identity":
        return cls(
            pid=detached.pid,
            start_ticks=detached.start_ticks,
            boot_id=detached.boot_id,
            generation=generation,
            mark=mark,
        )

    @classmethod
    def of_stat(cls, there: procfs.Stat, mark: str) -> "Identity":
        return cls(pid=there.pid, start_ticks=there.start_ticks, boot_id=procfs.boot_id(), mark=mark)

    @property
    def detached(self) -> Detached:
        return Detached(pid=self.pid, start_ticks=self.start_ticks, boot_id=self.boot_id)

    @property
    def this_boot(self) -> bool:
        return self.boot_id == procfs.boot_id()

    @property
    def alive(self) -> bool:
        """It runs: not another process with its pid, and no zombie."""
        there = procfs.stat(self.pid)
        return there is not None and self.is_it(there) and there.alive and self.this_boot

    def is_it(self, there: procfs.Stat) -> bool:
        return there.pid == self.pid and there.start_ticks == self.start_ticks


class StateFile:
    """``<run_dir>/process/<group>.<component>.json``."""

    def __init__(self, host: AgentHost) -> None:
        self.path = host.run_dir / "process" / f"{_safe(host.group)}.{_safe(host.component)}.json"

    def load(self) -> Identity | None:
        """None where there is no file. Raises StateUnreadable."""
        try:
            with self.path.open("rb") as file:
                fields = json.loads(file.read(_FILE_MAX))
            identity = Identity(**fields)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise StateUnreadable(f"state file {self.path}: {error}") from error
        return identity

    def save(self, identity: Identity) -> None:
        """Whole or not at all. Raises OSError."""
        self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        beside = self.path.with_suffix(f".{os.getpid()}.tmp")
        try:
            beside.write_text(json.dumps(asdict(identity)), encoding="ascii")
            beside.replace(self.path)
        finally:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)

    def forget(self) -> None:
        with contextlib.suppress(OSError):  # what it names has ended, which is found out again
            self.path.unlink(missing_ok=True)


def mark_prefix(host: AgentHost) -> str:
    """What the environment marks of all instances of one component begin with.

    The run_dir is part of it: it is this daemon's memory, and another daemon on the machine (a trial, a test) has
    another. Whoever changes the run_dir of a node takes its groups offline first.
    """
    where = hashlib.sha256(str(host.run_dir.resolve()).encode()).hexdigest()[:12]
    names = "/".join(quote(name, safe="") for name in (host.cluster, host.node, host.group, host.component))
    return f"{names}/{where}/"


def new_mark(host: AgentHost) -> str:
    return mark_prefix(host) + secrets.token_hex(6)


def _safe(name: str) -> str:
    """Fit for a file name, and without the dot that separates group and component."""
    return quote(name, safe="").replace(".", "%2E")
