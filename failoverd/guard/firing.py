"""The guard fires: first nobody may go on, then everything goes down at once, then it is seen what is left."""

import contextlib
import os
import signal
import socket
from typing import NoReturn

from failoverd import procfs
from failoverd.guard import execute, machine, quarry
from failoverd.guard.loop import Loop
from failoverd.guard.protocol import PACKET_MAX, Message, decode
from failoverd.guard.quarry import Quarry
from failoverd.guard.sweep import Sweep, describe, kill_known
from failoverd.guard.volley import RETRY_S, Shot, Volley
from failoverd.guard.watch import Watch


class Firing:
    def __init__(self, loop: Loop, watch: Watch, now: float) -> None:
        self._loop = loop
        self._watch = watch
        self._at = now
        self._volley = Volley(watch.wills, watch.until(now))
        self._running: dict[int, Shot] = {}
        """By the command's pid."""
        self._sweeper = 0
        """Its pid."""
        self._sweep_at = now
        self._ended: dict[str, str] = {}

    # --- first ----------------------------------------------------------------------------------------------------

    def silence(self, daemon: Quarry, helper: Quarry | None) -> None:
        """The daemon and its helper, which may be stopped and wake up at any time, go before all else."""
        killed = not daemon.ended and daemon.send(signal.SIGKILL)
        self._ended["daemon"] = "killed" if killed else "was gone"
        if helper is not None:
            self._ended["helper"] = "killed" if quarry.kill_with_children(helper) else "was gone"
        kill_known(self._volley.marks)

    # --- then -----------------------------------------------------------------------------------------------------

    def step(self, now: float) -> bool:
        """Do what is due; whether all is over."""
        for shot in self._volley.overdue(now):
            self._give_up(shot, now)
        for shot in self._volley.to_begin(now):
            self._begin(shot, now)
        if self._volley.unswept and not self._sweeper and now >= self._sweep_at:
            self._begin_sweep(now)
        return self._volley.over(now)

    def alarm(self) -> float:
        waits = bool(self._volley.unswept) and not self._sweeper
        return min(self._volley.alarm(), self._sweep_at) if waits else self._volley.alarm()

    def _begin(self, shot: Shot, now: float) -> None:
        self._volley.begun(shot, now)
        try:
            pid = execute.start(shot.will)
            descriptor = os.pidfd_open(pid)
        except OSError as error:
            self._volley.ended(shot, f"cannot be started: {error.strerror}", now)
            return
        self._running[pid] = shot
        self._loop.watch(descriptor, lambda: self._exited(pid, descriptor))

    def _exited(self, pid: int, descriptor: int) -> None:
        self._loop.unwatch(descriptor)
        os.close(descriptor)
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        if pid == self._sweeper:
            self._sweeper = 0
            return
        shot = self._running.pop(pid, None)
        if shot is not None:
            self._volley.ended(shot, code if code >= 0 else f"ended by signal {-code}", machine.now())

    def _give_up(self, shot: Shot, now: float) -> None:
        for pid in [pid for pid, one in self._running.items() if one is shot]:
            del self._running[pid]
            execute.kill(pid)
        self._volley.ended(shot, "not finished in time, and killed", now)

    # --- marks ----------------------------------------------------------------------------------------------------

    def _begin_sweep(self, now: float) -> None:
        self._sweep_at = now + RETRY_S  # where it ends by a defect or somebody's hand
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            return
        if pid == 0:
            self._sweep(theirs)
        theirs.close()
        ours.setblocking(False)
        self._sweeper = pid
        self._loop.watch(ours.fileno(), lambda: self._told(ours))
        with contextlib.suppress(OSError):
            descriptor = os.pidfd_open(pid)
            self._loop.watch(descriptor, lambda: self._exited(pid, descriptor))

    def _sweep(self, report: socket.socket) -> NoReturn:
        status = 1
        try:
            machine.take_priority()
            report.setblocking(False)
            Sweep(self._volley.marks).run(report)
            status = 0
        finally:
            os._exit(status)

    def _told(self, ours: socket.socket) -> None:
        while True:
            try:
                packet = ours.recv(PACKET_MAX)
            except BlockingIOError:
                return
            if not packet:
                self._loop.unwatch(ours.fileno())
                ours.close()
                return
            left = decode(packet)["left"]
            self._volley.swept({(group, component): describe(pids) for group, component, pids in left})

    # --- last -----------------------------------------------------------------------------------------------------

    def finish(self, now: float) -> Message:
        """End what still runs of it; what is known of each component."""
        for pid in [*self._running, *([self._sweeper] if self._sweeper else [])]:
            execute.kill(pid)
        results = self._volley.results()
        return {
            "version": 1,
            "boot": procfs.boot_id(),
            "due_at": self._watch.fires_at,
            "fired_at": self._at,
            "done_at": now,
            "lease_ends": self._watch.ends,
            "in_time": self._watch.ends is not None and now <= self._watch.ends and all(one["ok"] for one in results),
            **self._ended,
            "results": results,
            "left": [f"{one['group']}/{one['component']}" for one in results if not one["ok"]],
        }
