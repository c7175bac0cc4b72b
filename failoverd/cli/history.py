"""``failoverd why`` and ``failoverd history``: what the daemon knows of a group's past and present, for people."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from failoverd.cli.guard import DONE, FAILED, say
from failoverd.cli.output import print_json, print_line
from failoverd.cli.words import outcome, plain, seconds, word
from failoverd.control.client import call

TIMEOUT_S = 10.0
SEARCHED = 500
"""Among how many of the newest one is looked for by its id."""

Document = Mapping[str, Any]


def why(run_dir: Path, group: str, *, as_json: bool) -> int:
    document = call(run_dir, "why", {"group": group}, timeout_s=TIMEOUT_S)
    if as_json:
        print_json(document)
    else:
        for sentence in document.get("sentences", ()):
            print_line(plain(sentence.get("text")))
    return DONE


def show(run_dir: Path, group: str | None, limit: int, *, as_json: bool) -> int:
    document = _ask(run_dir, group, limit)
    if as_json:
        print_json(document)
        return DONE
    for incident in document.get("incidents", ()):
        print_line(_line(incident))
    if not document.get("incidents"):
        print_line("nothing has happened" + (f" to {group}" if group else ""))
    return DONE


def one(run_dir: Path, group: str | None, record: str, *, as_json: bool) -> int:
    """``record``: an id, a part of one (the newest that has it), or ``last``."""
    incidents = _ask(run_dir, group, SEARCHED).get("incidents", [])
    found = next((each for each in incidents if record == "last" or record in str(each.get("id"))), None)
    if found is None:
        say(f"there is no incident record {record!r}" + (f" of {group}" if group else "") + "; see: failoverd history")
        return FAILED
    if as_json:
        print_json(found)
    else:
        for line in _detail(found):
            print_line(line)
    return DONE


def _ask(run_dir: Path, group: str | None, limit: int) -> dict[str, Any]:
    params = {"limit": limit} | ({"group": group} if group else {})
    document = call(run_dir, "history", params, timeout_s=TIMEOUT_S)
    for warning in document.get("warnings", ()):
        say(f"passed over: {plain(warning)}")
    return document


def _line(incident: Document) -> str:
    """``2026-01-02 03:04:05  shop  a -> b in 0.42 s (limit …)  node lost: a was lost  done, down 3.73 s``."""
    head = f"{_time(incident)}  {plain(incident.get('group'))}  "
    match incident.get("kind"):
        case "handover":
            parts = [outcome(incident), _because(incident), word(incident.get("state")), *_cost(incident)]
            return head + ", ".join(part for part in parts if part)
        case "restart":
            reason = plain(incident.get("reason"))
            return head + f"{incident.get('component')} restarted in {seconds(incident.get('makespan_s'))}: {reason}"
        case kind:
            components = ", ".join(incident.get("components", ()))
            return (
                head + f"{word(kind)} on {incident.get('recorded_by')}: {plain(incident.get('reason'))}: {components}"
            )


def _because(incident: Document) -> str:
    reason = plain(incident.get("reason") or "")
    return word(incident.get("cause")) + (f" ({reason})" if reason else "")


def _cost(incident: Document) -> Iterator[str]:
    if incident.get("detect_s") is not None:
        yield f"noticed after {seconds(incident['detect_s'])}"
    downtimes = [each for each in (incident.get("downtime_s") or {}).values() if each is not None]
    if downtimes:
        yield f"down {seconds(max(downtimes))} at most"
    if incident.get("failure"):
        yield plain(incident["failure"])


def _detail(incident: Document) -> Iterator[str]:
    yield _line(incident)
    yield f"id {plain(incident.get('id'))}, recorded by {plain(incident.get('recorded_by'))}"
    if incident.get("evidence"):
        yield "\nWhat was seen (0 s is its begin):"
        for seen in incident["evidence"]:
            yield from _seen(seen)
    if incident.get("steps"):
        yield "\nSteps:"
        for step in incident["steps"]:
            end = "still running" if step.get("end_s") is None else f"{step['end_s']:9.3f} s"
            ended = end if step.get("ok", True) else f"{end}  failed"
            yield f"  {step['begin_s']:9.3f} s  {ended}  {step['node']}  {step['component']}  {step['action']}"
    if incident.get("downtime_s"):
        yield "\nNot there for:"
        for component, down in incident["downtime_s"].items():
            yield f"  {component}  {'did not come back' if down is None else seconds(down)}"


def _seen(seen: Document) -> Iterator[str]:
    fields = [f"{key}={plain(value)}" for key, value in seen.items() if key not in {"at_s", "event", "output", "group"}]
    yield f"  {seen.get('at_s', 0.0):9.3f} s  {plain(seen.get('event'))}  {' '.join(fields)}".rstrip()
    for line in str(seen.get("output", "")).splitlines():
        yield f"      {plain(line)}"


def _time(incident: Document) -> str:
    stamp = str(incident.get("ended_at", "-"))
    return f"{stamp[:10]} {stamp[11:19]}"
