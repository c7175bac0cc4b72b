"""The ports: what the runtime needs of the world, as protocols. Adapters implement them, tests fake them.

Every coroutine here has a deadline of its own (said with each), so that a caller never waits for ever.
"""

import math
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel

from failoverd.domain.fence_record import FenceLevel
from failoverd.domain.model import Action, HealthCheck, NodeSpec
from failoverd.domain.report import PeerState
from failoverd.log.catalogue import Event

LINE_CHARS_MAX = 200
"""Of a line that a command printed, as it is shown in one line of ours."""


class Clock(Protocol):
    def now(self) -> float:
        """Seconds of CLOCK_BOOTTIME: monotonic, and a suspended machine's time counts."""

    async def sleep_until(self, at: float) -> None:
        """Return once ``now() >= at``."""

    def wall(self) -> str:
        """The wall-clock time as RFC 3339 UTC with microseconds: for people, never for a decision."""


# --- the coordinator ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    key: str
    value: bytes
    revision: int
    """The store's revision at this key's latest change, always above 0."""


@dataclass(frozen=True, slots=True)
class Listing:
    revision: int
    """The store's revision at which ``entries`` was true; watch from it to miss nothing."""
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Expect:
    key: str
    revision: int
    """What the key's revision must still be; 0: the key must not exist."""


@dataclass(frozen=True, slots=True)
class Put:
    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Delete:
    key: str


@dataclass(frozen=True, slots=True)
class Commit:
    ok: bool
    """False: an expectation did not hold, and nothing was written."""
    revision: int
    """The store's revision after it; where ``ok``, the revision of every key that was put."""


@dataclass(frozen=True, slots=True)
class Change:
    """A watch's news: the key's newest value, or None for its deletion."""

    key: str
    value: bytes | None
    revision: int


class Coordinator(Protocol):
    """A small key-value store with revisions. All calls raise ``CoordinatorUnavailable`` at their deadline."""

    async def read(self, key: str) -> Entry | None: ...

    async def list(self, prefix: str) -> Listing: ...

    async def commit(self, expects: Sequence[Expect], writes: Sequence[Put | Delete]) -> Commit:
        """Compare-and-swap: all of ``writes`` in one transaction if all of ``expects`` hold, else nothing."""

    def watch(self, prefix: str, after: int) -> AbstractAsyncContextManager[AsyncIterator[tuple[Change, ...]]]:
        """Batches of changes with a revision above ``after``, in order; changes of one key between two batches may
        be merged into the newest. Survives reconnects; raises ``CoordinatorUnavailable`` from the iteration when
        it cannot be known any more whether something was missed (list again, then watch from there)."""

    async def aclose(self) -> None: ...


# --- agents ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to an agent. The agent returns within ``timeout_s`` plus the few seconds that ending it takes."""

    cluster: str
    node: str
    group: str
    component: str
    action: Action
    generation: int
    timeout_s: float


class Presence(StrEnum):
    """What a probe found."""

    ONLINE = "online"
    OFFLINE = "offline"
    FAILED = "failed"
    """There, but broken; or an answer that proves neither presence nor absence."""
    UNKNOWN = "unknown"
    """No answer: timed out, or could not be asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    presence: Presence
    detail: str = ""
    """One line for the operator: exit status, signal, time-out, what was missing."""


class Outcome(StrEnum):
    DONE = "done"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    UNAVAILABLE = "unavailable"
    """Could not even be begun (command missing, not executable, helper gone)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    outcome: Outcome
    detail: str = ""
    """One line for the operator."""
    output: str = ""
    """The last part of what the command printed, bounded; empty on success."""

    @property
    def ok(self) -> bool:
        return self.outcome is Outcome.DONE


