"""The stand-ins for the cluster manager's commands, as agents call them."""

import os
import subprocess
from pathlib import Path

import pytest

from failoverd.agents.ocf.environment import TOOLS

pytestmark = pytest.mark.processes
NO_SUCH = 105
DISCONNECTED = 102


class Node:
    def __init__(self, store: Path, name: str = "a") -> None:
        self.environment = {
            "PATH": f"{TOOLS}:{os.environ['PATH']}",
            "FAILOVERD_OCF_ATTRIBUTES": str(store),
            "FAILOVERD_NODE": name,
            "OCF_RESKEY_CRM_meta_on_node": name,
            "OCF_RESOURCE_INSTANCE": "g.db",
        }

    def __call__(self, line: str) -> tuple[int, str]:
        done = subprocess.run(
            ["/bin/sh", "-c", line], env=self.environment, capture_output=True, text=True, timeout=20, check=False
        )
        return done.returncode, done.stdout.strip()


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "attributes")


def test_promotion_scores(node: Node) -> None:
    assert node("crm_master -l reboot -v 5") == (0, "")
    assert node("crm_master -G -q") == (0, "5")
    assert node("crm_attribute -p -G -q") == (0, "5"), "the same by the newer command"
    assert node("crm_attribute --promotion g.db --query --quiet") == (0, "5")
    assert node("crm_attribute -p other --query --quiet")[0] == NO_SUCH
    assert node("crm_attribute -p -v 7 && crm_master -G") == (0, "scope=status  name=master-g.db value=7")
    assert node("crm_master -N b -v 9 && crm_master -N b -G -q && crm_master -G -q") == (0, "9\n7")
    assert node("crm_master -D && crm_master -G -q")[0] == NO_SUCH
    assert node("crm_master -D") == (0, ""), "nothing to delete is no failure"


def test_attributes_of_nodes_and_of_the_cluster(node: Node) -> None:
    assert node("crm_attribute -N b -l reboot --name up -v 'a b'; crm_attribute -N b -l reboot -n up --quiet") == (
        0,
        "a b",
    )
    assert node("crm_attribute -N b -l forever --name up --query -q")[0] == NO_SUCH, "another lifetime, another value"
    assert node("crm_attribute -n up --query -d none -q") == (0, "none")
    put = "crm_attribute --type crm_config --name REPL_INFO -s mysql_replication"
    assert node(f"{put} -v 'h|bin.1|7'; {put} --query -q") == (0, "h|bin.1|7")
    assert node(
        "crm_attribute -l reboot -n n -v value++; crm_attribute -l reboot -n n -v value+=4; "
        "crm_attribute -l reboot -n n -q"
    ) == (0, "5")


def test_attrd_updater(node: Node, tmp_path: Path) -> None:
    assert node("attrd_updater -p -n g.db-gtid -U 0-1-2")[0] == 0
    assert node("attrd_updater -p -n g.db-gtid -Q -N a") == (0, 'name="g.db-gtid" host="a" value="0-1-2"')
    assert node("attrd_updater -n g.db-gtid -Q -N b")[0] == NO_SUCH
    Node(tmp_path / "attributes", "b")("attrd_updater -n g.db-gtid -v 3 -d 5s -S status")
    both = 'name="g.db-gtid" host="a" value="0-1-2"\nname="g.db-gtid" host="b" value="3"'
    assert node("attrd_updater -n g.db-gtid -Q -A") == (0, both)
    assert node("attrd_updater -D -n g.db-gtid; attrd_updater -n g.db-gtid -Q")[0] == NO_SUCH


def test_this_node_is_known(node: Node) -> None:
    assert node("crm_node -n") == (0, "a")
    assert node("crm_node -l") == (0, "1 a member")
    assert node("crm_node -q") == (0, "1")


@pytest.mark.parametrize("command", ["crm_mon -1", "crm_resource -r x -W", "cibadmin -Q", "crm_simulate -Ls"])
def test_there_is_no_cluster_to_ask(node: Node, command: str) -> None:
    assert node(command) == (DISCONNECTED, "")


@pytest.mark.parametrize(
    "line",
    [
        "crm_attribute -l reboot -n ../../out -v 1",
        "crm_attribute -l reboot -N ../out -n x -v 1",
        "attrd_updater -n .. -U 1",
        "crm_attribute -v 1",
        "crm_attribute --nonsense",
        "attrd_updater -n x",
    ],
)
def test_nothing_is_written_elsewhere(node: Node, tmp_path: Path, line: str) -> None:
    assert node(line)[0] != 0
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_they_can_be_run() -> None:
    for tool in TOOLS.iterdir():
        assert os.access(tool, os.X_OK) == (tool.suffix != ".sh"), tool
