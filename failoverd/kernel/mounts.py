"""The table of mounts (proc_pid_mountinfo(5)): what is mounted where, and whether it is what was meant.

Reading it never waits for a file system, however dead. Nor does anything else here: devices are looked at in /dev and
/sys alone.
"""

import os
import posixpath
import stat
from typing import NamedTuple

TABLE = "/proc/self/mountinfo"
_ESCAPES = (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\043", "#"), ("\\134", "\\"))
_TAGS = {"UUID": "by-uuid", "LABEL": "by-label", "PARTUUID": "by-partuuid", "PARTLABEL": "by-partlabel", "ID": "by-id"}
_LOOP_MAJOR = 7
_SHOWS_ITSELF = {"ext2": "ext4", "ext3": "ext4", "ext4": "ext4", "xfs": "xfs", "f2fs": "f2fs"}
"""File systems that have a directory in /sys/fs for as long as they are in use at all."""


class Mount(NamedTuple):
    number: int
    """Its mount ID; fdinfo names it too (``mnt_id``)."""
    parent: int
    device: str
    """``major:minor`` of what stat(2) says of files on it."""
    root: str
    """What of the file system is mounted: not ``/`` for a bind mount of a directory."""
    directory: str
    options: frozenset[str]
    fstype: str
    source: str
    super_options: frozenset[str]

    @property
    def read_only(self) -> bool:
        return "ro" in self.options or "ro" in self.super_options


class Spec(NamedTuple):
    """What is meant to be mounted."""

    kind: str
    """``block``, ``image``, ``bind``, ``network`` or ``virtual``."""
    device: str
    directory: str
    fstype: str
    identity: tuple[str, str] | None = None
    """Of a bind mount: device number and root."""


def table(path: str = TABLE) -> list[Mount]:
    """Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = b""
        while piece := os.read(descriptor, 1 << 16):
            text += piece
    finally:
        os.close(descriptor)
    return [_mount(line.split(" ")) for line in text.decode("utf-8", "surrogateescape").splitlines()]


def _mount(fields: list[str]) -> Mount:
    end = fields.index("-", 6)
    return Mount(
        number=int(fields[0]),
        parent=int(fields[1]),
        device=fields[2],
        root=_plain(fields[3]),
        directory=_plain(fields[4]),
        options=frozenset(fields[5].split(",")),
        fstype=fields[end + 1],
        source=_plain(fields[end + 2]),
        super_options=frozenset(fields[end + 3].split(",")),
    )


def _plain(text: str) -> str:
    if "\\" in text:
        for escape, char in _ESCAPES:
            text = text.replace(escape, char)
    return text


def at(directory: str, mounts: list[Mount]) -> list[Mount]:
    """What is mounted on a directory, the topmost last."""
    return [one for one in mounts if one.directory == directory]


def below(mount: Mount, mounts: list[Mount]) -> list[Mount]:
    """What is mounted on it or in it, and so keeps it."""
    return [one for one in mounts if one.parent == mount.number and one.number != mount.number]


def of_path(path: str, mounts: list[Mount]) -> Mount | None:
    """The mount that a path (absolute, without symbolic links) is on."""
    found = None
    for one in mounts:
        inside = one.directory in ("/", path) or path.startswith(one.directory + "/")
        if inside and (found is None or len(one.directory) >= len(found.directory)):
            found = one
    return found


def ours(spec: Spec, mounts: list[Mount]) -> list[Mount]:
    """What is mounted on the directory and is what was meant, the topmost last."""
    there = at(spec.directory, mounts)
    return [one for one in there if is_it(spec, one, mounts)] if there else []


def elsewhere(spec: Spec, mounts: list[Mount]) -> list[Mount]:
    """Other directories on which the device is mounted."""
    if spec.kind not in ("block", "image"):
        return []
    numbers = device_numbers(spec)
    return [one for one in mounts if one.directory != spec.directory and _is_device(one, numbers)]


def is_it(spec: Spec, one: Mount, mounts: list[Mount]) -> bool:
    if spec.kind in ("block", "image"):
        numbers = device_numbers(spec)
        return _is_device(one, numbers) if numbers else spec.kind == "block" and one.source == spec.device
    if spec.kind == "network":
        return one.source.rstrip("/") == spec.device.rstrip("/")
    if spec.kind == "bind":
        wanted = spec.identity or bound_by(spec.device, [m for m in mounts if m.number != one.number])
        return (one.device, one.root) == wanted
    return (one.fstype, one.source) == (spec.fstype, spec.device)


def bound_by(path: str, mounts: list[Mount]) -> tuple[str, str] | None:
    """What a bind mount of a path shows: device number and root."""
    on = of_path(path, mounts)
    if on is None:
        return None
    rest = path if on.directory == "/" else path[len(on.directory) :]
    return on.device, posixpath.normpath(posixpath.join(on.root, rest.lstrip("/")))


def _is_device(one: Mount, numbers: frozenset[str]) -> bool:
    """Some (btrfs) have numbers of their own, so the source is looked at too."""
    return one.device in numbers or (one.source.startswith("/dev/") and number_of(one.source) in numbers)


def device_numbers(spec: Spec) -> frozenset[str]:
    """Of a block device its number; of an image those of its loop devices."""
    if spec.kind == "image":
        return frozenset(loops_of(spec.device))
    number = number_of(device_path(spec.device))
    return frozenset({number} if number else ())


def device_path(device: str) -> str:
    """``UUID=…`` and the like as udev names them."""
    tag, equals, value = device.partition("=")
    return f"/dev/disk/{_TAGS[tag]}/{value}" if equals and tag in _TAGS else device


def number_of(path: str) -> str | None:
    """``major:minor`` of a device node in /dev; None where it is none."""
    if not path.startswith("/dev/"):
        return None
    try:
        there = os.stat(path)  # noqa: PTH116 (the guard uses this: pathlib costs 10 ms of its start)
    except OSError:
        return None
    return f"{os.major(there.st_rdev)}:{os.minor(there.st_rdev)}" if stat.S_ISBLK(there.st_mode) else None


# --- what the kernel still uses -----------------------------------------------------------------------------------


def loops_of(image: str) -> list[str]:
    """The numbers of the loop devices that are bound to an image."""
    try:
        names = [name for name in os.listdir("/sys/block") if name.startswith("loop")]  # noqa: PTH208 (likewise)
    except OSError:
        return []
    bound = [name for name in names if _read(f"/sys/block/{name}/loop/backing_file") == image]
    return [_read(f"/sys/block/{name}/dev") for name in bound]


def in_use(one: Mount) -> bool:
    """Whether the kernel still has its file system in use, in whatever mount namespace, or detached but held: after it
    was unmounted. False also where it cannot be told without touching the device."""
    try:
        name = os.path.basename(os.readlink(f"/sys/dev/block/{one.device}"))  # noqa: PTH115, PTH119 (likewise)
    except OSError:
        return False
    shown = _SHOWS_ITSELF.get(one.fstype)
    return shown is not None and os.path.isdir(f"/sys/fs/{shown}/{name}")  # noqa: PTH112 (likewise)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123 (likewise)
            return file.read().rstrip("\n")
    except OSError:
        return ""
