"""The customer of the demonstration: asks the shop for its page all the time and sometimes orders something.

Run as ``python -I -S customer.py PORT FILE``, with the standard library alone, in a process of its own, so that its
clock is not disturbed by what it observes. Appends one line to FILE for each acknowledged order and for each time
without an answer (from the last answer before it to the first after it), and ends with SIGTERM.
"""

import contextlib
import json
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass
from typing import Any

HOST = "127.0.0.1"
INTERVAL_S = 0.008
TIMEOUT_S = 0.25
ORDER_EVERY = 12
"""Every how many questions an order is placed."""


def answer(port: int, method: str, path: str) -> str | None:
    """The node that answered, or None for no or no good answer."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        with socket.create_connection((HOST, port), timeout=TIMEOUT_S) as connection:
            connection.sendall(f"{method} {path} HTTP/1.0\r\n\r\n".encode())
            reply = b"".join(iter(lambda: connection.recv(4096), b""))
        head, _, body = reply.partition(b"\r\n\r\n")
        if b" 200 " in head.split(b"\r\n", 1)[0]:
            return str(json.loads(body)["node"])
    return None


@dataclass
class Customer:
    port: int
    descriptor: int
    asked: int = 0
    orders: int = 0
    last_t: float | None = None
    last_node: str | None = None
    failing: bool = False

    def note(self, **line: Any) -> None:
        os.write(self.descriptor, json.dumps(line).encode() + b"\n")

    def ask(self) -> None:
        self.asked += 1
        if self.asked % ORDER_EVERY == 0:
            self.orders += 1
            node = answer(self.port, "POST", f"/order/{self.orders}")
            if node is not None:
                self.note(what="order", number=self.orders, t=time.monotonic())
        else:
            node = answer(self.port, "GET", "/")
        self.heard(node, time.monotonic())

    def heard(self, node: str | None, t: float) -> None:
        if node is None:
            self.failing = True
            return
        if self.last_t is None:
            self.note(what="open", node=node, t=t)
        elif self.failing:
            self.note(what="gap", begin=self.last_t, end=t, before=self.last_node, after=node)
        self.failing, self.last_t, self.last_node = False, t, node


def main(port: str, path: str) -> None:
    customer = Customer(port=int(port), descriptor=os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    due = time.monotonic()
    while signal.sigtimedwait({signal.SIGTERM}, max(0.0, due - time.monotonic())) is None:
        customer.ask()
        due = max(due + INTERVAL_S, time.monotonic())
    customer.note(what="closed", asked=customer.asked, t=time.monotonic())


if __name__ == "__main__":
    main(*sys.argv[1:])
