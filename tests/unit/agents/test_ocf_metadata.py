"""What is read from an agent's meta-data, and what is not believed."""

import json
import os
from pathlib import Path

import pytest

from failoverd.agents.ocf.metadata import BYTES_MAX, BadMetaData, parse, seconds
from failoverd.agents.ocf.reading import Reader, ask_agent, cache_directory

GOOD = b"""<?xml version="1.0"?>
<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd">
<resource-agent name="db" version="1.0">
<shortdesc lang="en">A
  database</shortdesc>
<parameters>
<parameter name="data" required="1"><shortdesc>Where it is</shortdesc><content type="string"/></parameter>
<parameter name="user" required="1"><content type="string" default="db"/></parameter>
<parameter name="port"><content type="integer" default="5432"/></parameter>
<parameter name="suffix"><content type="integer" default=".%F"/></parameter>
<parameter name="fast"><content type="boolean" default="no"/></parameter>
<parameter name="cookie"><content type="boolean" default="/var/lib/cookie"/></parameter>
<parameter name="mode"><content type="select" default="a"><option value="a"/><option value="b"/></content></parameter>
<parameter name="old"><deprecated/><content type="string"/></parameter>
<parameter name="not a name"><content type="string"/></parameter>
</parameters>
<actions>
<action name="start" timeout="120s"/><action name="stop" timeout="2min"/>
<action name="monitor" depth="0" timeout="20" interval="10"/>
<action name="monitor" depth="0" timeout="30" interval="5" role="Master"/>
<action name="monitor" depth="20" timeout="500"/>
<action name="promote" timeout="15s"/><action name="demote" timeout="0"/>
</actions></resource-agent>"""


def test_what_it_says() -> None:
    meta = parse(GOOD)
    assert meta.text == "A database"
    found = {one.name: one for one in meta.parameters}
    assert list(found) == ["data", "user", "port", "suffix", "fast", "cookie", "mode", "old"]
    assert [name for name, one in found.items() if one.required] == ["data"], "a default is an answer"
    assert found["data"].text == "Where it is"
    assert {name: one.type for name, one in found.items()} == {
        "data": "string",
        "user": "string",
        "port": "integer",
        "suffix": "string",  # their own defaults say that these are not
        "fast": "boolean",
        "cookie": "string",
        "mode": "select",
        "old": "string",
    }
    assert found["mode"].options == ("a", "b")
    assert found["old"].deprecated


def test_how_long_its_actions_take() -> None:
    meta = parse(GOOD)
    assert meta.promotable
    assert (meta.timeout_s("start"), meta.timeout_s("stop"), meta.timeout_s("validate-all")) == (120, 120, None)
    assert (meta.timeout_s("monitor", "started"), meta.timeout_s("monitor", "promoted")) == (20, 30)
    assert meta.timeout_s("demote") is None, "0 is no time-out"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("20", 20.0),
        ("20s", 20.0),
        ("500ms", 0.5),
        ("2min", 120.0),
        ("1h", 3600.0),
        ("", None),
        ("soon", None),
        ("0", None),
    ],
)
def test_lengths_of_time(text: str, value: float | None) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not XML"),
        (b"usage: db {start|stop}", "not XML"),
        (b"<resource-agent", "not XML"),
        (b"<html><body/></html>", "not those of a resource agent"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><resource-agent/>', "declares XML entities"),
        ("<resource-agent/>".encode("utf-16"), "not in UTF-8"),
        (b"<resource-agent>" + b" " * BYTES_MAX + b"</resource-agent>", "longer than"),
    ],
)
def test_what_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(BadMetaData, match=why):
        parse(data)


def test_deeply_nested_meta_data_do_no_harm() -> None:
    depth = 100_000
    parse(b"<resource-agent>" + b"<a>" * depth + b"</a>" * depth + b"</resource-agent>")


# --- asking and remembering -----------------------------------------------------------------------------------


