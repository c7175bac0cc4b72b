"""The components of the demonstration: small real programs that know nothing of failoverd.

Run as ``python -I -S components.py PROGRAM ROOT NODE COMPONENT``, with the standard library alone and little of it
(pathlib, dataclasses and http.server would triple the time that starting one takes). Each takes a lock for as long as
it runs, which is what a second copy of it on the other node would trip over, and writes down when it began and ended:
the demonstration judges the daemons by these records.

Directories: ``ROOT/shared`` is what both nodes can reach (a storage array, say), ``ROOT/NODE`` is the node's own.
"""
# ruff: noqa: PTH108, PTH123, PTH211 (as said above)

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
from socketserver import StreamRequestHandler, ThreadingTCPServer

HOST = "127.0.0.1"
NOT_RUNNING = 7
"""OCF's exit status for "cleanly absent"."""
CALL_TIMEOUT_S = 2.0
WORK_INTERVAL_S = 0.1


def read(path: str) -> str:
    """Nothing where there is no file."""
    with contextlib.suppress(FileNotFoundError), open(path, encoding="utf-8") as file:
        return file.read()
    return ""


def write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


class Place:
    """One component on one node."""

    def __init__(self, root: str, node: str, component: str) -> None:
        self.root = root
        self.node = node
        self.component = component
        settings = json.loads(read(f"{root}/shop.json"))
        self.ports: dict[str, int] = settings["ports"]
        self.times: dict[str, float] = settings["seconds"][component]
        self.volatile = f"{root}/{node}/volatile"
        """What a machine loses with its power: mounts, and everything in memory."""
        self.volume = f"{self.volatile}/volume"
        self.ready = f"{self.volatile}/{component}.ready"

    def record(self, what: str) -> None:
        """One line, appended in one write, so that lines of several processes never mix."""
        line = {"t": time.monotonic(), "node": self.node, "component": self.component, "what": what, "pid": os.getpid()}
        descriptor = os.open(f"{self.root}/records.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, json.dumps(line).encode() + b"\n")
        finally:
            os.close(descriptor)

    def lock(self) -> None:
        """The exclusive resource itself: whoever comes second has found a double run, and says so."""
        descriptor = os.open(f"{self.root}/shared/{self.component}.lock", os.O_RDWR | os.O_CREAT, 0o600)
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
    if signal.sigtimedwait({signal.SIGTERM}, place.times["online"]) is None:
        end = begin()
        place.record("up")
        write(place.ready, "")
        signal.sigwait({signal.SIGTERM})
        place.record("stopping")
        end()
        time.sleep(place.times["offline"])
    remove(place.ready)
    place.record("down")


def threaded(server: ThreadingTCPServer) -> Callable[[], None]:
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def end() -> None:
        server.shutdown()
        server.server_close()

    return end


class Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """A caller that hangs up is no news."""


class LineServer(Server):
    """Answers each line with a line."""

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
        path = f"{place.volume}/store.log"
        values = {key: value for key, _, value in map(split, read(path).splitlines())}
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

        return threaded(LineServer(place.ports["store"], answer))

    serve(place, begin)


def search(place: Place) -> None:
    """An index that is built anew from the volume whenever it comes up."""

    def begin() -> Callable[[], None]:
        indexed = len(read(f"{place.volume}/store.log").splitlines())
        return threaded(LineServer(place.ports["search"], lambda _words: str(indexed)))

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

        return threaded(LineServer(place.ports["queue"], answer))

    serve(place, begin)


def worker(place: Place) -> None:
    serve(place, lambda: repeatedly(lambda: ask(place.ports["store"], "add", f"jobs-{place.component}")))


def mailer(place: Place) -> None:
    serve(place, lambda: repeatedly(lambda: ask(place.ports["queue"], "pop")))


class Shop(StreamRequestHandler):
    """HTTP, as much of it as a shop needs. Every answer has been through the store, the index and the queue, so it
    proves that all of them work."""

    place: Place
    timeout = CALL_TIMEOUT_S

    def handle(self) -> None:
        words = self.rfile.readline().decode("latin-1").split()
        while self.rfile.readline().strip():
            pass  # the headers say nothing that matters here
        try:
            status, content = self.answer(words)
        except OSError as error:
            status, content = "503 Service Unavailable", {"error": str(error)}
        body = json.dumps({"node": self.place.node, **content})
        head = f"HTTP/1.0 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.wfile.write((head + body).encode())

    def answer(self, words: list[str]) -> tuple[str, dict[str, str]]:
        match words:
            case ["GET", "/", _]:
                return "200 OK", {"orders": self.ask("store", "count", "order-"), "indexed": self.ask("search", "size")}
            case ["POST", path, _] if path.startswith("/order/"):
                number = path.removeprefix("/order/")
                stored = self.ask("store", "put", f"order-{number}", number)
                return "200 OK", {"order": stored, "queued": self.ask("queue", "push", number)}
        return "404 Not Found", {}

    def ask(self, component: str, *words: str) -> str:
        return ask(self.place.ports[component], *words)


def web(place: Place) -> None:
    def begin() -> Callable[[], None]:
        handler = type("ShopHere", (Shop,), {"place": place})
        return threaded(Server((HOST, place.ports["web"]), handler))

    serve(place, begin)


# --- programs that do one thing and end: the `exec` components ------------------------------------------------


def volume(place: Place, action: str) -> int:
    """Attach and detach what both nodes can reach: the node's own name for it is a link."""
    return switched(place, action, lambda: os.symlink(f"{place.root}/shared", place.volume), place.volume)


def assets(place: Place, action: str) -> int:
    """Render static pages into the node's memory."""
    pages = f"{place.volatile}/assets.html"
    return switched(place, action, lambda: write(pages, "<h1>shop</h1>\n"), pages)


def switched(place: Place, action: str, make: Callable[[], None], made: str) -> int:
    there = os.path.lexists(made)
    if action == "monitor":
        return 0 if there else NOT_RUNNING
    if action == "online" and not there:
        place.record("begin")
        time.sleep(place.times["online"])
        make()
        place.record("up")
    elif action == "offline" and there:
        place.record("stopping")
        time.sleep(place.times["offline"])
        remove(made)
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
    place = Place(root, node, component)
    if program in STEPS:
        return STEPS[program](place, action)
    PROGRAMS[program](place)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
