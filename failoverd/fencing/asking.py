"""Asking a fence agent something that changes nothing (FenceAgentAPI). Waits for it: not for an event loop."""

import os
import signal
import subprocess
from contextlib import suppress

from failoverd.fencing.device import PATH


def ask_agent(program: str, text: str, timeout_s: float, *, errors: bool = False) -> tuple[int, bytes]:
    """Its exit status, and its standard output, or where ``errors`` are asked for its standard error. Raises
    ``OSError``, ``subprocess.TimeoutExpired``. Nothing of it is left afterwards."""
    with subprocess.Popen(  # noqa: S603 (the administrator's own agent)
        [program],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL if errors else subprocess.PIPE,
        stderr=subprocess.PIPE if errors else subprocess.DEVNULL,
        env={"PATH": PATH, "LC_ALL": "C"},
        start_new_session=True,
    ) as process:
        try:
            output, said = process.communicate(text.encode(), timeout=timeout_s)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, said if errors else output
