"""The programs that a ``mount`` component runs: everything that may wait for a device or a server is done by them."""

from failoverd.agents.mount.params import CHECKED, Fsck, MountParams, Test
from failoverd.ports import RunRequest

_ENV = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
_READ_BLOCK = ("dd", "iflag=direct", "bs=4096", "count=1", "of=/dev/null", "status=none")
_WRITE = """
set -e
said="$(cat /proc/sys/kernel/random/uuid)"
echo "$said" > "$0"
sync "$0"
read -r heard < "$0"
[ "$said" = "$heard" ]
rm -f "$0"
"""

ALREADY_CORRECTED = 1
"""fsck(8): errors were corrected."""


def request(argv: tuple[str, ...], timeout_s: float) -> RunRequest:
    return RunRequest(argv=argv, env=_ENV, timeout_s=max(timeout_s, 0.001))


def mount(params: MountParams) -> tuple[str, ...]:
    options = [option for option in params.options if option not in ("bind", "rbind")]
    if params.kind == "image":
        options.append("loop")
    words = ["mount"]
    if params.kind == "bind":
        words.append("--rbind" if "rbind" in params.options else "--bind")
    elif params.fstype is not None:
        words += ["-t", params.fstype]
    if options:
        words += ["-o", ",".join(options)]
    return (*words, "--", params.source, params.directory)


def unmount(directory: str, *, force: bool = False, lazy: bool = False) -> tuple[str, ...]:
    """By the path as the kernel has it: nothing of it is looked at first."""
    return ("umount", "--no-canonicalize", *(["-f"] if force else []), *(["-l"] if lazy else []), "--", directory)


def make_directory(params: MountParams) -> tuple[str, ...]:
    return ("mkdir", "-p", "--", params.directory)


def resolve(directory: str) -> tuple[str, ...]:
    return ("readlink", "-m", "--", directory)


def check(params: MountParams, device: str) -> tuple[str, ...] | None:
    """The program that checks the file system; None where it is not to be checked."""
    if params.fsck is Fsck.NEVER or params.kind not in ("block", "image") or params.fstype is None:
        return None
    program = f"fsck.{params.fstype}"
    if params.fsck is Fsck.ALWAYS:
        return (program, "-f", "-p", device) if params.fstype in CHECKED else (program, "-a", device)
    return (program, "-p", device) if params.fstype in CHECKED else None


def test(params: MountParams, device: str, file: str) -> tuple[str, ...] | None:
    """The program whose success proves that the storage answers; None where nothing is asked of it."""
    if params.test is Test.WRITE and not params.read_only:
        return ("/bin/sh", "-c", _WRITE, f"{params.directory}/{file}")
    if params.test is Test.NONE:
        return None
    if params.kind == "block":
        return (*_READ_BLOCK, f"if={device}")
    return ("stat", "--file-system", "--", params.directory)
