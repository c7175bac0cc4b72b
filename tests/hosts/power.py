"""A power switch, as a rack has one: hosts can cut each other's power with it.

It is reached by a pair of named pipes in the lab's directory, which stand for its own network: no cut between hosts
concerns it, unless it is told to be out of reach. ``fence_lab.sh`` is the fence agent by which hosts speak to it, with
``directory`` (of the switch) as its parameter beside ``nodename``. It acts in a thread, so it cannot power hosts on.
"""

import os
import select
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.hosts.host import boottime
from tests.hosts.lab import Lab

AGENT = Path(__file__).parent / "fence_lab.sh"
REQUEST_MAX = 512
POLL_S = 0.2


@dataclass(frozen=True, kw_only=True)
class Request:
    at: float
    """CLOCK_BOOTTIME, seconds: when it was received."""
    action: str
    host: str
    by: str
    answered_at: float


@dataclass(kw_only=True)
class PowerSwitch:
    lab: Lab
    answers_after_s: float = 0.1
    """From the request on, at the least: what a real device takes."""
    out_of_reach: bool = False
    """It does not answer, and does nothing."""
    on_off: Callable[[str], None] = lambda _host: None
    """Called with a host's name once it is dead, before that is told to anybody."""
    requests: list[Request] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @property
    def directory(self) -> Path:
        return self.lab.directory / "power"

    def __enter__(self) -> Self:
        self.directory.mkdir()
        os.mkfifo(self.directory / "request")
        self._thread = threading.Thread(target=self._serve, name="power switch", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join(10)

    def _serve(self) -> None:
        # Opened for writing too, so that it has no end when nobody asks.
        descriptor = os.open(self.directory / "request", os.O_RDWR | os.O_NONBLOCK)
        held = b""
        try:
            while not self._over.is_set():
                if select.select([descriptor], [], [], POLL_S)[0]:
                    *lines, held = (held + os.read(descriptor, REQUEST_MAX)).split(b"\n")
                    for line in lines:
                        self._obey(boottime(), *line.decode().split(" "))
        finally:
            os.close(descriptor)

    def _obey(self, at: float, action: str, host: str, by: str, reply: str) -> None:
        if self.out_of_reach:
            return
        known = host in self.lab.hosts
        if action == "off" and known:
            self.lab[host].cut_power()  # nothing where it is off
            self.on_off(host)
        time.sleep(max(0.0, at + self.answers_after_s - boottime()))
        state = ("on" if self.lab[host].on else "off") if known else "unknown"
        self.requests.append(Request(at=at, action=action, host=host, by=by, answered_at=boottime()))
        try:
            descriptor = os.open(self.directory / reply, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return  # who asked waits no longer
        os.write(descriptor, f"{state}\n".encode())
        os.close(descriptor)

    def off(self) -> list[Request]:
        """Who was shot, by whom."""
        return [request for request in self.requests if request.action == "off"]
