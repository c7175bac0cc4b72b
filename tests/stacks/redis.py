"""As much of the protocol of Redis (RESP2) as a client needs. Every wait has a deadline."""

import socket
from typing import Any


class Redis:
    """One connection. Raises ``OSError`` (``TimeoutError``) where no answer comes, or the answer is an error."""

    def __init__(self, address: tuple[str, int], *, connect_s: float, answer_s: float) -> None:
        self._socket = socket.create_connection(address, timeout=connect_s)
        self._socket.settimeout(answer_s)
        self._answers = self._socket.makefile("rb")

    def close(self) -> None:
        self._answers.close()
        self._socket.close()

    def ask(self, *words: str) -> Any:
        parts = [f"*{len(words)}\r\n"] + [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
        self._socket.sendall("".join(parts).encode())
        return self._answer()

    def _answer(self) -> Any:
        line = self._answers.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionResetError("the connection was closed")
        kind, text = line[:1], line[1:-2].decode()
        if kind == b"-":
            raise OSError(text)
        if kind == b":":
            return int(text)
        if kind == b"$":
            return None if text == "-1" else self._answers.read(int(text) + 2)[:-2].decode()
        if kind == b"*":
            return [self._answer() for _ in range(int(text))]
        return text
