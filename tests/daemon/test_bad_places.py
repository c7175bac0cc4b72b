"""Files and directories that are not as they should be."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from failoverd.demo.local import LocalCluster
from tests.daemon.support import command, daemons, ended, log, one, reconfigure, record, settled, touch, until

pytestmark = pytest.mark.processes


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    with daemons(lambda root: {"g": one({"x": touch(root, "x")})}, start=False) as made:
        yield made


@pytest.fixture(scope="module")
def dormant() -> Iterator[LocalCluster]:
    """Configured, never to run."""
    with daemons(lambda root: {"g": one({"x": touch(root, "x")})}, start=False) as made:
        yield made


# --- the key ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (None, 0o644, "others may read or write it (mode 0644)"),
        (b"", 0o600, "cluster.key"),
        (b"not a key\n", 0o600, "cluster.key"),
        (b"failoverd-key-1:AAAA\n", 0o600, "cluster.key"),
        (os.urandom(5000), 0o600, "cluster.key"),
    ],
    ids=["mode", "empty", "text", "short", "noise"],
)
def test_a_key_that_cannot_be_used_is_refused_in_clear_words(
    dormant: LocalCluster, content: bytes | None, mode: int, said: str
) -> None:
    key = dormant.root / "cluster.key"
    good = key.read_bytes()
    try:
        key.write_bytes(good if content is None else content)
        key.chmod(mode)
        done = command(dormant["a"], "run")
    finally:
        key.write_bytes(good)
        key.chmod(0o600)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert good.decode().split(":")[1].strip() not in done.stderr


def test_a_missing_key_names_the_command_that_makes_one(dormant: LocalCluster) -> None:
    key = dormant.root / "cluster.key"
    good = key.read_bytes()
    key.unlink()
    try:
        done = command(dormant["a"], "run")
    finally:
        key.write_bytes(good)
        key.chmod(0o600)
    assert done.returncode == 1
    assert f"failoverd keygen {key}" in done.stderr


# --- the run_dir, the configuration, the coordinator ---------------------------------------------------------------


def test_a_run_dir_that_is_no_directory_is_refused(dormant: LocalCluster) -> None:
    file = dormant.root / "file"
    file.write_text("")
    config = dormant.root / "elsewhere.yaml"
    config.write_text(dormant["a"].config_file.read_text().replace(str(dormant["a"].run_dir), str(file)))
    done = command(dormant["a"], "run", config=config)
    assert done.returncode == 1
    assert f"run_dir {file} cannot be used" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_invalid_configuration_is_exit_two_with_every_place(dormant: LocalCluster) -> None:
    config = dormant.root / "bad.yaml"
    config.write_text(dormant["a"].config_file.read_text().replace("nodes:\n", "nodez:\n").replace("ttl: 3s", "ttl: x"))
    done = command(dormant["a"], "run", config=config)
    assert done.returncode == 2
    assert len([line for line in done.stderr.splitlines() if line.startswith(f"{config}:")]) >= 2
    assert "Traceback" not in done.stderr


# --- the state_dir ----------------------------------------------------------------------------------------------------


def goes_on(cluster: LocalCluster) -> None:
    settled(cluster, "a")
    for target in ("b", "a"):
        assert command(cluster["a"], "switch", "g", "--to", target).returncode == 0
    assert record(cluster.root)[-1] == "a online x"
    until(lambda: log(cluster["a"], "state.unwritable"), 10, "state.unwritable")


def told_once(cluster: LocalCluster) -> None:
    told = [entry["reason"] for entry in log(cluster["a"], "state.unwritable")]
    files = [reason.split(":")[0] for reason in told]
    assert len(set(files)) == len(files) <= 2, told


def test_a_state_dir_that_is_no_directory_costs_only_what_it_would_remember(cluster: LocalCluster) -> None:
    file = cluster.root / "file"
    file.write_text("")
    reconfigure(cluster["a"], lambda d: d.update(state_dir=str(file)))
    cluster.start()
    goes_on(cluster)
    told_once(cluster)
    assert cluster["a"].terminate() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_a_full_state_dir_costs_only_what_it_would_remember(cluster: LocalCluster, tmp_path: Path) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(tmp_path)], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount here: {mounted.stderr.decode()}")
    try:
        (tmp_path / "filler").write_bytes(b"x" * 8192)
        reconfigure(cluster["a"], lambda d: d.update(state_dir=str(tmp_path)))
        cluster.start()
        settled(cluster, "a")
        with (tmp_path / "filler").open("ab", buffering=0) as filler:
            try:
                while filler.write(b"x" * 512):
                    pass
            except OSError:
                pass
        goes_on(cluster)
        told_once(cluster)
        assert cluster["a"].terminate() == 0
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=False, capture_output=True)


def test_a_coordinator_file_that_is_none_is_refused(cluster: LocalCluster) -> None:
    (cluster.root / "coordinator.sqlite").write_bytes(b"this is no database, whatever its name says" * 100)
    cluster["a"].start()
    status, said = ended(cluster["a"])
    assert status == 1
    assert "coordinator.sqlite" in said
    assert "Traceback" not in said
