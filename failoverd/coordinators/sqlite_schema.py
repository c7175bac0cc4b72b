"""The sqlite coordinator's tables, and how an existing file is told from one that is not ours."""

import sqlite3
import uuid
from pathlib import Path

from failoverd.errors import StartupError

APPLICATION_ID = 0x666F7664
"""``fovd``, in the file's header (https://www.sqlite.org/pragma.html#pragma_application_id)."""

SCHEMA = 1

_TABLES = (
    # One row. "identity" tells a file that was put in place of ours; "compacted" is the revision up to which
    # deletions may have been forgotten.
    """CREATE TABLE store (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), schema INTEGER NOT NULL,
    identity TEXT NOT NULL, revision INTEGER NOT NULL, compacted INTEGER NOT NULL)""",
    # A deleted key stays, with no value, so that whoever watches learns of it.
    "CREATE TABLE entry (key TEXT PRIMARY KEY, value BLOB, revision INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE INDEX entry_by_revision ON entry (revision)",
    "CREATE INDEX tombstone_by_revision ON entry (revision) WHERE value IS NULL",
)


def prepare(db: sqlite3.Connection, path: Path) -> None:
    """Within a write transaction: create the tables in an empty file, or make sure that they are ours.

    Raises ``StartupError``, in which case nothing must be committed.
    """
    application_id, tables = _found(db)
    if application_id == 0 and tables == 0:
        _create(db)
        return
    if application_id != APPLICATION_ID:
        raise StartupError(f"coordinator.path: {path} is an sqlite database of something else")
    schema = db.execute("SELECT schema FROM store").fetchone()
    if schema is None or not isinstance(schema[0], int):
        raise StartupError(f"coordinator.path: {path} is damaged: its schema version is missing")
    if schema[0] != SCHEMA:
        raise StartupError(
            f"coordinator.path: {path} was written by a newer failoverd (schema {schema[0]}, this one knows {SCHEMA})"
        )


def _found(db: sqlite3.Connection) -> tuple[int, int]:
    (application_id,) = db.execute("PRAGMA application_id").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return int(application_id), int(tables)


def _create(db: sqlite3.Connection) -> None:
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    for statement in _TABLES:
        db.execute(statement)
    db.execute("INSERT INTO store VALUES (1, ?, ?, 0, 0)", (SCHEMA, str(uuid.uuid4())))
