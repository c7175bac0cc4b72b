"""The commands as whole processes against a fake daemon: what they print, and how they end."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from failoverd.log.catalogue import Event
from tests.unit.cli.documents import EVENTS, PLAN, Daemon, handover, status
from tests.unit.control.fakes import RecordingLog, serving_in_thread

GOLDEN = Path(__file__).parent / "golden"
TIMEOUT_S = 30.0
ENVIRON = {key: value for key, value in os.environ.items() if not key.startswith(("FAILOVERD_", "COLUMNS"))}


@dataclass
class Running:
    run_dir: Path
    daemon: Daemon
    log: RecordingLog


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    run_dir = tmp_path_factory.mktemp("run")
    daemon = Daemon()
    with serving_in_thread(run_dir, daemon) as log:
        yield Running(run_dir, daemon, log)


def failoverd(*arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "failoverd", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        env=ENVIRON | environ,
    )


def ask(running: Running, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return failoverd(*arguments, FAILOVERD_RUN_DIR=str(running.run_dir), **environ)


def golden(name: str, found: str) -> None:
    """Compare with the file; ``UPDATE_GOLDEN=1`` writes it instead, for the difference to be reviewed."""
    path = GOLDEN / name
    if "UPDATE_GOLDEN" in os.environ:
        path.write_text(found)
    assert found == path.read_text()


@pytest.mark.parametrize(
    ("name", "arguments", "columns"),
    [
        ("status.txt", ["status"], None),
        ("status_narrow.txt", ["status"], "72"),
        ("status_group.txt", ["status", "shop"], None),
        ("status.json", ["status", "--json"], None),
        ("switch.txt", ["switch", "shop", "--to", "b"], None),
        ("switch.json", ["switch", "shop", "--to", "b", "--json"], None),
        ("switch_no_wait.txt", ["switch", "shop", "--no-wait"], None),
        ("events.txt", ["events"], None),
        ("events.json", ["events", "--json", "-n", "1"], None),
        ("events_follow.txt", ["events", "--follow"], None),
        ("reload.txt", ["reload"], None),
        ("plan.json", ["plan", "shop", "--json"], None),
    ],
)
def test_output_is_stable(running: Running, name: str, arguments: list[str], columns: str | None) -> None:
    done = ask(running, *arguments, **({"COLUMNS": columns} if columns else {}))
    assert (done.stderr, done.returncode) == ("", 0)
    if columns:
        assert max(map(len, done.stdout.splitlines())) <= int(columns)
    golden(name, done.stdout)


@pytest.mark.parametrize(
    "arguments",
    [
        ["freeze", "shop", "--reason", "storage work"],
        ["freeze", "--all"],
        ["thaw", "--node", "a"],
        ["resume", "a"],
        ["clear", "shop", "db"],
        ["clear", "shop", "--node", "b_2"],
        ["drain", "a"],
        ["drain", "a", "--json"],
        ["drain", "a", "--no-wait"],
        ["why", "shop"],
        ["why", "shop", "--json"],
        ["history"],
        ["history", "shop", "--json", "-n", "1"],
        ["history", "shop", "--id", "last"],
        ["history", "--id", "restart"],
        ["history", "--id", "nothing"],
    ],
    ids=" ".join,
)
def test_answers_and_exit_statuses_are_stable(running: Running, arguments: list[str]) -> None:
    done = ask(running, *arguments)
    said = f"exit status {done.returncode}\n--- stdout\n{done.stdout}--- stderr\n{done.stderr}"
    golden("_".join(each.strip("-").replace(" ", "_") for each in arguments) + ".txt", said)


def test_json_is_the_daemons_document(running: Running) -> None:
    for arguments, document in (
        (["status"], status()),
        (["plan", "shop"], PLAN),
        (["events"], {"version": 1, "events": EVENTS}),
        (["online", "shop", "--on", "b"], handover()),
        (["offline", "shop"], handover()),
    ):
        assert json.loads(ask(running, *arguments, "--json").stdout) == document


def test_streams_of_json_are_one_document_a_line(running: Running) -> None:
    watched = ask(running, "status", "--watch", "--json").stdout.splitlines()
    assert [json.loads(line)["node"] for line in watched] == ["a", "changed"]
    followed = ask(running, "events", "--follow", "--json").stdout.splitlines()
    assert [json.loads(line) for line in followed] == EVENTS


def test_watching_without_a_terminal_prints_one_after_the_other(running: Running) -> None:
    shown = ask(running, "status", "-w").stdout
    assert shown.index("seen by a") < shown.index("seen by changed")


@pytest.mark.parametrize(
    ("arguments", "status_", "said"),
    [
        (["switch", "refused"], 1, "failoverd: b is suspected: silent on every link"),
        (["switch", "fails"], 1, "failoverd: switch of fails failed: web on b: exit status 1"),
        (["switch", "breaks"], 1, "failoverd: internal error in 'switch': ZeroDivisionError"),
        (["switch", "nope"], 2, "failoverd: there is no group 'nope'; there are: mail, shop"),
        (["online", "nope", "--json"], 2, "there is no group 'nope'"),
        (["confirm-off", "b_2", "--yes"], 1, "failoverd: b_2 is not off: its heartbeats arrive"),
        (["confirm-off", "w"], 1, "failoverd: confirm-off asks a person: where there is none, write --yes"),
        (["status", "nope"], 2, "failoverd: there is no group 'nope'"),
        (["switch", "late"], 4, "not done within 1s; switch of late goes on in the daemon"),
        (["switch"], 2, "Missing argument 'GROUP'"),
        (["switch", "shop", "--timeout", "soon"], 2, "'soon' is not a duration"),
        (["switch", "shop", "--timeout", "0s"], 2, "--timeout"),
        (["status", "--jsn"], 2, "No such option"),
        (["status", "one", "two"], 2, "unexpected extra argument"),
        (["events", "--limit", "-1"], 2, "--limit"),
        (["nonsense"], 2, "No such command 'nonsense'"),
    ],
)
def test_failures_have_a_reason_and_a_status(running: Running, arguments: list[str], status_: int, said: str) -> None:
    done = ask(running, *arguments)
    assert done.returncode == status_
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_failed_handover_is_shown_as_json_all_the_same(running: Running) -> None:
    done = ask(running, "switch", "fails", "--json")
    assert json.loads(done.stdout)["state"] == "failed"
    assert done.returncode == 1


def test_a_defect_of_the_daemon_is_in_its_log(running: Running) -> None:
    ask(running, "switch", "breaks")
    assert "ZeroDivisionError" in running.log.named(Event.DAEMON_INTERNAL_ERROR)[-1]["traceback"]


@pytest.mark.parametrize(
    "command",
    [
        "status",
        "status --watch",
        "switch g",
        "online g",
        "offline g",
        "events",
        "reload",
        "freeze g",
        "thaw --all",
        "drain a",
        "resume a",
        "clear g",
    ],
)
def test_without_a_daemon(tmp_path: Path, command: str) -> None:
    done = failoverd(*command.split(), "--run-dir", tmp_path)
    assert done.returncode == 3
    assert f"no daemon answers on {tmp_path}/control.sock" in done.stderr


def test_a_configuration_that_was_named_must_be_there(tmp_path: Path) -> None:
    done = failoverd("status", "--config", tmp_path / "absent.yaml")
    assert done.returncode == 2
    assert "absent.yaml:1:1:" in done.stderr


def test_the_wait_is_bounded_and_what_goes_on_is_said(running: Running) -> None:
    done = ask(running, "switch", "hangs", "--timeout", "200ms")
    assert done.returncode == 4
    assert "switch of hangs goes on in the daemon, see: failoverd status hangs" in done.stderr
    assert running.daemon.asked[-1][1]["timeout_s"] == 0.2


@pytest.mark.parametrize("command", ["switch", "online", "offline"])
def test_an_interrupt_ends_the_command_not_the_handover(running: Running, command: str) -> None:
    # Whoever runs the tests in the background has us ignore SIGINT, and our children too.
    with subprocess.Popen(
        ["env", "--default-signal=INT", sys.executable, "-m", "failoverd", command, "hangs"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRON | {"FAILOVERD_RUN_DIR": str(running.run_dir)},
    ) as process:
        assert process.stdout is not None
        begun = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        try:
            _, complaint = process.communicate(timeout=TIMEOUT_S)
        finally:
            process.kill()
    assert "hangs: a -> b" in begun
    assert process.returncode == 130
    assert f"{command} of hangs goes on in the daemon" in complaint
    assert "Traceback" not in complaint


@pytest.mark.parametrize("command", ["status", "status --json", "events", "switch shop"])
def test_a_reader_that_leaves_is_no_drama(running: Running, command: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "failoverd", *command.split()],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        env=ENVIRON | {"FAILOVERD_RUN_DIR": str(running.run_dir)},
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_an_operators_word_is_passed_on(running: Running) -> None:
    done = ask(running, "confirm-off", "w", "--yes")
    assert (done.returncode, done.stdout) == (0, "w counts as off, by your word\n")
    assert running.daemon.asked[-1] == ("confirm_off", {"node": "w"})
    assert json.loads(ask(running, "confirm-off", "w", "--yes", "--json").stdout)["by"] == "a uid=0 pid=7"


@pytest.mark.parametrize(("typed", "asked"), [("w\n", True), ("y\n", False), ("yes\n", False), ("\n", False)])
def test_an_operators_word_is_the_nodes_name(running: Running, typed: str, asked: bool) -> None:
    before = len(running.daemon.asked)
    status_, shown = on_terminal(running, "confirm-off", "w", typed=typed)
    assert "the same components run twice" in text_of(shown)
    assert status_ == (0 if asked else 1)
    assert (len(running.daemon.asked) > before) == asked


def on_terminal(
    running: Running, *arguments: str, columns: int = 100, term: str = "xterm", typed: str = ""
) -> tuple[int, str]:
    """The exit status and what appears on a terminal of that width; ``typed`` is what is entered there."""
    leader, terminal = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "failoverd", *arguments],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=ENVIRON | {"FAILOVERD_RUN_DIR": str(running.run_dir), "COLUMNS": str(columns), "LINES": "40", "TERM": term},
    )
    os.close(terminal)
    os.write(leader, typed.encode())
    shown = bytearray()
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            data = os.read(leader, 65536)
        except OSError:  # what Linux answers once nobody has the terminal open any more
            break
        shown += data
    os.close(leader)
    return process.wait(TIMEOUT_S), shown.decode()


def text_of(shown: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_status_fits_any_terminal(running: Running, columns: int) -> None:
    code, shown = on_terminal(running, "status", columns=columns)
    assert code == 0
    assert "\x1b[" in shown
    assert all(len(line) <= columns for line in text_of(shown).splitlines())
    # What an agent prints is shown, but never obeyed.
    assert "[red]no[/red]" in text_of(shown).replace("\r\n", "").replace(" ", "") or columns == 40
    assert "\x1b[31mspace" not in shown


def test_switch_draws_a_live_timeline_on_a_terminal(running: Running) -> None:
    code, shown = on_terminal(running, "switch", "shop", "--to", "b")
    assert code == 0
    assert "1.60" in text_of(shown)
    assert "web" in text_of(shown)
    assert "\x1b[?25h" in shown  # the cursor is back


def test_watch_is_live_on_a_terminal(running: Running) -> None:
    code, shown = on_terminal(running, "status", "--watch")
    assert code == 0
    assert "seen by changed" in text_of(shown)


def test_help_and_version() -> None:
    assert re.fullmatch(r"failoverd \d+\.\d+\.\d+\n", failoverd("--version").stdout)
    help_text = failoverd("--help").stdout
    commands = "run check status switch online offline plan events reload keygen schema demo"
    for command in commands.split():
        assert f"\n  {command} " in help_text
    assert "--no-wait" in failoverd("switch", "-h").stdout


def test_keygen(tmp_path: Path) -> None:
    path = tmp_path / "key"
    assert failoverd("keygen", path).returncode == 0
    assert path.stat().st_mode & 0o777 == 0o600
    again = failoverd("keygen", path)
    assert again.returncode == 1
    assert "exists already" in again.stderr


def params(running: Running, *arguments: str) -> dict[str, Any]:
    ask(running, *arguments, "--json")
    return running.daemon.asked[-1][1]


def test_what_the_daemon_is_asked(running: Running) -> None:
    common = {"wait": True, "timeout_s": 600.0, "updates": False}
    assert params(running, "switch", "shop", "--to", "b") == {"group": "shop", "to": "b", **common}
    assert params(running, "switch", "shop", "--no-wait", "--timeout", "1.5") == {
        "group": "shop",
        "wait": False,
        "timeout_s": 1.5,
        "updates": False,
    }
    assert params(running, "online", "shop", "--on", "b") == {"group": "shop", "on": "b", **common}
    assert params(running, "offline", "shop") == {"group": "shop", **common}
    assert params(running, "plan", "shop", "--from", "a", "--to", "b", "--down", "c") == {
        "group": "shop",
        "from": "a",
        "to": "b",
        "down": "c",
    }
    assert params(running, "events", "--limit", "7") == {"follow": False, "limit": 7}
