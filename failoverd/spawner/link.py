"""The socket to one helper process, and that process's life."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio

from failoverd.packets import Packets
from failoverd.spawner.protocol import BUFFER_WANTED, PACKET_MAX, decode

_BOOTSTRAP = "import sys; sys.path.append(sys.argv[3]); from failoverd.spawner.helper import main; main()"
"""No site-packages, no .pth files, no user's settings: the helper starts in a few hundredths of a second."""

_ROOT = str(Path(__file__).resolve().parents[2])
_PACKETS_PER_TURN = 8
"""Then the event loop gets its turn: a storm of replies does not delay a heartbeat."""
_FAREWELL_S = 10.0
_POLL_S = 0.01
_DYING_S = 0.02


class Link:
    def __init__(
        self,
        process: subprocess.Popen[bytes],
        ours: socket.socket,
        loop: asyncio.AbstractEventLoop,
        heard: Callable[["Link", dict[str, Any], bytes], None],
        lost: Callable[["Link", str], None],
    ) -> None:
        self._process = process
        self._loop = loop
        self._heard = heard
        self._lost = lost
        self._packets = Packets(
            ours, loop, packet_max=PACKET_MAX, per_turn=_PACKETS_PER_TURN, heard=self._hear, closed=self._closed
        )

    @classmethod
    def start(
        cls,
        run_dir: Path,
        loop: asyncio.AbstractEventLoop,
        heard: Callable[["Link", dict[str, Any], bytes], None],
        lost: Callable[["Link", str], None],
    ) -> "Link":
        """Start a helper. ``heard`` and ``lost`` are called in the event loop. Raises OSError."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_WANTED)
                ours.setblocking(False)
                number = str(theirs.fileno())
                process = subprocess.Popen(  # noqa: S603 (ourselves)
                    [sys.executable, "-I", "-S", "-c", _BOOTSTRAP, number, str(run_dir.resolve()), _ROOT],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
        except OSError:
            ours.close()
            raise
        return cls(process, ours, loop, heard, lost)

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, packet: bytes) -> None:
        """At once or as soon as there is room. To a helper that is gone: not at all (``lost`` is called for that)."""
        self._packets.send(packet)

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)

    async def aclose(self) -> None:
        """Hang up, upon which the helper ends what is in flight and then itself; bounded, then by force."""
        self._packets.hang_up()
        with anyio.move_on_after(_FAREWELL_S):
            while self._process.poll() is None:  # noqa: ASYNC110 (rare, and uvloop has no event for it)
                await anyio.sleep(_POLL_S)
        if self._process.poll() is None:
            self.kill()
            self._process.wait(1.0)

    def _hear(self, packet: bytes) -> None:
        try:
            message, output = decode(packet)
        except (json.JSONDecodeError, UnicodeDecodeError, ValueError):
            self.kill()  # it is not what we started
            self._packets.hang_up()
            self._lost(self, "it sent something that is no message")
            return
        self._heard(self, message, output)

    def _closed(self, reason: str) -> None:
        if reason or self._process.poll() is not None:
            self._lost(self, reason or self._how_it_ended())
        else:  # a process that dies closes its sockets a moment before it can be asked how
            self._loop.call_later(_DYING_S, lambda: self._lost(self, self._how_it_ended()))

    def _how_it_ended(self) -> str:
        code = self._process.poll()
        if code is None:
            return "it closed its socket"
        return f"it was ended by signal {-code}" if code < 0 else f"it ended with exit status {code}"