class Agent(Protocol):
    """One component on one node. No method raises for a failing component: results are typed."""

    async def probe(self, call: Call) -> Probe: ...

    async def prepare(self, call: Call) -> Result: ...

    async def online(self, call: Call) -> Result: ...

    async def offline(self, call: Call) -> Result: ...

    async def clean(self, call: Call) -> Result:
        """Take it down by force. A kill alone is no proof: the runner probes afterwards."""

    async def watch(self, call: Call) -> Probe | None:
        """Where the agent has events: wait (for ever) until an online component may have ceased to be online and say
        what was seen. An agent without events returns None at once, and is polled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """A command for the spawner."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    timeout_s: float
    grace_s: float = 2.0
    """Between SIGTERM and SIGKILL of its process group once the time is up."""
    cwd: str | None = None
    user: str | None = None
    group: str | None = None
    input: str | None = field(default=None, repr=False)
    """What it reads from its standard input (None: nothing). Never shown: it may hold a password."""
    leave_nothing: bool = False
    """What it leaves behind in its process group is killed when it ends."""
    cgroup: str | None = None
    """For ``detach``: the directory of the control group that it begins in; made where it is not there."""
    limits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """For ``detach``: soft and hard limit (-1: none) by the name of getrlimit(2), as ``nofile``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    exit_status: int | None
    """None where a signal ended it."""
    signal: int | None = None
    timed_out: bool = False
    output: str = ""
    """The last bytes of stdout and stderr together, decoded, bounded."""
    truncated: bool = False

    @property
    def how(self) -> str:
        """How it ended, in one line, with the last line that it printed."""
        if self.timed_out and self.exit_status is None and self.signal is None:
            why = "it waits for something in the kernel (storage that does not answer?)"
            how = f"timed out and could not be killed: {why}"
        elif self.timed_out:
            how = "timed out and was ended"
        elif self.signal is not None:
            how = f"ended by signal {self.signal}"
        else:
            how = f"exit status {self.exit_status}"
        last = last_line(self.output)
        return f"{how}: {last}" if last else how


def last_line(output: str) -> str:
    """The last line with something in it, fit for one line of a log."""
    for line in reversed(output.splitlines()):
        text = "".join(char if char.isprintable() else " " for char in line).strip()
        if text:
            return text[:LINE_CHARS_MAX]
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detached:
    """A long-running process that is nobody's death: identified by pid and start time (proc(5), field 22)."""

    pid: int
    start_ticks: int
    boot_id: str


class Spawner(Protocol):
    """Starts processes without stalling the event loop."""

    async def run(self, request: RunRequest) -> RunResult:
        """Run to the end. Raises ``SpawnFailed``. When cancelled, the process group is killed before it returns."""

    async def detach(self, request: RunRequest, output: str | None) -> Detached:
        """Start in a session of its own, output appended to a file (None: discarded); ``timeout_s`` is not used.
        It outlives this daemon. Raises ``SpawnFailed``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentHost:
    """What an agent is given to work with."""

    spawner: Spawner
    clock: Clock
    run_dir: Path
    """Survives a restart of the daemon, not of the machine: where an agent keeps what it must find again."""
    cluster: str
    node: str
    group: str
    component: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandWill:
    """A last will: a command that takes the component down by force, at whatever time and without the daemon. Exit
    status 0 or 7 says that it is down. It may be run more than once, and when there is nothing to take down."""

    request: RunRequest
    """``timeout_s`` is its upper limit; what is left of the lease may be less. ``grace_s`` is not used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkWill:
    """A last will: every process that carries this mark, the session that ``main`` leads and what is in ``cgroups`` are
    killed (SIGKILL), again and again until none is left."""

    mark: str
    """What an entry of its environment begins with: ``NAME=prefix`` (environ(7))."""
    main: Detached | None = None
    """Once it is known: found without a walk through /proc, and its session also by those who cleared their own
    environment."""
    cgroups: tuple[str, ...] = ()
    """Directories of control groups that hold nothing else: whatever is in them is killed too, until they are empty,
    and they are removed. Those that are not there are empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressWill:
    """A last will: this address is taken from the interface by the guard itself, without any program."""

    address: str
    prefix: int
    interface: str | None
    """None: from whatever interface has it, with this prefix length."""
    timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MountWill:
    """A last will: what is mounted on a directory, if it is this, is unmounted by the guard itself."""

    spec: Mapping[str, Any]
    """The fields of ``kernel.mounts.Spec``."""
    signal: int
    """What the processes that hold it get: SIGKILL, SIGTERM, or 0 for nothing."""
    lazy: bool
    """Detach it (MNT_DETACH, umount(2)) where it is held all the same."""
    timeout_s: float


Will = CommandWill | MarkWill | AddressWill | MountWill


@runtime_checkable
class Testator(Protocol):
    """An agent that can leave a last will; one that cannot is not helped by the guard, and the log says so."""

    def will(self, call: Call) -> Will | None:
        """What takes the component down without the daemon, as known now; ``call`` is one of CLEAN. Asked before each
        online, and again when the component is found online. None: nothing can."""


@runtime_checkable
class Claimant(Protocol):
    """An agent whose component others on the network find by what they remember (who has an address): after any doubt
    about who owns it (a lease renewed late, a coordinator or peer that is back), they are told again."""

    async def reclaim(self, call: Call) -> None:
        """Tell them, of a component that is online here. Never raises; takes ``call.timeout_s`` at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What a health check found."""

    healthy: bool | None
    """None: it could not be asked, which says nothing of the component."""
    detail: str = ""
    """One line for the operator."""


class HealthChecker(Protocol):
    async def ask(self, check: HealthCheck, call: Call) -> Health:
        """Once; returns within ``check.timeout_s`` plus the few seconds that ending a command takes."""


class AgentType(Protocol):
    """One entry of the agent table: how the configuration of a type is checked and an agent made of it."""

    @property
    def name(self) -> str: ...

    @property
    def params(self) -> type[BaseModel]:
        """The agent's own keys of a component (``extra="forbid"``), beside the common ones that the configuration
        reads itself. Its validators' messages reach the administrator with line and column."""

    def prepares(self, params: BaseModel) -> bool:
        """Whether it has a prepare step with these parameters."""

    def warnings(self, params: BaseModel) -> tuple[tuple[tuple[str | int, ...], str], ...]:
        """What looks wrong on this machine now but need not be a fault of the file (a command that is missing or not
        executable): (path below the component, message)."""

    def build(self, params: BaseModel, host: AgentHost) -> Agent: ...


