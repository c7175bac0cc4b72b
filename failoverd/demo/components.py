"""The components of the demonstration: small real programs that know nothing of failoverd.

Run as ``python -I -S components.py PROGRAM ROOT NODE COMPONENT``, with the standard library alone, so that starting
one costs next to nothing. Each takes a lock for as long as it runs, which is what a second copy of it on the other
node would trip over, and writes down when it began and ended: the demonstration judges the daemons by these records.

Directories: ``ROOT/shared`` is what both nodes can reach (a storage array, say), ``ROOT/NODE`` is the node's own.
"""

import contextlib
import fcntl
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

HOST = "127.0.0.1"
NOT_RUNNING = 7
"""OCF's exit status for "cleanly absent"."""
CALL_TIMEOUT_S = 2.0
WORK_INTERVAL_S = 0.1


@dataclass(frozen=True, kw_only=True)
class Place:
    """One component on one node."""

    root: Path
    node: str
    component: str
    settings: dict[str, Any]

    @property
    def volatile(self) -> Path:
        """What a machine loses with its power: mounts, and everything in memory."""
        return self.root / self.node / "volatile"

    @property
    def volume(self) -> Path:
        return self.volatile / "volume"

    @property
    def ready(self) -> Path:
        return self.volatile / f"{self.component}.ready"

    def port(self, component: str) -> int:
        return int(self.settings["ports"][component])

    def seconds(self, what: str) -> float:
        return float(self.settings["seconds"][self.component][what])

    def record(self, what: str) -> None:
        """One line, appended in one write, so that lines of several processes never mix."""
        line = {"t": time.monotonic(), "node": self.node, "component": self.component, "what": what, "pid": os.getpid()}
        descriptor = os.open(self.root / "records.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, json.dumps(line).encode() + b"\n")
        finally:
            os.close(descriptor)

    def lock(self) -> None:
        """The exclusive resource itself: whoever comes second has found a double run, and says so."""
        descriptor = os.open(self.root / "shared" / f"{self.component}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.record("conflict")
            sys.exit(f"{self.component} runs elsewhere")


# --- what a long-running program does -------------------------------------------------------------------------


def serve(place: Place, begin: Callable[[], Callable[[], None]]) -> None:
    """Come up, work until SIGTERM, go down: each takes the time that the settings give it.

    ``begin`` is called when coming up is over and returns what ends the work.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    place.record("begin")
    place.lock()
    if signal.sigtimedwait({signal.SIGTERM}, place.seconds("online")) is None:
        end = begin()
        place.record("up")
        place.ready.touch()
        signal.sigwait({signal.SIGTERM})
        place.record("stopping")
        end()
        time.sleep(place.seconds("offline"))
    place.ready.unlink(missing_ok=True)
    place.record("down")


def threaded(server: ThreadingTCPServer | ThreadingHTTPServer) -> Callable[[], None]:
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def end() -> None:
        server.shutdown()
        server.server_close()

    return end


class LineServer(ThreadingTCPServer):
    """Answers each line with a line."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, *_: Any) -> None:
        """A caller that hangs up is no news."""

    def __init__(self, port: int, answer: Callable[[list[str]], str]) -> None:
        self.answer = answer
        self.lock = threading.Lock()
        super().__init__((HOST, port), LineHandler)


class LineHandler(StreamRequestHandler):
    def handle(self) -> None:
        server = self.server
        assert isinstance(server, LineServer)  # noqa: S101 (for the type checker: this handler has no other server)
        for line in self.rfile:
            with server.lock:
                answer = server.answer(line.decode().split())
            self.wfile.write(answer.encode() + b"\n")


def ask(port: int, *words: object) -> str:
    """One question to a line server. Raises OSError where it does not answer."""
    with socket.create_connection((HOST, port), timeout=CALL_TIMEOUT_S) as connection:
        connection.sendall(" ".join(map(str, words)).encode() + b"\n")
        answer = connection.makefile("r").readline()
    if not answer:
        raise ConnectionError("no answer")
    return answer.strip()


def repeatedly(work: Callable[[], object]) -> Callable[[], None]:
    """Do ``work`` in the background, ten times a second."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(WORK_INTERVAL_S):
            with contextlib.suppress(OSError):
                work()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def end() -> None:
        over.set()
        thread.join(CALL_TIMEOUT_S)

    return end


# --- the programs ---------------------------------------------------------------------------------------------


def store(place: Place) -> None:
    """A key-value store that lives in an append-only file on the volume: what it acknowledged, it has written."""

    def split(line: str) -> tuple[str, str, str]:
        return line.partition(" ")

    def begin() -> Callable[[], None]:
        path = place.volume / "store.log"
        values: dict[str, str] = {}
        if path.exists():
            values.update((key, value) for key, _, value in map(split, path.read_text().splitlines()))
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

        def put(key: str, value: str) -> str:
            os.write(descriptor, f"{key} {value}\n".encode())
            os.fdatasync(descriptor)
            values[key] = value
            return value

        def answer(words: list[str]) -> str:
            match words:
                case ["put", key, value]:
                    return put(key, value)
                case ["get", key]:
                    return values.get(key, "-")
                case ["add", key]:
                    return put(key, str(int(values.get(key, "0")) + 1))
                case ["count", prefix]:
                    return str(sum(key.startswith(prefix) for key in values))
            return "?"

        return threaded(LineServer(place.port("store"), answer))

    serve(place, begin)


def search(place: Place) -> None:
    """An index that is built anew from the volume whenever it comes up."""

    def begin() -> Callable[[], None]:
        path = place.volume / "store.log"
        indexed = len(path.read_text().splitlines()) if path.exists() else 0
        return threaded(LineServer(place.port("search"), lambda _words: str(indexed)))

    serve(place, begin)


def queue(place: Place) -> None:
    """Keeps messages in memory, which is why it takes its time to go down."""

    def begin() -> Callable[[], None]:
        waiting: list[str] = []

        def answer(words: list[str]) -> str:
            match words:
                case ["push", message]:
                    waiting.append(message)
                    return str(len(waiting))
                case ["pop"] if waiting:
                    return waiting.pop(0)
            return "-"

        return threaded(LineServer(place.port("queue"), answer))

    serve(place, begin)


def worker(place: Place) -> None:
    serve(place, lambda: repeatedly(lambda: ask(place.port("store"), "add", f"jobs-{place.component}")))


def mailer(place: Place) -> None:
    serve(place, lambda: repeatedly(lambda: ask(place.port("queue"), "pop")))


class Shop(BaseHTTPRequestHandler):
    """Every answer has been through the store, the index and the queue, so it proves that all of them work."""

    place: Place
    protocol_version = "HTTP/1.0"

    def do_GET(self) -> None:
        self.reply(lambda: {"orders": self.ask("store", "count", "order-"), "indexed": self.ask("search", "size")})

    def do_POST(self) -> None:
        number = self.path.rsplit("/", 1)[-1]
        self.reply(lambda: {"order": self.ask("store", "put", f"order-{number}", number), "queued": self.push(number)})

    def push(self, number: str) -> str:
        return self.ask("queue", "push", number)

    def ask(self, component: str, *words: str) -> str:
        return ask(self.place.port(component), *words)

    def reply(self, answer: Callable[[], dict[str, str]]) -> None:
        try:
            status, content = 200, answer()
        except OSError as error:
            status, content = 503, {"error": str(error)}
        body = json.dumps({"node": self.place.node, **content}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *_: Any) -> None:  # noqa: A002 (the base class's own parameter name)
        """Nobody reads it."""


def web(place: Place) -> None:
    def begin() -> Callable[[], None]:
        handler = type("ShopHere", (Shop,), {"place": place})
        return threaded(ThreadingHTTPServer((HOST, place.port("web")), handler))

    serve(place, begin)


# --- programs that do one thing and end: the `exec` components ------------------------------------------------


def volume(place: Place, action: str) -> int:
    """Attach and detach what both nodes can reach: the node's own name for it is a link."""
    return switched(place, action, lambda: place.volume.symlink_to(place.root / "shared"), place.volume)


def assets(place: Place, action: str) -> int:
    """Render static pages into the node's memory."""
    pages = place.volatile / "assets.html"
    return switched(place, action, lambda: pages.write_text("<h1>shop</h1>\n"), pages)


def switched(place: Place, action: str, make: Callable[[], object], made: Path) -> int:
    there = made.is_symlink() or made.exists()
    if action == "monitor":
        return 0 if there else NOT_RUNNING
    if action == "online" and not there:
        place.record("begin")
        time.sleep(place.seconds("online"))
        make()
        place.record("up")
    elif action == "offline" and there:
        place.record("stopping")
        time.sleep(place.seconds("offline"))
        made.unlink()
        place.record("down")
    return 0


PROGRAMS: dict[str, Callable[[Place], None]] = {
    "store": store,
    "search": search,
    "queue": queue,
    "worker": worker,
    "mailer": mailer,
    "web": web,
}
STEPS: dict[str, Callable[[Place, str], int]] = {"volume": volume, "assets": assets}


def main(program: str, root: str, node: str, component: str, action: str = "") -> int:
    settings = json.loads((Path(root) / "shop.json").read_text())
    place = Place(root=Path(root), node=node, component=component, settings=settings)
    if program in STEPS:
        return STEPS[program](place, action)
    PROGRAMS[program](place)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
