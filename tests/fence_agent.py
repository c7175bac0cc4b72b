"""A fence agent for tests, as real as it gets without a machine: run as a program, it speaks the interface of
fence-agents, writes down each of its calls, and its device is the power of one node of a ``LocalCluster``.

Parameters: ``root`` and ``plug`` (the cluster's directory and the node), ``cluster``; ``takes`` (seconds of each call),
``mood`` (a file; its content says how the device behaves: empty or missing well, ``fail``, ``hang``, ``deaf`` (says
that it is done and does nothing), ``lost`` (does it and fails)).
"""

import json
import stat
import subprocess
import sys
import time
from pathlib import Path

from failoverd.demo.local import LocalNode

METADATA = """<?xml version="1.0" ?>
<resource-agent name="fence_trial" shortdesc="The power of a node of a trial">
<parameters>
<parameter name="action" required="1"/>
<parameter name="root" required="1"/>
<parameter name="plug" required="1" obsoletes="port"/>
<parameter name="port" required="1" deprecated="1"/>
<parameter name="cluster" required="0"/>
<parameter name="takes" required="0"/>
<parameter name="mood" required="0"/>
<parameter name="password" required="0"/>
</parameters>
<actions>
<action name="on" automatic="0"/><action name="off"/><action name="status"/><action name="monitor"/>
<action name="metadata"/>
</actions>
</resource-agent>
"""
OFF = 2


def install(directory: Path, name: str = "fence_trial") -> Path:
    """Put it where a configuration can name it."""
    path = directory / name
    here = Path(__file__).resolve().parent.parent
    path.write_text(
        f"#!{sys.executable} -I\nimport sys\nsys.path.insert(0, {str(here)!r})\n"
        "from tests.fence_agent import main\nsys.exit(main())\n"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def calls(root: Path) -> list[dict[str, str]]:
    """What the agent was asked, oldest first; without any secret."""
    path = root / "fence.calls"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def main() -> int:
    given = dict(line.split("=", 1) for line in sys.stdin.read().splitlines() if "=" in line)
    action = given.get("action", "")
    if action == "metadata":
        print(METADATA)
        return 0
    root, plug = Path(given["root"]), given["plug"]
    seen = {k: v for k, v in given.items() if k != "password"}
    note = {**seen, "password_given": str("password" in given), "argv": " ".join(sys.argv[1:])}
    with (root / "fence.calls").open("a") as file:
        file.write(json.dumps(note) + "\n")
    mood = Path(given["mood"]).read_text().strip() if Path(given.get("mood", "/nowhere")).exists() else ""
    if mood == "hang":
        subprocess.Popen(["/bin/sleep", "301"])  # in its process group, and to be gone with it
        time.sleep(300)
    time.sleep(float(given.get("takes", 0)))
    if mood == "fail":
        print(f"the device says no, {given.get('password', '')}")
        return 1
    return _carry_out(action, LocalNode(name=plug, cluster=given.get("cluster", ""), root=root), mood)


def _carry_out(action: str, node: LocalNode, mood: str) -> int:
    if action == "off":
        if mood != "deaf":
            node.cut_power()
        return 1 if mood == "lost" else 0
    return OFF if not list(node.pids()) else 0