class AgentFamily(Protocol):
    """Types that are too many to be listed in the table, or come and go with what is installed."""

    @property
    def prefix(self) -> str:
        """What all their names begin with."""

    @property
    def any(self) -> AgentType:
        """Stands for all of them in the JSON Schema."""

    def member(self, name: str) -> AgentType | None:
        """The type of that name, whether or not it is installed (``Installable``); None where it cannot be one. May
        block for a few seconds; what fails is told by the type's ``warnings``."""

    def names(self) -> tuple[str, ...]:
        """Those that are installed."""


@runtime_checkable
class Installable(Protocol):
    """A type that may be missing on some machines: a fault of the configuration there, if they may run it."""

    def missing(self) -> str:
        """Why no component of it can run on this machine; empty where nothing speaks against it."""


@runtime_checkable
class Timed(Protocol):
    """A type that knows how long its operations may take."""

    def timeouts(self, params: BaseModel) -> Mapping[Action, float]:
        """Seconds, for where the configuration says nothing. They may differ from node to node."""


@runtime_checkable
class Examiner(Protocol):
    """A type that can look closer at a component's parameters than ``warnings`` does."""

    def examine(self, params: BaseModel, component: str) -> tuple[str, ...]:
        """What is wrong with them on this machine now. For ``failoverd check`` alone, in a thread: it may block, for
        30 seconds at most, and changes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterText:
    """One of an agent's keys, for people. ``default``: as it is written in the file."""

    name: str
    type: str
    required: bool
    default: str | None
    text: str


@runtime_checkable
class Described(Protocol):
    """A type that says more of itself, for ``failoverd agents``, than its parameter model does."""

    def text(self) -> str:
        """What it is for; the first line is its title."""

    def parameters(self) -> tuple[ParameterText, ...]: ...

    def recommended(self) -> Mapping[str, float]:
        """How long the agent's own actions should be given, in seconds, by the agent's names for them."""


# --- peers ----------------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class Received:
    """(Not frozen only because that makes it three times as dear, and one is made of each datagram.)"""

    peer: str
    incarnation: str
    link: int
    """Which of the configured links it came over."""
    at: float
    """``Clock.now()`` of its receipt."""
    state: PeerState
    """What it says; where it is not ``fresh``, the newest that the peer has said."""
    fresh: bool = True
    """False: the same message, or an older one, than came over another link. It proves that this link works."""
    arrived_after: float = -math.inf
    """When the receiving socket was last seen empty. What arrived before a stall of ours ended proves nothing about
    the time after it."""


