"""The daemon's log as a whole: its three forms, and that nothing which happens to an output disturbs the daemon."""

import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from failoverd.log.catalogue import Event
from failoverd.log.journal import JournalSocket, datagram, is_journal
from failoverd.log.line import readable
from failoverd.log.outputs import JournalOutput, StreamOutput, json_processors
from failoverd.log.ring import EventRing
from failoverd.log.setup import LibraryMessages, StructlogEventLog, setup

WALL = "2026-01-02T03:04:05.000006Z"


def open_log(fd: int, state_dir: Path | None = None, environ: dict[str, str] | None = None) -> Any:
    return setup(cluster="shop", node="a", wall=lambda: WALL, state_dir=state_dir, fd=fd, environ=environ or {})


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for fd in (reading, writing):
        try:
            os.close(fd)
        except OSError:
            continue


def test_json_lines_begin_with_what_every_event_has(pipe: tuple[int, int], tmp_path: Path) -> None:
    with open_log(pipe[1], tmp_path) as log:
        log.emit(Event.GROUP_BLOCKED, group="g", reason="nö", ts="mine", paths={Path("/x")})
    line = os.read(pipe[0], 65536).decode()
    assert line.count("\n") == 1
    event = json.loads(line)
    assert list(event)[:5] == ["event", "ts", "level", "cluster", "node"]
    assert event == {
        "event": "group.blocked",
        "ts": WALL,
        "level": "critical",
        "cluster": "shop",
        "node": "a",
        "group": "g",
        "reason": "nö",
        "field_ts": "mine",
        "paths": ["/x"],
    }
    assert (tmp_path / "events.jsonl").read_text() == line
    assert log.ring.latest() == [event]


def test_a_restarted_daemon_remembers_the_events_before(pipe: tuple[int, int], tmp_path: Path) -> None:
    for group in ("one", "two"):
        with open_log(pipe[1], tmp_path) as log:
            log.emit(Event.GROUP_ONLINE, group=group)
    assert [event["group"] for event in log.ring.latest()] == ["one", "two"]


def test_colours_on_a_terminal() -> None:
    leader, terminal = os.openpty()
    with open_log(terminal) as log:
        log.emit(Event.PEER_DOWN, peer="b", traceback="Traceback:\n  boom")
    shown = os.read(leader, 65536).decode()
    os.close(leader)
    os.close(terminal)
    assert "\x1b[" in shown
    assert "peer.down" in shown
    assert "boom" in shown
    assert "{" not in shown


def test_no_color_is_respected() -> None:
    leader, terminal = os.openpty()
    with open_log(terminal, environ={"NO_COLOR": "1"}) as log:
        log.emit(Event.PEER_DOWN, peer="b")
    shown = os.read(leader, 65536).decode()
    os.close(leader)
    os.close(terminal)
    assert "\x1b[" not in shown
    assert "peer=b" in shown


def test_an_output_that_nobody_reads_holds_nobody_up(pipe: tuple[int, int]) -> None:
    with open_log(pipe[1]) as log:
        began = time.monotonic()
        for _ in range(5_000):  # several times what a pipe holds
            log.emit(Event.COMPONENT_ONLINE, group="g", component="c" * 100)
        assert time.monotonic() - began < 2.0
        assert not log.drain(0.05)
        os.close(pipe[0])
    assert len(log.ring.latest()) == 2_000


def test_events_that_did_not_fit_are_counted_once_it_goes_on() -> None:
    reading, writing = os.pipe()
    log = StructlogEventLog(cluster="shop", node="a", wall=lambda: WALL, ring=EventRing())
    log.add_output(StreamOutput(writing, json_processors()).write, "stderr")
    for number in range(25_000):
        log.emit(Event.COMPONENT_ONLINE, component=f"c{number}", filler="x" * 50)
    data = bytearray()
    while b"events.lost" not in data:
        data += os.read(reading, 65536)
    complaint = next(line for line in data.split(b"\n") if b"events.lost" in line)
    assert json.loads(complaint)["lost"] > 0
    assert json.loads(complaint)["output"] == "stderr"
    os.close(reading)
    log.close()
    os.close(writing)


