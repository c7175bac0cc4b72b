"""Where the sqlite coordinator's file may lie: on this machine's own disk, in a directory that we may write.

SQLite's locks and its shared memory do not work across machines (https://www.sqlite.org/wal.html, "WAL does not work
over a network filesystem"), so a file on a network file system would be two clusters that look like one.
"""

import os
import stat
from pathlib import Path

from failoverd.errors import StartupError

NETWORK_FILE_SYSTEMS = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "coda", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4"}
    | {"ocfs2", "orangefs", "pvfs2", "smb2", "smb3", "smbfs", "virtiofs"}
)
"""By their names in proc_pid_mountinfo(5); everything under FUSE counts too, since nobody knows what is behind it."""

MOUNTS = Path("/proc/self/mountinfo")


def check_place(path: Path) -> None:
    """Raise ``StartupError`` where the file cannot be or must not be at ``path`` (absolute). Changes nothing."""
    directory = path.parent
    if not directory.is_dir():
        raise StartupError(f"coordinator.path: the directory {directory} does not exist")
    real = Path(os.path.realpath(path))
    kind = file_system(real, MOUNTS.read_text(encoding="utf-8", errors="surrogateescape"))
    if kind is not None and is_network(kind):
        raise StartupError(
            f"coordinator.path: {path} is on {kind}; the sqlite coordinator works on this machine's own disks only"
        )
    if not os.access(real.parent, os.W_OK | os.X_OK):
        raise StartupError(f"coordinator.path: the directory {real.parent} is not writable for us")
    if real.exists():
        _check_file(real)


def _check_file(path: Path) -> None:
    if not stat.S_ISREG(path.stat().st_mode):
        raise StartupError(f"coordinator.path: {path} is not a regular file")
    if not os.access(path, os.R_OK | os.W_OK):
        raise StartupError(f"coordinator.path: {path} is not readable and writable for us")


def is_network(kind: str) -> bool:
    return kind in NETWORK_FILE_SYSTEMS or kind in {"fuse", "fuseblk"} or kind.startswith("fuse.")


def file_system(path: Path, mountinfo: str) -> str | None:
    """The type of the file system that ``path`` (absolute, without symbolic links) lies on; None: not to be found."""
    best: tuple[int, str] | None = None
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(" - ")
        fields = before.split(" ")
        if not separator or len(fields) < 5:
            continue
        mounted = Path(_unescaped(fields[4]))
        depth = len(mounted.parts)
        # Of two mounts on one directory the later line is on top.
        if path.is_relative_to(mounted) and (best is None or depth >= best[0]):
            best = (depth, after.split(" ")[0])
    return None if best is None else best[1]


def _unescaped(text: str) -> str:
    """Undo the octal escapes of proc_pid_mountinfo(5)."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
