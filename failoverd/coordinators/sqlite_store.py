"""The sqlite coordinator's own calls, which block: used from one thread alone.

A write waits for the disk (``synchronous=FULL``: once in the write-ahead log, it survives a power cut). Every
transaction reads the store's one row first, so that a file that was replaced or rolled back underneath is noticed
before anything is believed of it.
"""

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from failoverd.coordinators.sqlite_place import check_place
from failoverd.coordinators.sqlite_schema import prepare
from failoverd.errors import CoordinatorUnavailable, StartupError
from failoverd.ports import Change, Clock, Commit, Delete, Entry, Expect, Listing, Put

BUSY_CODES = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
HARMLESS_CODES = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY})
"""The connection can still read; to open another one might take the very space that there is not."""
PAUSE_FIRST_S = 0.000_2
PAUSE_MAX_S = 0.005
"""Between two attempts at a lock. SQLite's own busy handler goes up to 100 ms, too long for a lease."""


class HistoryLost(CoordinatorUnavailable):
    """What happened since a revision cannot be known any more."""


@dataclass(frozen=True, slots=True)
class Head:
    """The store's one row."""

    identity: str
    revision: int
    compacted: int


@dataclass(frozen=True, slots=True)
class News:
    revision: int
    """The store's revision at which this was asked."""
    changes: tuple[Change, ...]


Rows = list[tuple[Any, ...]]

Files = tuple[tuple[int, int], tuple[int, int] | None]
"""Device and inode of the database and of its write-ahead log."""


