"""The guard process: it serves one daemon, outlives it as long as there is something to guard, and fires once.

Started by ``link`` with our end of a socket and a pidfd of the daemon inherited. Whatever ends, nothing of it has to be
loaded, allocated in bulk or asked of a disk when it fires.
"""

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable

from failoverd.guard import execute, machine, record, succession
from failoverd.guard.channel import Channel
from failoverd.guard.deadline import Deadline
from failoverd.guard.firing import Firing
from failoverd.guard.loop import Loop
from failoverd.guard.machine import Kernel
from failoverd.guard.protocol import Message, encode
from failoverd.guard.quarry import Quarry
from failoverd.guard.watch import Watch
from failoverd.guard.watchdog import Watchdog, watchdog_of

_SUCCESSORS_MAX = 4


class Guard:
    def __init__(
        self,
        loop: Loop,
        link: socket.socket,
        daemon: Quarry,
        watch: Watch,
        listener: socket.socket,
        *,
        deadline: Deadline,
        watchdog: Watchdog,
    ) -> None:
        self._loop = loop
        self._deadline, self._watchdog = deadline, watchdog
        self._daemon = daemon
        self._helper: Quarry | None = None
        self.watch = watch
        self._firing: Firing | None = None
        self._over = False
        self._told = False
        """The daemon has begun to say what is to be guarded."""
        self._listener = listener
        self._successors: list[Channel] = []
        self._link = Channel(loop, link, self._asked, self._orphaned, batches=True)
        loop.watch(listener.fileno(), self._called_on)

    def begin(self, greeting: Message) -> None:
        self._link.send(greeting)

    def run(self) -> Message | None:
        """Until there is nothing more to do: None where that was in good order, else the record of the firing."""
        while not self._over:
            self._loop.turn(self._alarm())
            if self._firing is None and self.watch.due(machine.now()):
                self._link.service()  # a renewal may have come in this very moment
                for successor in list(self._successors):
                    successor.service()
                if self.watch.due(machine.now()) and not self._over:
                    self._fire()
            if self._firing is not None and self._firing.step(machine.now()):
                return self._firing.finish(machine.now())
        return None

    def _alarm(self) -> float | None:
        return self.watch.alarm if self._firing is None else self._firing.alarm()

    def _fire(self) -> None:
        self._firing = Firing(self._loop, self.watch, machine.now())
        self._firing.silence(self._daemon, self._helper)
        for successor in self._successors:
            successor.send({"firing": True})

    # --- the daemon -------------------------------------------------------------------------------------------------

    def _asked(self, link: Channel, message: Message) -> None:
        if self._firing is not None:
            return  # it is being killed
        self._told = True
        try:
            refused = self._handle(message)
        except (LookupError, TypeError, ValueError, OSError) as error:
            refused = f"no request: {error!r}"
        answer = {"n": message.get("n")}
        link.send(answer if refused is None else {**answer, "refused": refused})

    def _handle(self, message: Message) -> str | None:
        what = message["do"]
        if what == "leave":
            self.watch.wills.clear()
            self._deadline.clear()
            self._watchdog.stop()
            self._over = True
            return None
        if what == "helper":
            if self._helper is not None:
                self._helper.close()
            self._helper = Quarry.find(int(message["pid"]), int(message["ticks"]))
            return None
        refused = self._watchdog.refusal(machine.now(), self.watch.ends) if what == "arm" else None
        refused = refused or self.watch.handle(message, machine.now())
        if what == "extend":
            fires_at, ends = float(message["fires_at"]), float(message["ends"])
            self._deadline.write(fires_at, ends)
            self._watchdog.renewed(machine.now(), ends, guarding=bool(self.watch.wills))
        return refused

    def _orphaned(self, _link: Channel) -> None:
        """The daemon is gone, or gave us up. What it has left online stays guarded; where it never held a lease there
        is nothing to hold it to. One that died before it could say anything (as the guard before us has) may have left
        something online: the deadline is left to those who come next."""
        if self._told and not self.watch.wills:
            self._deadline.clear()
            self._watchdog.stop()
        if not self.watch.wills or self.watch.fires_at is None:
            self._over = True

    # --- successors -------------------------------------------------------------------------------------------------

    def _called_on(self) -> None:
        connection = succession.accept(self._listener)
        if connection is None:
            return
        if len(self._successors) >= _SUCCESSORS_MAX:
            connection.close()
            return
        self._successors.append(Channel(self._loop, connection, self._asked_to_go, self._successors.remove))

    def _asked_to_go(self, successor: Channel, message: Message) -> None:
        if self._firing is not None:
            successor.send({"firing": True})
        elif self._link.open and not self._daemon.ended:
            successor.send(
                {"refused": f"the guard (pid {os.getpid()}) serves a daemon that runs, pid {self._daemon.pid}"}
            )
        elif message.get("do") == "succeed":
            for part in self.watch.bequest():
                successor.send(part)
        elif message.get("do") == "taken":
            self._watchdog.leave()
            self._over = True
            successor.send({"yours": True})


def main() -> None:
    """``python -c '…main()' SOCKET PIDFD DAEMON RUN_DIR ACTION ROOT WATCHDOG``: see ``link``."""
    link = socket.socket(fileno=int(sys.argv[1]))
    daemon = Quarry(int(sys.argv[3]), int(sys.argv[2]))
    for descriptor in (link.fileno(), daemon.descriptor):
        os.set_inheritable(descriptor, False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # A handler, because "ignored" would be inherited by the commands.
        signal.signal(number, _not_listening)
    kernel, watch, watchdog = Kernel(), Watch(), watchdog_of(sys.argv[7])
    try:
        os.chdir(sys.argv[4])  # the socket's name must be short, and we need nothing else
        bequest = succession.become_the_guard()
        if bequest:
            watch.inherit(bequest)
        deadline = Deadline(".")
        left = deadline.read()
        if watch.fires_at is None and left is not None:  # the guard before us was killed
            watch.extend(*left)
        loop = Loop(kernel.timer())
        guard = Guard(loop, link, daemon, watch, succession.listen(), deadline=deadline, watchdog=watchdog)
    except (OSError, ValueError, succession.Broken) as error:
        with contextlib.suppress(OSError):
            link.send(encode({"broken": str(error)}))
        sys.exit(1)
    machine.resist_out_of_memory()
    execute.raise_limits()
    powers = {"realtime": machine.take_priority(), "locked": kernel.lock_memory()}
    guard.begin({"ready": os.getpid(), "inherited": [list(key) for key in watch.wills], **powers})
    outcome = guard.run()
    if outcome is not None:
        conclude(outcome, watchdog, reset=kernel.reset_machine if sys.argv[5] == "reboot" else None)
        deadline.clear()  # what could be done has been
    os._exit(0)


def conclude(outcome: Message, watchdog: Watchdog, *, reset: Callable[[], None] | None) -> None:
    """After the wills: where anything is left the machine is reset, by us (``reset``) or by the watchdog, which then
    goes on counting; else nothing has to be."""
    if not outcome["left"]:
        watchdog.stop()
    with contextlib.suppress(OSError):
        record.write(".", outcome)
    if outcome["left"] and reset is not None:
        reset()


def _not_listening(_number: int, _frame: object) -> None:
    """Nothing to do: our life hangs on what we guard."""
