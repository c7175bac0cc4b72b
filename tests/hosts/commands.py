"""Programs that the lab runs on the machine itself (``ip``, ``nft``, ``nsenter``): each bounded in time."""

import ctypes
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

TIMEOUT_S = 15.0
NETNS = Path("/run/netns")
CLONE_NEWNET = 0x40000000


class LabFailed(Exception):  # noqa: N818 (its own name)
    """The lab could not do what it was asked for; the text says what, with what the program said."""


def run(argv: Sequence[str], *, text: str | None = None, timeout_s: float = TIMEOUT_S, check: bool = True) -> str:
    """Returns what it wrote to its standard output. Raises ``LabFailed`` (on a failure only if ``check``)."""
    try:
        done = subprocess.run(
            argv, input="" if text is None else text, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except (subprocess.TimeoutExpired, OSError) as error:
        raise LabFailed(f"{' '.join(argv)}: {error}") from error
    if check and done.returncode:
        raise LabFailed(f"{' '.join(argv)}: {done.stderr.strip() or f'exit status {done.returncode}'}\n{text or ''}")
    return done.stdout


def ip(namespace: str, *lines: str) -> None:
    """A batch of commands to iproute2, in a network namespace."""
    run(["ip", "-n", namespace, "-batch", "-"], text="\n".join(lines) + "\n")


def within(namespace: str, *argv: str) -> list[str]:
    """The command line that runs ``argv`` in a network namespace (and nothing else of a host)."""
    return ["nsenter", f"--net=/run/netns/{namespace}", "--", *argv]


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """The calling thread is in a network namespace (setns(2)), and nothing else changes: sockets that it makes
    meanwhile are of that network, for ever. Raises ``LabFailed``."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open("rb") as before:
        try:
            there = (NETNS / namespace).open("rb")
        except OSError as error:
            raise LabFailed(f"there is no network namespace {namespace}") from error
        with there:
            _enter(libc, there.fileno())
        try:
            yield
        finally:
            _enter(libc, before.fileno())


def _enter(libc: ctypes.CDLL, descriptor: int) -> None:
    if libc.setns(descriptor, CLONE_NEWNET):
        raise LabFailed(f"setns: {os.strerror(ctypes.get_errno())}")