class Asked:
    def __init__(self) -> None:
        self.paths: list[Path] = []
        self.answer = GOOD

    def __call__(self, path: Path, root: Path) -> bytes:
        del root
        self.paths.append(path)
        return self.answer


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    path = tmp_path / "db"
    path.write_text("#!/bin/sh\n")
    return path


def test_asked_once_for_each_version_of_its_file(agent: Path, tmp_path: Path) -> None:
    asked = Asked()
    reader = Reader(tmp_path, tmp_path / "cache", asked)
    assert reader.read(agent) == reader.read(agent) == Reader(tmp_path, tmp_path / "cache", asked).read(agent)
    assert len(asked.paths) == 1
    agent.write_text("#!/bin/sh\n# another\n")
    Reader(tmp_path, tmp_path / "cache", asked).read(agent)
    assert len(asked.paths) == 2
    shared = tmp_path / "lib" / "heartbeat" / "ocf-shellfuncs"
    shared.parent.mkdir(parents=True)
    shared.write_text("")
    reader.read(agent)
    assert len(asked.paths) == 3, "what agents share has changed"


def test_a_bad_answer_is_not_kept_on_disk_and_not_asked_for_again(agent: Path, tmp_path: Path) -> None:
    asked = Asked()
    asked.answer = b"nonsense"
    reader = Reader(tmp_path, tmp_path / "cache", asked)
    for _ in range(2):
        with pytest.raises(BadMetaData):
            reader.read(agent)
    assert len(asked.paths) == 1
    asked.answer = GOOD
    assert Reader(tmp_path, tmp_path / "cache", asked).read(agent).name == "db"


def test_what_others_may_have_written_is_not_believed(agent: Path, tmp_path: Path) -> None:
    asked = Asked()
    Reader(tmp_path, tmp_path / "cache", asked).read(agent)
    (file,) = (tmp_path / "cache" / "ocf-meta-data").iterdir()
    good = file.read_text()
    file.chmod(0o666)
    Reader(tmp_path, tmp_path / "cache", asked).read(agent)
    assert len(asked.paths) == 2
    for bad in ("", "[]", json.dumps({"version": 1}), good[:40], good.replace("<resource-agent", "<nonsense")):
        file.chmod(0o644)
        file.write_text(bad)
        before = len(asked.paths)
        if "nonsense" in bad:
            with pytest.raises(BadMetaData):
                Reader(tmp_path, tmp_path / "cache", asked).read(agent)
        else:
            assert Reader(tmp_path, tmp_path / "cache", asked).read(agent).name == "db"
            assert len(asked.paths) == before + 1


def test_a_cache_that_cannot_be_written_costs_nothing_else(agent: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert Reader(tmp_path, tmp_path / "file", Asked()).read(agent).name == "db"


def test_where_the_cache_is() -> None:
    assert cache_directory({}, 0) == Path("/var/cache/failoverd")
    assert cache_directory({"CACHE_DIRECTORY": "/var/cache/x:/y"}, 0) == Path("/var/cache/x")
    assert cache_directory({"HOME": "/home/me"}, 1000) == Path("/home/me/.cache/failoverd")


@pytest.mark.processes
@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo wrong >&2; exit 3", "exit status 3: wrong"),
        ("sleep 60", "no answer within 0.5 s"),
        ("sleep 60 & echo '<resource-agent/>'", "no answer within 0.5 s"),
        ("yes", "prints more than"),
    ],
)
def test_an_agent_that_does_not_answer_well_is_given_up(tmp_path: Path, script: str, why: str) -> None:
    path = tmp_path / "agent"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    with pytest.raises(BadMetaData, match=why):
        ask_agent(path, tmp_path, deadline_s=5.0 if "yes" in script or "exit" in script else 0.5)


def test_an_agent_that_cannot_be_run(tmp_path: Path) -> None:
    with pytest.raises(BadMetaData, match="No such file"):
        ask_agent(tmp_path / "gone", tmp_path)
    assert os.access(tmp_path, os.R_OK)