@dataclass(slots=True)
class LinkCounters:
    """What was dropped and why, by reason (``forged``, ``replayed``, ``malformed``, ``too_large``…)."""

    sent: int = 0
    received: int = 0
    dropped: dict[str, int] = field(default_factory=dict)


class Transport(Protocol):
    """Authenticated datagrams to and from every peer."""

    def send(self, state: PeerState) -> None:
        """To every peer over every link, at once; never blocks, never raises for a network's fault."""

    async def run(self, deliver: Callable[[Received], None]) -> None:
        """Receive until cancelled; ``deliver`` is called in the event loop for each authentic, fresh datagram."""

    def expect(self, peer: str, incarnation: str) -> None:
        """The coordinator names this as the peer's incarnation: no other is listened to while this one speaks."""

    def reincarnate(self, incarnation: str) -> None:
        """Speak as this incarnation of ourselves from now on."""

    def reconfigure(self, nodes: Mapping[str, NodeSpec]) -> None:
        """Take over other peers and addresses. Raises ``StartupError``: then nothing has changed."""

    def drain_drops(self) -> dict[str, int]:
        """What was dropped since the last call, by reason."""

    @property
    def counters(self) -> LinkCounters: ...


# --- the guard ------------------------------------------------------------------------------------------------


class Guard(Protocol):
    """Holds what takes each component down when the daemon no longer can, and does so at the end of the lease.

    Everything that is said to it is answered in time, or it is taken for lost and replaced; its successor is told all
    of it anew. What is said in order arrives in order.
    """

    async def arm(self, group: str, component: str, will: Will | None) -> None:
        """Before an online: returns once the guard holds the will (None: there is none, but something will be online).
        Takes two seconds at most. Raises ``GuardUnavailable``; then the online must not begin."""

    async def hold(self, group: str, component: str, will: Will | None) -> None:
        """It is (or may be) online already: hold this will from now on, in place of an earlier one. Does not wait for
        the answer, and never fails: without a guard, the next one is told."""

    def disarm(self, group: str, component: str) -> None:
        """It is known to be absent."""

    def extend(self, fires_at: float, ends: float) -> None:
        """The lease was renewed (``LeaseSettings.guard_fires_at``, ``ends``; ``Clock.now()`` seconds)."""

    def retain(self, known: Collection[tuple[str, str]]) -> None:
        """Every (group, component) that there is: what an earlier daemon has left with the guard beyond it is
        disarmed."""

    async def dismiss(self) -> None:
        """Everything is in good order without it: nothing is online here, or the cluster knows that it was left
        running. Returns within two seconds."""


# --- fencing --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """What came of one attempt to switch a node off."""

    off: bool
    """Its devices have confirmed that it is off. Whatever is not known for certain is False."""
    agent: str
    detail: str = ""
    """One line for the operator."""
    output: str = ""
    """The last part of what the agents printed, bounded, without the secrets that they were given."""


class Fencer(Protocol):
    """The fence devices of the cluster's nodes, as far as this node can use them."""

    def levels(self, node: str) -> tuple[FenceLevel, ...]:
        """In the order in which they are to be tried; empty: the node cannot be switched off from here."""

    async def prepare(self, node: str) -> None:
        """The node is suspected: do beforehand what changes nothing. Never fails."""

    async def off(self, node: str, level: int) -> Shot:
        """One attempt with one of ``levels``, within its ``attempt_s``. Never raises for a device's fault. When
        cancelled, the agent is ended before it returns."""


# --- the log --------------------------------------------------------------------------------------------------


class EventLog(Protocol):
    def emit(self, event: Event, **fields: Any) -> None:
        """Write one event; its level comes from the catalogue."""


# --- the control socket -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who is on the other end of the control socket (SO_PEERCRED, unix(7))."""

    pid: int
    uid: int
    gid: int

    def __str__(self) -> str:
        return f"uid={self.uid} pid={self.pid}"


Emit = Callable[[dict[str, Any]], None]


class ControlHandler(Protocol):
    async def handle(self, command: str, params: Mapping[str, Any], caller: Caller, emit: Emit) -> dict[str, Any]:
        """Carry out one command and return its final document. ``emit`` sends updates before it (bounded queue: a
        slow reader loses the oldest updates, never the final document). Raises ``Refused`` or ``UsageError``."""