@pytest.mark.parametrize("fd", [-1, 9_999])
def test_a_closed_stderr_is_survived(fd: int, tmp_path: Path) -> None:
    with open_log(fd, tmp_path) as log:
        log.emit(Event.DAEMON_READY)
    assert "daemon.ready" in (tmp_path / "events.jsonl").read_text()


def test_an_unwritable_state_dir_is_said_on_stderr(pipe: tuple[int, int], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with open_log(pipe[1], tmp_path / "file") as log:
        log.emit(Event.DAEMON_READY)
        assert log.drain(5)
    found = [json.loads(line)["event"] for line in os.read(pipe[0], 65536).splitlines()]
    assert found == ["daemon.ready", "state.unwritable"]


def test_what_libraries_say_becomes_an_event(pipe: tuple[int, int]) -> None:
    with open_log(pipe[1]) as log:
        logging.getLogger("some.library").warning("retrying %s", "db")
        LibraryMessages(log).handle(logging.LogRecord("some.library", 30, "", 0, "%d", ("no number",), None))
        logging.getLogger("some.library").info("not this")
        logging.getLogger("some.library").error("failed", exc_info=ValueError("inner"))
    logging.getLogger("some.library").debug("nor that")
    first, second, third = log.ring.latest()
    assert (first["event"], first["message"], first["logger"]) == (
        "daemon.library_message",
        "retrying db",
        "some.library",
    )
    assert second["message"] == "%d"
    assert "ValueError: inner" in third["traceback"]


def test_native_journal_entries_and_json_where_there_is_no_journal(pipe: tuple[int, int], tmp_path: Path) -> None:
    path = str(tmp_path / "journal")
    record = {
        "event": "peer.down",
        "ts": WALL,
        "level": "error",
        "cluster": "shop",
        "node": "a",
        "peer": "b",
        "odd-Key": 1,
    }
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(path)
    journal = JournalSocket(path)
    output = JournalOutput(StreamOutput(pipe[1], json_processors()), readable, journal)
    output.write([record])
    fields = dict(line.split("=", 1) for line in receiver.recv(65536).decode().splitlines())
    assert fields["PRIORITY"] == "3"
    assert fields["MESSAGE"] == "peer.down peer=b odd-Key=1"
    assert fields["FAILOVERD_PEER"] == "b"
    assert fields["FAILOVERD_ODD_KEY"] == "1"
    receiver.close()
    output.write([record])
    journal.close()
    assert json.loads(os.read(pipe[0], 65536))["event"] == "peer.down"


def test_journal_values_of_several_lines_are_length_prefixed() -> None:
    entry = datagram({"level": "info", "output": "one\ntwo"}, "message")
    assert b"FAILOVERD_OUTPUT\n\x07\x00\x00\x00\x00\x00\x00\x00one\ntwo\n" in entry


def test_the_journal_is_known_by_device_and_inode(pipe: tuple[int, int]) -> None:
    status = os.fstat(pipe[1])
    assert is_journal(pipe[1], {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
    assert not is_journal(pipe[1], {"JOURNAL_STREAM": "1:1"})
    assert not is_journal(pipe[1], {})
    assert not is_journal(9_999, {"JOURNAL_STREAM": "1:1"})


def test_an_event_costs_little(tmp_path: Path) -> None:
    """A handover of 400 components emits 1,700 events; the bound is loose because the machine may be busy."""
    with (tmp_path / "stderr").open("wb") as sink, open_log(sink.fileno(), tmp_path) as log:
        began = time.process_time()
        for number in range(1_700):
            log.emit(Event.COMPONENT_ONLINE, group="g", component=f"c{number}", generation=7, duration_s=0.5)
        log.drain(5)
        each_s = (time.process_time() - began) / 1_700
    assert each_s < 500e-6
