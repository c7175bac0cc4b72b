"""The parameters of a ``mount`` component."""

import posixpath
import re
import signal
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from failoverd.config.types import Duration, Keys
from failoverd.kernel.mounts import Spec

_NETWORK = re.compile(r"//[^/]+/.+|[^/]+:.*")
_TAGGED = re.compile(r"(UUID|LABEL|PARTUUID|PARTLABEL|ID)=.+")
VIRTUAL = frozenset({"tmpfs", "ramfs", "hugetlbfs", "overlay", "proc", "sysfs", "debugfs", "tracefs", "cgroup2"})
NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "9p", "fuse.sshfs", "virtiofs"})
BIND = frozenset({"bind", "rbind"})
CHECKED = frozenset({"ext2", "ext3", "ext4"})
"""File systems of which the check before a mount is fast where nothing is wrong, and worth it where something is."""


class Fsck(StrEnum):
    AUTO = "auto"
    NEVER = "never"
    ALWAYS = "always"


class Signals(StrEnum):
    NONE = "none"
    TERM = "term"
    KILL = "kill"

    @property
    def strongest(self) -> int:
        return {Signals.NONE: 0, Signals.TERM: int(signal.SIGTERM), Signals.KILL: int(signal.SIGKILL)}[self]


class Test(StrEnum):
    NONE = "none"
    READ = "read"
    WRITE = "write"


def _directory(value: str) -> str:
    if not value.startswith("/") or "\0" in value:
        raise ValueError("must be an absolute path")
    plain = posixpath.normpath("/" + value.lstrip("/"))
    if plain == "/":
        raise ValueError("nothing is mounted on the root directory")
    return plain


def _options(value: Any) -> list[str]:
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError("must be mount options: a list, or a text such as noatime,nodev")
    found = [word.strip() for word in words if word.strip()]
    for word in found:
        if "," in word or any(char.isspace() for char in word):
            raise ValueError(f"{word[:40]!r} is no mount option")
        if word in ("remount", "loop") or word.startswith("loop="):
            raise ValueError(f"{word!r} is decided by failoverd itself")
    return found


class BusyKeys(Keys):
    """What is done about processes that hold the file system when it is to go offline: its components are offline by
    then, so these are shells, editors and the like. No other process is ever signalled."""

    signal: Annotated[Signals, Field(strict=False)] = Signals.KILL
    """kill: SIGTERM, and SIGKILL after grace (default); term: SIGTERM alone; none: wait for them."""

    grace: Duration = 2.0
    """Between SIGTERM and SIGKILL (default 2s)."""

    lazy: bool = False
    """Detach it by force where it stays busy all the same; whoever holds it goes on writing, so by default false."""


class MountParams(Keys):
    """Parameters of a component of type ``mount``: a file system."""

    device: str | None = None
    """A block device, UUID=… or LABEL=…; a file with a file system in it; host:/path or //host/share; for a bind mount
    the other directory; nothing for tmpfs."""

    directory: Annotated[str, AfterValidator(_directory)]
    """Where it is mounted."""

    fstype: Annotated[str, Field(pattern=r"^[a-z0-9_.+-]{1,40}$")] | None = None
    """Its type, as ext4, nfs, tmpfs; bind for a directory that is there already."""

    options: Annotated[list[str], BeforeValidator(_options)] = Field(default_factory=list)
    """Mount options: a list, or a text such as noatime,nodev."""

    make_directory: bool = False
    """Make the directory where it is missing (default false)."""

    fsck: Annotated[Fsck, Field(strict=False)] = Fsck.AUTO
    """Check it before it is mounted: auto (default): ext2, ext3 and ext4, which is fast after a clean shutdown; always:
    in full; never."""

    busy: BusyKeys = BusyKeys()

    test: Annotated[Test, Field(strict=False)] = Test.NONE
    """What a probe does beyond asking the kernel: read from the device or server, or also write and read back a file
    (.failoverd-GROUP-COMPONENT). A time-out is a fault (default none)."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.kind == "virtual":
            if self.fstype is None:
                raise ValueError("needs a 'device' (or 'fstype: tmpfs')")
            return self
        if self.device is None or not self.device.strip():
            raise ValueError("'device' is missing")
        if self.kind in ("bind", "image") and not self.device.startswith("/"):
            raise ValueError(
                f"device must be a path, UUID=…, LABEL=…, host:/path or //host/share, not {self.device[:60]!r}"
            )
        if self.kind == "network" and self.fstype is None:
            raise ValueError("a network file system needs its 'fstype', as nfs or cifs")
        if self.kind == "bind" and self.source == self.directory:
            raise ValueError("device and directory are the same")
        return self

    @property
    def kind(self) -> str:
        """``kernel.mounts.Spec.kind``, told by how the device is written: nothing is looked at."""
        device, fstype = self.device or "", self.fstype or ""
        if fstype == "bind" or BIND & set(self.options):
            return "bind"
        if fstype in VIRTUAL or (not device and not fstype):
            return "virtual"
        if fstype in NETWORK or (_NETWORK.fullmatch(device) and not _TAGGED.fullmatch(device)):
            return "network"
        return "block" if device.startswith("/dev/") or _TAGGED.fullmatch(device) else "image"

    @property
    def source(self) -> str:
        device = self.device or (self.fstype or "none")
        return posixpath.normpath(device) if self.kind in ("bind", "image") else device

    @property
    def read_only(self) -> bool:
        return "ro" in self.options

    @property
    def spec(self) -> Spec:
        return Spec(self.kind, self.source, self.directory, self.fstype or "")
