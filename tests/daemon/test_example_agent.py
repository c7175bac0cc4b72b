"""The example of the agents' documentation: a package of somebody else's, installed by pip, in real daemons."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.daemon import support

EXAMPLE = Path(__file__).parents[2] / "docs" / "example-agent"
INSTALL = ("-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--no-build-isolation")

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the example in it, as pip installs it."""
    target = tmp_path_factory.mktemp("site")
    # A copy: building it leaves nothing in the documentation.
    copy = tmp_path_factory.mktemp("source") / "example"
    subprocess.run(["cp", "-r", str(EXAMPLE), str(copy)], check=True, timeout=20)
    done = subprocess.run(
        [sys.executable, *INSTALL, "--no-index", "--target", str(target), str(copy)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(autouse=True)
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(site))


def failoverd(*words: str) -> subprocess.CompletedProcess[str]:
    typed = [sys.executable, "-m", "failoverd", *words]
    return subprocess.run(typed, capture_output=True, text=True, timeout=60, check=False, env=dict(os.environ))


def test_it_is_listed_and_described() -> None:
    listed = json.loads(failoverd("agents", "--json").stdout)
    assert "sysctl" in {each["type"] for each in listed["types"]}
    described = json.loads(failoverd("agents", "sysctl", "--json").stdout)
    assert [(key["name"], key["required"]) for key in described["keys"]] == [
        ("key", True),
        ("online", True),
        ("offline", True),
    ]


def test_it_moves_with_its_group_and_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def groups(root: Path) -> dict[str, Any]:
        del root
        keys = {"type": "sysctl", "key": "net.forward", "online": "1", "offline": "0", "monitor": {"interval": "1s"}}
        return {"g": support.one({"forward": keys})}

    files = {node: tmp_path / node / "net" / "forward" for node in "ab"}
    with support.daemons(groups, start=False) as cluster:
        for node, file in files.items():
            file.parent.mkdir(parents=True)
            file.write_text("0")
            monkeypatch.setenv("SYSCTL_ROOT", str(tmp_path / node))  # each node has a kernel of its own
            cluster[node].start()
        owner = cluster.wait_group("g", state="online", owner=None, timeout_s=support.PATIENCE_S)["owner"]
        other = "b" if owner == "a" else "a"
        assert {node: file.read_text() for node, file in files.items()} == {owner: "1", other: "0"}
        files[owner].write_text("0")
        support.until(lambda: support.log(cluster[owner], "component.changed_externally"), what="found by the monitor")
        support.until(lambda: files[owner].read_text() == "1", what="restarted")
        support.settled(cluster, owner)
        cluster[owner].ask("switch", group="g", to=other, wait=True, timeout_s=support.PATIENCE_S)
        assert {node: file.read_text() for node, file in files.items()} == {owner: "0", other: "1"}


def test_a_fault_in_its_keys_has_its_place(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(
        "cluster: c\nnode: a\nnodes: {a: {address: '127.0.0.1:7801'}}\n"
        f"coordinator: {{type: sqlite, path: {tmp_path}/c}}\n"
        "groups:\n  g:\n    components:\n"
        "      f: {type: sysctl, key: nonsense, online: '1', offlin: '0'}\n"
    )
    done = failoverd("check", "--config", str(file))
    assert done.returncode == 2
    assert f"{file}:8:30: 'key': must be the name of a kernel parameter" in done.stderr
    assert "unknown key 'offlin' (did you mean 'offline'?)" in done.stderr
