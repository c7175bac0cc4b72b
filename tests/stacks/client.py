"""``python -m tests.stacks.client KIND ADDRESS LEDGER``: a client that writes entries to a server one by one, for ever,
and writes down each answer (see ``ledger``). With ``--content`` it prints what the server has instead."""

import argparse
import os
import secrets
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Protocol

from tests.stacks.ledger import Ledger
from tests.stacks.postgres import Postgres
from tests.stacks.redis import Redis

CONNECT_S = 0.1
ANSWER_S = 0.5
"""A client that gives up late does not see that the service is back."""
CONTENT_S = 20.0
RETRY_S = 0.01
PAUSE_S = 0.004
"""Between two entries: the servers are to be busy, not the machine."""


class Alone(Exception):  # noqa: N818 (what is the case)
    """It is written, on the node that the text names, and no replica has it."""


class Session(Protocol):
    """Each may raise ``OSError`` wherever no answer comes."""

    def write(self, number: int, value: str) -> str:
        """Returns the node that has committed it, as the server says itself. May raise ``Alone``."""

    def content(self) -> list[tuple[int, str, str]]: ...
    def close(self) -> None: ...


class PostgresSession:
    before, after = "", ""

    def __init__(self, host: str, port: int, answer_s: float) -> None:
        self._server = Postgres((host, port), "shop", "secret", "shop", connect_s=CONNECT_S, answer_s=answer_s)

    def write(self, number: int, value: str) -> str:
        entry = f"values ({number}, '{value}', current_setting('cluster_name')) returning node"
        return self._server.query(f"{self.before}insert into entries {entry}{self.after}")[0][0]

    def content(self) -> list[tuple[int, str, str]]:
        return [(int(number), value, node) for number, value, node in self._server.query("select * from entries")]

    def close(self) -> None:
        self._server.close()


class CarelessSession(PostgresSession):
    """It is told that something is committed before that is on the disk: to see whether a test notices."""

    before, after = "begin; set local synchronous_commit = off; ", "; commit"


class HttpSession:
    """Each of two applications behind a web server in turn."""

    def __init__(self, host: str, port: int, answer_s: float) -> None:
        self._server = HTTPConnection(host, port, timeout=CONNECT_S)
        self._server.connect()
        self._server.sock.settimeout(answer_s)

    def write(self, number: int, value: str) -> str:
        path = f"/{('orders', 'search')[number % 2]}/{value}"
        try:
            self._server.request("GET", path)
            answer = self._server.getresponse()
            node, echo = answer.read().decode().split(" ", 1)
        except (HTTPException, ValueError) as error:
            raise OSError(f"no answer: {error!r}") from error
        if (answer.status, echo.strip()) != (200, path):
            raise OSError(f"answered {answer.status} {node} {echo}")
        return node

    def content(self) -> list[tuple[int, str, str]]:
        return []

    def close(self) -> None:
        self._server.close()


class RedisSession:
    """What is acknowledged is on a replica too, wherever there is one."""

    def __init__(self, host: str, port: int, answer_s: float) -> None:
        self._server = Redis((host, port), connect_s=CONNECT_S, answer_s=answer_s)
        try:
            self._server.ask("auth", "change-me")
            _, self._node = self._server.ask("config", "get", "syslog-ident")
        except OSError:
            self.close()
            raise

    def write(self, number: int, value: str) -> str:
        self._server.ask("hset", "entries", str(number), f"{value} {self._node}")
        if int(self._server.ask("wait", "1", "100")) == 0:
            raise Alone(self._node)
        return str(self._node)

    def content(self) -> list[tuple[int, str, str]]:
        words = self._server.ask("hgetall", "entries")
        entries = zip(words[::2], words[1::2], strict=True)
        return [(int(number), *entry.split(" ")) for number, entry in entries]

    def close(self) -> None:
        self._server.close()


class MariadbSession:
    """By the server's own client program, which reads statements from a pipe."""

    def __init__(self, host: str, port: int, answer_s: float) -> None:
        socket.create_connection((host, port), timeout=CONNECT_S).close()  # cheaper than a program that finds nobody
        argv = ["mariadb", "--no-defaults", "--batch", "--skip-column-names", "--unbuffered", "--connect-timeout=1"]
        self._client = subprocess.Popen(
            [*argv, f"--host={host}", f"--port={port}", "--user=books", "books"],
            env={**os.environ, "MYSQL_PWD": "secret"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._answer_s = answer_s

    def write(self, number: int, value: str) -> str:
        insert = f"insert into entries values ({number}, '{value}', @@hostname)"  # noqa: S608 (of our own making)
        (node,) = self._asked(f"{insert}; select @@hostname, 'END';")
        return node

    def content(self) -> list[tuple[int, str, str]]:
        rows = self._asked("select * from entries; select 'END';")
        return [(int(number), value, node) for number, value, node in (row.split("\t") for row in rows)]

    def _asked(self, statements: str) -> list[str]:
        """The rows of the answer, up to END."""
        assert self._client.stdin is not None
        assert self._client.stdout is not None
        self._client.stdin.write(statements.encode() + b"\n")
        self._client.stdin.flush()
        deadline, text = boottime() + self._answer_s, b""
        while not text.endswith(b"END\n"):
            if not select.select([self._client.stdout], [], [], max(0.0, deadline - boottime()))[0]:
                raise TimeoutError("no answer")
            more = os.read(self._client.stdout.fileno(), 1 << 16)
            if not more:
                raise ConnectionResetError("the client program ended")
            text += more
        return text.decode().removesuffix("END\n").strip().splitlines()

    def close(self) -> None:
        self._client.kill()
        self._client.communicate()


KINDS: dict[str, Callable[[str, int, float], Session]] = {
    "postgresql": PostgresSession,
    "postgresql-careless": CarelessSession,
    "http": HttpSession,
    "redis": RedisSession,
    "mariadb": MariadbSession,
}


def boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def run(connect: Callable[[], Session], ledger: str) -> None:
    descriptor = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def note(*words: object) -> None:
        os.write(descriptor, " ".join([f"{boottime():.6f}", *map(str, words)]).encode() + b"\n")

    session: Session | None = None
    number = max(Ledger(Path(ledger)).asked(), default=0)
    while True:
        if session is None:
            try:
                session = connect()
            except OSError:
                time.sleep(RETRY_S)
                continue
        number += 1
        value = secrets.token_hex(8)
        note("ask", number, value)
        try:
            note("ack", number, value, session.write(number, value))
        except Alone as node:
            note("alone", number, value, node)
        except OSError as error:
            note("lost", number, type(error).__name__, *str(error).split())
            with suppress(OSError):
                session.close()
            session = None
            continue
        time.sleep(PAUSE_S)


def content(connect: Callable[[], Session]) -> list[tuple[int, str, str]]:
    """Raises ``OSError`` where it is not to be had for so long."""
    deadline = boottime() + CONTENT_S
    while True:
        try:
            return connect().content()
        except OSError:
            if boottime() > deadline:
                raise
            time.sleep(RETRY_S)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.stacks.client", description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("address", help="host:port")
    parser.add_argument("ledger", nargs="?", help="a file to write down every answer in")
    parser.add_argument("--content", action="store_true", help="print what the server has")
    options = parser.parse_args(argv)
    host, _, port = options.address.rpartition(":")
    if options.content:
        for row in content(lambda: KINDS[options.kind](host, int(port), CONTENT_S)):
            print(*row)
        return 0
    run(lambda: KINDS[options.kind](host, int(port), ANSWER_S), options.ledger)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
