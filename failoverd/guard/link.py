"""The socket to one guard process, and that process's life."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anyio

from failoverd.guard.protocol import BUFFER_WANTED, PACKET_MAX, Message, decode
from failoverd.packets import Packets

_BOOTSTRAP = "import sys; sys.path.append(sys.argv[6]); from failoverd.guard.process import main; main()"
"""No site-packages, no .pth files, no user's settings: small, and started in a few hundredths of a second."""

_ROOT = str(Path(__file__).resolve().parents[2])
_PACKETS_PER_TURN = 16
"""Then the event loop gets its turn."""
_DEATH_S = 2.0
_POLL_S = 0.01


class Link:
    def __init__(
        self,
        process: subprocess.Popen[bytes],
        ours: socket.socket,
        loop: asyncio.AbstractEventLoop,
        heard: Callable[["Link", Message], None],
        lost: Callable[["Link", str], None],
    ) -> None:
        self._process = process
        self._heard = heard
        self._packets = Packets(
            ours,
            loop,
            packet_max=PACKET_MAX,
            per_turn=_PACKETS_PER_TURN,
            heard=self._hear,
            closed=lambda _: lost(self, self._how_it_ended()),
        )

    @classmethod
    def start(
        cls,
        run_dir: Path,
        action: str,
        heard: Callable[["Link", Message], None],
        lost: Callable[["Link", str], None],
        watchdog: str = "",
    ) -> "Link":
        """Start a guard. ``heard`` and ``lost`` are called in the event loop. ``watchdog``: see ``watchdog_of``.
        Raises OSError."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                for end in (ours, theirs):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_WANTED)
                ours.setblocking(False)
                process = _popen(theirs.fileno(), run_dir, action, watchdog)
        except OSError:
            ours.close()
            raise
        return cls(process, ours, asyncio.get_running_loop(), heard, lost)

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, packet: bytes) -> None:
        """At once or as soon as there is room. To a guard that is gone: not at all (``lost`` is called for that)."""
        self._packets.send(packet)

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)

    def hang_up(self) -> None:
        """The guard goes on alone as long as it guards something; else it goes."""
        self._packets.hang_up()

    async def buried(self) -> bool:
        """Wait, not for long, for a guard that was killed or told to leave; whether it has ended."""
        self.hang_up()
        with anyio.move_on_after(_DEATH_S):
            while self._process.poll() is None:  # noqa: ASYNC110 (rare, and uvloop has no event for it)
                await anyio.sleep(_POLL_S)
        return self._process.poll() is not None

    def disown(self) -> None:
        """It outlives us: nobody waits for it."""
        self.hang_up()
        self._process.returncode = 0

    def _hear(self, packet: bytes) -> None:
        for message in packet.split(b"\n"):
            self._heard(self, decode(message))

    def _how_it_ended(self) -> str:
        status = self._process.poll()
        if status is None:
            return "it hung up"
        return f"it was ended by signal {-status}" if status < 0 else f"it ended with status {status}"


def _popen(theirs: int, run_dir: Path, action: str, watchdog: str) -> subprocess.Popen[bytes]:
    ourselves = os.pidfd_open(os.getpid())
    try:
        numbers = [str(theirs), str(ourselves), str(os.getpid())]
        return subprocess.Popen(  # noqa: S603 (ourselves)
            [sys.executable, "-I", "-S", "-c", _BOOTSTRAP, *numbers, str(run_dir.resolve()), action, _ROOT, watchdog],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(theirs, ourselves),
            start_new_session=True,
        )
    finally:
        os.close(ourselves)
