"""The cluster key's file: nobody but its owner reads it, nothing overwrites it, and a bad one says what to do."""

import base64
import os
from pathlib import Path

import pytest

from failoverd.errors import KeyFileError
from failoverd.links import key


def write(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def line_of(size: int) -> bytes:
    return b"failoverd-key-1:" + base64.b64encode(bytes(size)) + b"\n"


def test_a_new_key_is_private_random_and_can_be_read(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        key.generate(tmp_path / "one")
    finally:
        os.umask(old)
    key.generate(tmp_path / "two")
    one, two = key.read(tmp_path / "one"), key.read(tmp_path / "two")
    assert len(one) == 32
    assert one != two
    assert (tmp_path / "one").stat().st_mode & 0o7777 == 0o600
    assert (tmp_path / "one").read_text().startswith("failoverd-key-1:")


def test_a_strict_umask_does_not_lock_us_out(tmp_path: Path) -> None:
    old = os.umask(0o777)
    try:
        key.generate(tmp_path / "key")
    finally:
        os.umask(old)
    assert (tmp_path / "key").stat().st_mode & 0o7777 == 0o600


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = write(tmp_path / "key", b"precious")
    with pytest.raises(KeyFileError, match="never overwritten"):
        key.generate(path)
    assert path.read_bytes() == b"precious"


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyFileError):
        key.generate(tmp_path / "key")
    assert not (tmp_path / "elsewhere").exists()


def test_a_missing_directory_is_said(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="No such file or directory"):
        key.generate(tmp_path / "none" / "key")


def test_blanks_around_the_line_do_not_matter(tmp_path: Path) -> None:
    assert key.read(write(tmp_path / "key", b"\n  " + line_of(32) + b"\n\n")) == bytes(32)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "holds no key"),
        (b"hello\n", "holds no key"),
        (b"failoverd-key-2:" + base64.b64encode(bytes(32)), "holds no key"),
        (b"failoverd-key-1:!!!!", "holds no key"),
        (b"\xff\xfe\x00", "holds no key"),
        (line_of(32) * 2, "holds no key"),
        (line_of(32) + b" " * 5000, "holds no key"),
        (line_of(16), "cut off"),
        (line_of(33), "33 bytes"),
    ],
)
def test_wrong_content(tmp_path: Path, content: bytes, says: str) -> None:
    path = write(tmp_path / "key", content)
    with pytest.raises(KeyFileError, match=says) as caught:
        key.read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o666])
def test_a_key_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(KeyFileError, match=f"mode {mode:04o}.*chmod 600"):
        key.read(write(tmp_path / "key", line_of(32), mode))


def test_a_key_for_reading_alone_is_fine(tmp_path: Path) -> None:
    assert key.read(write(tmp_path / "key", line_of(32), 0o400)) == bytes(32)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_of_somebody_else_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "key", line_of(32))
    os.chown(path, 12345, -1)
    with pytest.raises(KeyFileError, match="belongs to user 12345"):
        key.read(path)


def test_what_is_no_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="failoverd keygen"):
        key.read(tmp_path / "none")
    with pytest.raises(KeyFileError, match="is a directory"):
        key.read(tmp_path)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(KeyFileError, match="not a regular file"):
        key.read(tmp_path / "pipe")
