"""An address and a file system as components of real daemons, in namespaces of their own."""

import signal
from pathlib import Path
from typing import Any

from tests.daemon.support import daemons, log, one, settled, until
from tests.isolated import ip, isolated, pair, run

ADDRESS = "10.9.0.100"


def there(directory: Path) -> tuple[bool, bool]:
    """Whether the address and the file system are."""
    return ADDRESS in ip("addr show dev eth0"), f" {directory} " in run("cat", "/proc/self/mountinfo")


@isolated
def test_an_address_and_a_file_system_go_with_the_lease_and_come_back(tmp_path: Path) -> None:
    """B is there first, and only for the quorum of two: both share this one machine."""
    pair()
    directory, image = tmp_path / "srv", tmp_path / "image"
    run("truncate", "-s", "4M", str(image))
    run("mkfs.ext4", "-q", "-F", str(image))
    disk = {"type": "mount", "device": str(image), "directory": str(directory), "fstype": "ext4"}
    components: dict[str, Any] = {
        "disk": disk | {"make_directory": True},
        "ip": {"type": "ip", "address": f"{ADDRESS}/24", "interface": "eth0", "depends_on": ["disk"]},
    }
    with daemons(lambda _root: {"g": one(components, nodes=["a"])}, start=False) as cluster:
        for name in ("b", "a"):
            cluster[name].start()
            cluster[name].wait_ready()
        settled(cluster, "a")
        assert there(directory) == (True, True)

        ip(f"addr del {ADDRESS}/24 dev eth0")
        until(lambda: there(directory)[0], what="the address is back")
        changed = until(lambda: log(cluster["a"], "component.changed_externally"), what="it is told")
        said = [(each["component"], each["reason"]) for each in changed]
        assert said == [("ip", f"{ADDRESS}/24 was taken from its interface")], said
        settled(cluster, "a")

        process = cluster["a"].process
        assert process is not None
        process.send_signal(signal.SIGKILL)
        process.wait(5)
        until(lambda: there(directory) == (False, False), what="the guard has taken both down")

        cluster["a"].start()
        cluster["a"].wait_ready()
        until(lambda: there(directory) == (True, True), what="both are back")
        settled(cluster, "a")
        cluster["a"].ask("offline", group="g", wait=True, timeout_s=20.0)
        assert there(directory) == (False, False)