class SqliteStore:
    """``path`` is absolute; the deadlines are times of ``clock``. Every call raises
    ``CoordinatorUnavailable`` by its deadline, and whenever the file does not do."""

    def __init__(self, path: Path, *, tombstones_max: int, clock: Clock) -> None:
        self._path = Path(os.path.realpath(path))
        self._wal = Path(f"{self._path}-wal")
        self._tombstones_max = tombstones_max
        self._clock = clock
        self._db: sqlite3.Connection | None = None
        self._files: Files | None = None
        self._identity: str | None = None
        self._revision = 0
        self._lost: str | None = None

    # --- calls ------------------------------------------------------------------------------------------------

    def open(self, deadline: float) -> None:
        """Check the place and the file, and create it where there is none. Raises ``StartupError``."""
        check_place(self._path)
        try:
            self._create_file()
            self._set_up(deadline)
            self.list("", deadline)
        except sqlite3.Error as error:
            raise StartupError(f"coordinator.path: {self._path}: {error}") from error
        except (CoordinatorUnavailable, OSError) as error:
            raise StartupError(f"coordinator.path: {error}") from error
        finally:
            if self._identity is None:
                self._drop()

    def read(self, key: str, deadline: float) -> Entry | None:
        _, rows = self._select(_READ, (key,), deadline)
        return Entry(*rows[0]) if rows else None

    def list(self, prefix: str, deadline: float) -> Listing:
        head, rows = self._select(_LIST, _within(prefix), deadline)
        return Listing(head.revision, tuple(Entry(*row) for row in rows))

    def changes(self, prefix: str, after: int, deadline: float) -> News:
        """What is newer than ``after``, in order. Raises ``HistoryLost`` where deletions since are forgotten."""
        head, rows = self._select(_CHANGES, (after, *_within(prefix)), deadline)
        if after < head.compacted:
            raise HistoryLost(f"{self._path}: the changes since revision {after} are not kept any more")
        return News(head.revision, tuple(Change(*row) for row in rows))

    def commit(self, expects: Sequence[Expect], writes: Sequence[Put | Delete], deadline: float) -> Commit:
        with self._transaction(deadline) as (db, head):
            if any(_revision_of(db, expect.key) != expect.revision for expect in expects):
                return Commit(ok=False, revision=head.revision)
            revision = head.revision + 1
            changed = sum(_write(db, write, revision) for write in writes)
            if not changed:
                return Commit(ok=True, revision=head.revision)
            compacted = head.compacted
            if any(isinstance(write, Delete) for write in writes):
                compacted = max(compacted, self._prune(db))
            db.execute("UPDATE store SET revision = ?, compacted = ?", (revision, compacted))
        self._revision = revision
        return Commit(ok=True, revision=revision)

    def close(self, deadline: float) -> None:
        del deadline
        if self._lost is None:
            self._drop()
        self._lost = f"{self._path}: is closed"

    # --- transactions -----------------------------------------------------------------------------------------

    @contextmanager
    def _transaction(self, deadline: float) -> Iterator[tuple[sqlite3.Connection, Head]]:
        """A writing transaction."""
        with self._errors_told():
            try:
                db, rows = self._attempt("BEGIN IMMEDIATE", _HEAD, (), deadline)
                yield db, self._checked(rows)
                if self._clock.now() >= deadline:
                    # Whoever asked has given up; applied this late it would only surprise.
                    raise CoordinatorUnavailable(f"{self._path}: the transaction was not ready in time")
                db.execute("COMMIT")
            finally:
                self._roll_back()

    def _select(self, statement: str, bound: tuple[str | int, ...], deadline: float) -> tuple[Head, Rows]:
        """The store's row and what was asked for, by one statement and so at one revision."""
        with self._errors_told():
            _, rows = self._attempt(None, statement, bound, deadline)
            head = self._checked(rows)
            return head, [row[3:] for row in rows if row[3] is not None]

    @contextmanager
    def _errors_told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if _code(error) not in HARMLESS_CODES:
                self._drop()
            raise CoordinatorUnavailable(f"{self._path}: {error}") from error

    def _attempt(
        self, begin: str | None, statement: str, bound: tuple[str | int, ...], deadline: float
    ) -> tuple[sqlite3.Connection, Rows]:
        """Begin (or not) and select, trying again while another process holds the lock."""
        for pause in _pauses():
            if self._clock.now() + pause >= deadline:
                why = "is locked by another process" if pause else "no time was left to ask it"
                raise CoordinatorUnavailable(f"{self._path}: {why}")
            if pause:
                time.sleep(pause)
            try:
                db = self._connected()
                if begin is not None:
                    db.execute(begin)
                return db, db.execute(statement, bound).fetchall()
            except sqlite3.OperationalError as error:
                self._roll_back()
                if _code(error) not in BUSY_CODES:
                    raise
        raise AssertionError("the pauses never end")

    def _roll_back(self) -> None:
        if self._db is not None and self._db.in_transaction:
            try:
                self._db.execute("ROLLBACK")
            except sqlite3.Error:
                self._drop()

    def _checked(self, rows: Rows) -> Head:
        """The store's row, which each of ``rows`` begins with. Refuses a store that is not the one known so far."""
        if not rows:
            raise sqlite3.DatabaseError("the store's own row is missing")
        head = Head(*rows[0][:3])
        self._lost = self._estrangement(head)
        if self._lost is not None:
            raise HistoryLost(self._lost)
        self._identity, self._revision = head.identity, head.revision
        return head

    def _estrangement(self, head: Head) -> str | None:
        if self._identity is not None and head.identity != self._identity:
            return f"{self._path}: was replaced by the file of another cluster; restart failoverd to accept it"
        if head.revision < self._revision:
            return (
                f"{self._path}: went back from revision {self._revision} to {head.revision} (an old copy?); "
                "restart failoverd to accept it"
            )
        return None

    # --- the connection ---------------------------------------------------------------------------------------

    def _connected(self) -> sqlite3.Connection:
        if self._lost is not None:
            raise HistoryLost(self._lost)
        files = self._look()
        if self._db is not None and self._files is not None:
            if files != self._files:
                # Not closed: that would delete the log beside the new file, and write ours into the old one.
                self._lost = (
                    f"{self._path}: it or its write-ahead log was replaced while in use; restart failoverd to accept it"
                )
                raise HistoryLost(self._lost)
            return self._db
        self._drop()
        db = self._connect()
        # The first read creates the write-ahead log where there is none.
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        now = self._look()
        if now[0] != files[0]:
            self._drop()
            raise CoordinatorUnavailable(f"{self._path}: was replaced just now")
        self._files = now
        return db

    def _look(self) -> Files:
        try:
            found = self._path.stat()
        except OSError as error:
            # Never created again: to a running cluster an empty store is a wrong one.
            raise CoordinatorUnavailable(f"{self._path}: was deleted or moved away: {error.strerror}") from error
        try:
            log = self._wal.stat()
        except OSError:
            return (found.st_dev, found.st_ino), None
        return (found.st_dev, found.st_ino), (log.st_dev, log.st_ino)

    def _connect(self) -> sqlite3.Connection:
        # Waiting for locks is done in _begin; transactions are begun by hand.
        uri = f"{self._path.as_uri()}?mode=rw"
        self._db = sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None, cached_statements=32)
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA cache_size = -256")
        return self._db

    def _drop(self) -> None:
        db, self._db, self._files = self._db, None, None
        if db is not None:
            with suppress(sqlite3.Error):
                db.close()

    # --- the beginning ----------------------------------------------------------------------------------------

    def _create_file(self) -> None:
        """For our own user alone: whoever may write it commands the cluster."""
        with suppress(FileExistsError):
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))

    def _set_up(self, deadline: float) -> None:
        """Everything that may find out that the file is not ours comes before anything that changes it."""
        for pause in _pauses():
            if self._clock.now() + pause >= deadline:
                raise StartupError(f"coordinator.path: {self._path} is locked by another process")
            time.sleep(pause)
            try:
                db = self._db or self._connect()
                db.execute("BEGIN IMMEDIATE")
                prepare(db, self._path)
                db.execute("COMMIT")
                self._check(db)
            except sqlite3.OperationalError as error:
                if _code(error) not in BUSY_CODES:
                    raise
            else:
                return
            finally:
                self._roll_back()

    def _check(self, db: sqlite3.Connection) -> None:
        (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise StartupError(f"coordinator.path: no write-ahead log is possible beside {self._path} (mode {mode})")
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise StartupError(f"coordinator.path: {self._path} is damaged: {verdict}")

    # --- deletions --------------------------------------------------------------------------------------------

    def _prune(self, db: sqlite3.Connection) -> int:
        """Forget the oldest deletions beyond the limit; returns the revision up to which they are forgotten."""
        row = db.execute(
            "SELECT revision FROM entry WHERE value IS NULL ORDER BY revision DESC LIMIT 1 OFFSET ?",
            (self._tombstones_max,),
        ).fetchone()
        if row is None:
            return 0
        db.execute("DELETE FROM entry WHERE value IS NULL AND revision <= ?", row)
        return int(row[0])


_HEAD = "SELECT identity, revision, compacted FROM store"
_FOUND = """
    SELECT store.identity, store.revision, store.compacted, entry.key, entry.value, entry.revision
    FROM store LEFT JOIN entry ON
"""
_READ = f"{_FOUND} entry.key = ? AND entry.value IS NOT NULL"
_LIST = f"{_FOUND} entry.value IS NOT NULL AND entry.key >= ? AND entry.key < ? ORDER BY entry.key"
_CHANGES = f"""{_FOUND} entry.revision > ? AND entry.key >= ? AND entry.key < ?
    ORDER BY entry.revision, entry.key"""


def _within(prefix: str) -> tuple[str, str]:
    """The bounds of the keys that begin with ``prefix``; sqlite compares by code points (BINARY on UTF-8)."""
    return prefix, f"{prefix}\U0010ffff"


def _revision_of(db: sqlite3.Connection, key: str) -> int:
    row = db.execute("SELECT revision FROM entry WHERE key = ? AND value IS NOT NULL", (key,)).fetchone()
    return 0 if row is None else int(row[0])


def _write(db: sqlite3.Connection, write: Put | Delete, revision: int) -> bool:
    """Returns whether anything changed: to delete what is not there changes nothing."""
    if isinstance(write, Put):
        db.execute("INSERT OR REPLACE INTO entry VALUES (?, ?, ?)", (write.key, write.value, revision))
        return True
    done = db.execute(
        "UPDATE entry SET value = NULL, revision = ? WHERE key = ? AND value IS NOT NULL", (revision, write.key)
    )
    return done.rowcount > 0


def _pauses() -> Iterator[float]:
    """None before the first attempt, then ever longer ones."""
    yield 0.0
    pause = PAUSE_FIRST_S
    while True:
        yield pause
        pause = min(pause * 2, PAUSE_MAX_S)


def _code(error: sqlite3.Error) -> int:
    """The primary result code (https://www.sqlite.org/rescode.html), its lower byte; 0 for Python's own errors."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
