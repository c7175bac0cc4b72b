"""As much of PostgreSQL's protocol, version 3 (its documentation, chapter 55), as a client needs that has a password
and sends one statement at a time. Every wait has a deadline, which no client library offers for all of them."""

import base64
import hashlib
import hmac
import os
import socket
import struct

SCRAM = b"SCRAM-SHA-256"
OK, SASL, SASL_CONTINUE, SASL_FINAL = 0, 10, 11, 12
"""AuthenticationXXX"""


class Refused(OSError):  # noqa: N818 (what is the case)
    """The server said no, and what it said."""


class Postgres:
    """One session. Raises ``OSError`` (``TimeoutError``) wherever no answer comes, and ``Refused``."""

    def __init__(
        self, address: tuple[str, int], user: str, password: str, database: str, *, connect_s: float, answer_s: float
    ) -> None:
        self._socket = socket.create_connection(address, timeout=connect_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.settimeout(answer_s)
        self._held = b""
        try:
            self._log_in(user, password, database)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        self._socket.close()

    def query(self, text: str) -> list[list[str]]:
        """The rows of one statement. When this returns, it is committed."""
        self._send(b"Q", text.encode() + b"\0")
        rows = []
        while True:
            kind, body = self._receive()
            if kind == b"D":
                rows.append(_row(body))
            if kind == b"Z":
                return rows

    # --- messages -------------------------------------------------------------------------------------------------

    def _send(self, kind: bytes, body: bytes) -> None:
        self._socket.sendall(kind + struct.pack("!i", len(body) + 4) + body)

    def _receive(self) -> tuple[bytes, bytes]:
        head = self._exactly(5)
        body = self._exactly(struct.unpack("!i", head[1:])[0] - 4)
        if head[:1] == b"E":
            fields = [part.decode() for part in body.split(b"\0") if part]
            raise Refused(" ".join(part[1:] for part in fields if part[0] in "SCM"))
        return head[:1], body

    def _exactly(self, count: int) -> bytes:
        while len(self._held) < count:
            more = self._socket.recv(1 << 16)
            if not more:
                raise ConnectionResetError("the connection was closed")
            self._held += more
        found, self._held = self._held[:count], self._held[count:]
        return found

    # --- logging in -----------------------------------------------------------------------------------------------

    def _log_in(self, user: str, password: str, database: str) -> None:
        words = b"".join(word.encode() + b"\0" for word in ("user", user, "database", database))
        body = struct.pack("!i", 3 << 16) + words + b"\0"
        self._socket.sendall(struct.pack("!i", len(body) + 4) + body)
        scram = _Scram(password)
        while True:
            kind, body = self._receive()
            if kind == b"Z":
                return
            if kind != b"R":
                continue
            (wanted,) = struct.unpack("!i", body[:4])
            if wanted == SASL:
                first = scram.first()
                self._send(b"p", SCRAM + b"\0" + struct.pack("!i", len(first)) + first)
            elif wanted == SASL_CONTINUE:
                self._send(b"p", scram.final(body[4:]))
            elif wanted not in (OK, SASL_FINAL):
                raise Refused(f"a way to log in that is not known here: {wanted}")


class _Scram:
    """The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677); the server is not asked to prove itself."""

    def __init__(self, password: str) -> None:
        self._password = password.encode()
        self._bare = b"n=,r=" + base64.b64encode(os.urandom(18))

    def first(self) -> bytes:
        return b"n,," + self._bare

    def final(self, said: bytes) -> bytes:
        fields = dict(part.split(b"=", 1) for part in said.split(b","))
        salted = hashlib.pbkdf2_hmac("sha256", self._password, base64.b64decode(fields[b"s"]), int(fields[b"i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        without_proof = b"c=biws,r=" + fields[b"r"]
        message = b",".join((self._bare, said, without_proof))
        signature = hmac.digest(hashlib.sha256(key).digest(), message, "sha256")
        proof = bytes(one ^ other for one, other in zip(key, signature, strict=True))
        return without_proof + b",p=" + base64.b64encode(proof)


def _row(body: bytes) -> list[str]:
    """DataRow; NULL is an empty text."""
    (count,) = struct.unpack("!h", body[:2])
    values, at = [], 2
    for _ in range(count):
        (size,) = struct.unpack("!i", body[at : at + 4])
        at += 4
        values.append(body[at : at + max(size, 0)].decode())
        at += max(size, 0)
    return values
