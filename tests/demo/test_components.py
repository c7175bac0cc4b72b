"""The demonstration's components, without failoverd: they must be able to tell a good handover from a bad one."""

import ast
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from failoverd.demo import components, customer, evidence, shop
from failoverd.demo.local import free_ports

pytestmark = pytest.mark.processes

WAIT_S = 10.0


class Stage:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.ports = dict(zip(shop.LISTENING, free_ports(len(shop.LISTENING)), strict=True))
        self.processes: list[subprocess.Popen[bytes]] = []
        (root / "shared").mkdir()
        (root / "shop.json").write_text(json.dumps(shop.settings(self.ports, 0.02)))

    def begin(self, node: str, component: str) -> subprocess.Popen[bytes]:
        (self.root / node / "volatile").mkdir(parents=True, exist_ok=True)
        argv = shop.program(components.__file__, shop.PARTS[component].program, self.root, node, component)
        process = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
        self.processes.append(process)
        return process

    def up(self, node: str, component: str) -> subprocess.Popen[bytes]:
        process = self.begin(node, component)
        ready = self.root / node / "volatile" / f"{component}.ready"
        deadline = time.monotonic() + WAIT_S
        while not ready.exists():
            assert process.poll() is None, f"{component} ended"
            assert time.monotonic() < deadline, f"{component} did not come up"
            time.sleep(0.01)
        return process

    def step(self, node: str, component: str, action: str) -> int:
        argv = shop.program(components.__file__, shop.PARTS[component].program, self.root, node, component, action)
        (self.root / node / "volatile").mkdir(parents=True, exist_ok=True)
        return subprocess.run(argv, check=False, timeout=WAIT_S).returncode

    def ask(self, component: str, *words: object) -> str:
        return components.ask(self.ports[component], *words)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    for process in made.processes:
        process.kill()
        process.wait()


def test_the_store_keeps_what_it_acknowledged_even_when_it_is_killed(stage: Stage) -> None:
    for node in ("a", "b"):
        assert stage.step(node, "volume", "monitor") == components.NOT_RUNNING
        assert stage.step(node, "volume", "online") == 0
        assert stage.step(node, "volume", "monitor") == 0
    first = stage.up("a", "store")
    assert stage.ask("store", "put", "order-1", "1") == "1"
    first.kill()
    first.wait()

    stage.up("b", "store")

    assert stage.ask("store", "get", "order-1") == "1"
    assert evidence.stored(stage.root) == {1}


def test_a_second_copy_on_the_other_node_gives_itself_away(stage: Stage) -> None:
    stage.up("a", "queue")

    second = stage.begin("b", "queue")

    assert second.wait(WAIT_S) == 1
    _, wrong = evidence.lives(stage.root, [])
    assert any("running elsewhere" in text for text in wrong)


def test_a_process_writes_down_its_orderly_end(stage: Stage) -> None:
    process = stage.up("a", "queue")
    process.terminate()

    assert process.wait(WAIT_S) == 0
    [life], wrong = evidence.lives(stage.root, [])
    assert not wrong
    assert life.up is not None
    assert life.end is not None
    assert life.begin < life.up < life.end


def test_a_process_that_is_told_to_end_while_it_comes_up_does_so(stage: Stage) -> None:
    process = stage.begin("a", "queue")
    while not (stage.root / "records.jsonl").exists():
        time.sleep(0.001)
    process.send_signal(signal.SIGTERM)

    assert process.wait(WAIT_S) == 0
    assert not (stage.root / "a" / "volatile" / "queue.ready").exists()


def test_the_shop_answers_only_through_all_that_it_needs(stage: Stage, tmp_path: Path) -> None:
    stage.step("a", "volume", "online")
    for component in ("store", "search", "queue", "web"):
        stage.up("a", component)
    notes = tmp_path / "notes"
    command = shop.program(customer.__file__, stage.ports["web"], notes)
    asking = subprocess.Popen(command)
    stage.processes.append(asking)
    wait_for(lambda: len(evidence.acknowledged(notes)) >= 2)

    stage.processes[0].kill()  # the store
    stage.processes[0].wait()
    time.sleep(0.3)
    stage.up("a", "store")

    wait_for(lambda: bool(evidence.gaps(notes, 0.0)))
    [gap, *_] = evidence.gaps(notes, 0.0)
    assert gap.length_s >= 0.25
    asking.terminate()
    assert asking.wait(WAIT_S) == 0
    assert evidence.acknowledged(notes) <= evidence.stored(stage.root)


def wait_for(condition: object) -> None:
    assert callable(condition)
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("file", [components.__file__, customer.__file__])
def test_the_programs_need_nothing_but_the_standard_library(file: str) -> None:
    for node in ast.walk(ast.parse(Path(file).read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names


def test_a_port_without_a_listener_is_an_error_not_an_answer() -> None:
    [port] = free_ports(1)
    with pytest.raises(OSError, match="refused"):
        components.ask(port, "get", "x")
    with socket.socket() as silent:
        silent.bind((components.HOST, port))
