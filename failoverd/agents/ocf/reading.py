"""Asks agents for their meta-data, and remembers the answer for as long as the agent's file is the same.

In memory, and in a directory for the next process: a hundred agents take three seconds to be asked. What is
remembered is used only while the agent's path, its device and inode, its size and its time of modification are what
they were, and those of the newest file of the functions that agents share.
"""

import contextlib
import hashlib
import json
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from failoverd.agents.commands import DEFAULT_PATH
from failoverd.agents.ocf.metadata import BYTES_MAX, BadMetaData, MetaData, parse
from failoverd.ports import last_line

DEADLINE_S = 5.0
"""For one agent; they take 5 to 100 ms."""
_FILE_MAX = 2 * BYTES_MAX
_VERSION = 1
_CACHE_VARIABLE = "CACHE_DIRECTORY"
"""Set by systemd (CacheDirectory=, systemd.exec(5))."""

Identity = tuple[str, int, int, int, int, int]
Ask = Callable[[Path, Path], bytes]
"""Gets an agent's meta-data: (path of the agent, OCF_ROOT). Raises ``BadMetaData``."""


def cache_directory(environ: Mapping[str, str] = os.environ, uid: int | None = None) -> Path:
    """Where nobody but this user can write, so that what is found there can be believed."""
    given = environ.get(_CACHE_VARIABLE, "").partition(":")[0]
    if given:
        return Path(given)
    if (os.geteuid() if uid is None else uid) == 0:
        return Path("/var/cache/failoverd")
    base = environ.get("XDG_CACHE_HOME") or f"{environ.get('HOME', '/nonexistent')}/.cache"
    return Path(base) / "failoverd"


class Reader:
    """One for all agents; its methods may be called by several threads at once."""

    def __init__(self, root: Path, cache: Path | None, ask: Ask | None = None) -> None:
        """``cache``: None where nothing is to be kept on disk."""
        self._root = root
        self._cache = cache / "ocf-meta-data" if cache else None
        self._ask = ask or ask_agent
        self._known: dict[Path, tuple[Identity, MetaData | BadMetaData]] = {}
        self._lock = threading.Lock()

    def read(self, path: Path) -> MetaData:
        """Raises ``BadMetaData``."""
        try:
            identity = self._identity(path)
        except OSError as error:
            raise BadMetaData(error.strerror or str(error)) from error
        with self._lock:
            known = self._known.get(path)
        if known is None or known[0] != identity:
            known = (identity, self._find(path, identity))
            with self._lock:
                self._known[path] = known
        if isinstance(known[1], BadMetaData):
            raise known[1]
        return known[1]

    def _find(self, path: Path, identity: Identity) -> MetaData | BadMetaData:
        try:
            kept = self._kept(path, identity)
            data = kept if kept is not None else self._ask(path, self._root)
            found = parse(data)
        except BadMetaData as error:
            return error
        if kept is None:
            self._keep(path, identity, data)
        return found

    def _identity(self, path: Path) -> Identity:
        """Raises OSError."""
        there = path.stat()
        shared = 0
        with contextlib.suppress(OSError), os.scandir(self._root / "lib" / "heartbeat") as entries:
            shared = max((entry.stat().st_mtime_ns for entry in entries), default=0)
        return (str(path), there.st_dev, there.st_ino, there.st_size, there.st_mtime_ns, shared)

    # --- on disk ------------------------------------------------------------------------------------------------

    def _file(self, path: Path) -> Path | None:
        name = hashlib.sha256(os.fsencode(path)).hexdigest()[:32]
        return self._cache / f"{name}.json" if self._cache else None

    def _kept(self, path: Path, identity: Identity) -> bytes | None:
        file = self._file(path)
        if file is None:
            return None
        try:
            with file.open("rb") as opened:
                there = os.fstat(opened.fileno())
                if there.st_uid != os.geteuid() or there.st_mode & 0o022:
                    return None  # not ours, or anybody's
                document = json.loads(opened.read(_FILE_MAX))
            if document["version"] == _VERSION and tuple(document["identity"]) == identity:
                return str(document["meta_data"]).encode()
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return None

    def _keep(self, path: Path, identity: Identity, data: bytes) -> None:
        """A cache that cannot be written costs time, nothing else."""
        file = self._file(path)
        if file is None:
            return
        with contextlib.suppress(OSError, UnicodeDecodeError):
            text = json.dumps({"version": _VERSION, "identity": identity, "meta_data": data.decode()})
            file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            beside = file.with_suffix(f".{os.getpid()}.{threading.get_ident()}.tmp")
            try:
                beside.write_text(text, encoding="utf-8")
                beside.chmod(0o644)
                beside.replace(file)
            finally:
                beside.unlink(missing_ok=True)


def ask_agent(path: Path, root: Path, deadline_s: float = DEADLINE_S) -> bytes:
    """Run the agent with ``meta-data``. Blocks for up to ``deadline_s``; raises ``BadMetaData``."""
    environment = {"OCF_ROOT": str(root), "PATH": os.environ.get("PATH") or DEFAULT_PATH, "LANG": "C.UTF-8"}
    status, output, errors = run_bounded([str(path), "meta-data"], environment, deadline_s)
    if status != 0:
        said = last_line(errors.decode("utf-8", "replace"))
        raise BadMetaData(f"exit status {status}{': ' if said else ''}{said}")
    return output


def run_bounded(argv: list[str], environment: Mapping[str, str], deadline_s: float) -> tuple[int, bytes, bytes]:
    """Run a command to its end outside of any event loop: (exit status, stdout, stderr). Raises ``BadMetaData`` where
    it cannot be started, takes longer than ``deadline_s`` seconds, or prints more than can be meant."""
    try:
        process = subprocess.Popen(  # noqa: S603 (an agent that the administrator named or installed)
            argv,
            env=dict(environment),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise BadMetaData(error.strerror or str(error)) from error
    with process:
        try:
            return _collect(process, time.monotonic() + deadline_s, deadline_s)
        finally:
            with contextlib.suppress(ProcessLookupError):  # and what it left in the background
                os.killpg(process.pid, signal.SIGKILL)


def _collect(process: subprocess.Popen[bytes], until: float, deadline_s: float) -> tuple[int, bytes, bytes]:
    kept = {"out": bytearray(), "err": bytearray()}
    with selectors.DefaultSelector() as selector:
        for name, stream in (("out", process.stdout), ("err", process.stderr)):
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ, name)
        while selector.get_map():
            left = until - time.monotonic()
            ready = selector.select(left) if left > 0 else []
            if not ready:
                raise BadMetaData(f"no answer within {deadline_s:g} s")
            for key, _ in ready:
                data = os.read(key.fd, 65536)
                if not data:
                    selector.unregister(key.fileobj)
                elif len(kept[key.data]) + len(data) > BYTES_MAX:
                    raise BadMetaData(f"prints more than {BYTES_MAX // 1024} KiB")
                kept[key.data] += data
    try:
        status = process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired as error:
        raise BadMetaData(f"no answer within {deadline_s:g} s") from error
    return status, bytes(kept["out"]), bytes(kept["err"])
