"""The cluster key's file: one line, ``failoverd-key-1:`` and 32 random bytes in base64, readable by its owner alone."""

import base64
import binascii
import os
import secrets
import stat
from pathlib import Path

from failoverd.errors import KeyFileError
from failoverd.wire import KEY_BYTES

PREFIX = "failoverd-key-1:"
MODE = 0o600
FILE_BYTES_MAX = 4096
_MAKE_ONE = "make one on one node with: failoverd keygen {path}, and copy it to the others"


def generate(path: Path) -> None:
    """Write a new key to a file that must not exist yet, durably. Raises ``KeyFileError``, leaving none behind."""
    line = PREFIX + base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode() + "\n"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, MODE)
    except FileExistsError:
        raise KeyFileError(f"{path}: exists already; a key is never overwritten, remove it first if you must") from None
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be created: {error.strerror}") from error
    try:
        _write(handle, line.encode(), path)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise KeyFileError(f"{path}: cannot be written: {error.strerror}") from error


def _write(handle: int, content: bytes, path: Path) -> None:
    with os.fdopen(handle, "wb") as file:
        os.fchmod(file.fileno(), MODE)  # the umask may have taken bits away
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read(path: Path) -> bytes:
    """The key. Raises ``KeyFileError`` that says what is wrong with the file and what to do."""
    try:
        # Not to hang where somebody put a named pipe.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise KeyFileError(f"{path}: there is no such file; {_MAKE_ONE.format(path=path)}") from None
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be opened: {error.strerror}") from error
    try:
        _check(os.fstat(handle), path)
        content = os.read(handle, FILE_BYTES_MAX + 1)
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be read: {error.strerror}") from error
    finally:
        os.close(handle)
    return _parse(content, path)


def _check(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise KeyFileError(f"{path}: is {kind}; key_file must name the file that holds the key")
    if status.st_uid not in {0, os.geteuid()}:
        raise KeyFileError(
            f"{path}: belongs to user {status.st_uid}, who could change it; "
            f"give it to root or to user {os.geteuid()} (chown)"
        )
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise KeyFileError(f"{path}: others may read or write it (mode {mode:04o}); run: chmod 600 {path}")


def _parse(content: bytes, path: Path) -> bytes:
    key = _decoded(content)
    if key is None:
        expected = f"one line that begins with {PREFIX!r}"
        raise KeyFileError(f"{path}: holds no key ({expected}); {_MAKE_ONE.format(path=path)}")
    if len(key) != KEY_BYTES:
        raise KeyFileError(f"{path}: holds a key of {len(key)} bytes, {KEY_BYTES} are needed; was it cut off?")
    return key


def _decoded(content: bytes) -> bytes | None:
    line = content.strip()
    if len(content) > FILE_BYTES_MAX or not line.startswith(PREFIX.encode()):
        return None
    try:
        return base64.b64decode(line.removeprefix(PREFIX.encode()), validate=True)
    except binascii.Error:
        return None
