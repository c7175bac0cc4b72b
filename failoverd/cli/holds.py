"""``freeze``, ``thaw``, ``drain``, ``resume`` and ``clear``: ask, and say what came of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from failoverd.cli.guard import DONE, FAILED, Interrupted, say
from failoverd.cli.handover import ACCEPT_S, ANSWER_S
from failoverd.cli.output import print_json, print_line
from failoverd.cli.words import outcome, plain
from failoverd.control.client import TimedOut, call

Document = Mapping[str, Any]


def freeze(run_dir: Path, command: str, params: Mapping[str, Any], *, as_json: bool) -> int:
    """``command`` is ``freeze`` or ``thaw``."""
    document = call(run_dir, command, _given(params), timeout_s=ACCEPT_S)
    if as_json:
        print_json(document)
    else:
        what = _what(document)
        print_line(f"{what} {'are' if document.get('scope') == 'all' else 'is'} {_DONE[command]}")
        for group, why in document.get("frozen", {}).items() if command == "thaw" else ():
            print_line(f"  {group} is still {plain(why)}")
    _warn(document)
    return DONE


def resume(run_dir: Path, node: str, *, as_json: bool) -> int:
    document = call(run_dir, "resume", {"node": node}, timeout_s=ACCEPT_S)
    if as_json:
        print_json(document)
    else:
        print_line(f"node {node} may take groups again; nothing moves back by itself")
    _warn(document)
    return DONE


def clear(run_dir: Path, params: Mapping[str, Any], *, as_json: bool) -> int:
    document = call(run_dir, "clear", _given(params), timeout_s=ACCEPT_S)
    if as_json:
        print_json(document)
    else:
        name = "/".join(filter(None, [document.get("group"), document.get("component")]))
        where = f" on {document['node']}" if document.get("node") else ""
        print_line(f"{name}: earlier faults{where} are forgotten")
        for node, fault in document.get("faults", {}).items():
            print_line(f"  {node}: {plain(fault.get('component'))}: {plain(fault.get('reason'))}")
    _warn(document)
    return DONE


def drain(run_dir: Path, node: str, reason: str | None, *, wait: bool, timeout_s: float, as_json: bool) -> int:
    """The exit status is 1 where a group could not be moved away."""
    asked = _given({"node": node, "reason": reason, "timeout_s": timeout_s}) | {"wait": wait}
    progress = _Progress(node)
    goes_on = f"draining {node} goes on in the daemon, see: failoverd status"
    limit = timeout_s + ANSWER_S if wait else ACCEPT_S
    try:
        document = call(
            run_dir, "drain", asked, timeout_s=limit, on_update=None if as_json or not wait else progress.update
        )
    except TimedOut as error:
        raise TimedOut(f"{error}; {goes_on}") from error
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; {goes_on}") from None
    if as_json:
        print_json(document)
    elif wait:
        progress.update(document)
        print_line(_summary(node, document))
    else:
        print_line(f"node {node}: drain accepted")
    return _ended(document) if wait else DONE


class _Progress:
    """One line for each change in the state of a group."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._told: dict[str, tuple[Any, ...]] = {}

    def update(self, document: Document) -> None:
        for group, each in document.get("groups", {}).items():
            state = (each.get("state"), each.get("to"), each.get("reason"))
            if self._told.get(group) != state:
                self._told[group] = state
                print_line(f"{document.get('elapsed_s', 0.0):8.3f} s  {group}  {self._line(each)}")

    def _line(self, each: Document) -> str:
        handover = each.get("handover")
        match each.get("state"):
            case "moved" if handover:
                return outcome(handover)
            case "moving":
                return f"moving {self._node} -> {each['to']}" if each.get("to") else "going offline"
            case "waiting":
                return "about to move"
            case "refused":
                return f"stays on {self._node}: {plain(each.get('reason'))}"
            case "failed":
                return f"failed on {plain(each.get('to'))}: {plain(each.get('reason'))}"
            case state:
                return plain(state)


def _summary(node: str, document: Document) -> str:
    groups = document.get("groups", {})
    moved = sum(each.get("state") == "moved" for each in groups.values())
    said = f"{moved} group{'' if moved == 1 else 's'} moved away in {document.get('elapsed_s', 0.0):.2f} s"
    if document.get("state") == "done":
        return f"node {node} is drained: {said}" if groups else f"node {node} is drained: nothing was online there"
    return f"node {node} is not drained: {said}, {len(groups) - moved} not"


def _ended(document: Document) -> int:
    left = {name: each for name, each in document.get("groups", {}).items() if each["state"] in {"refused", "failed"}}
    for name, each in left.items():
        say(f"{name}: {'no move' if each['state'] == 'refused' else 'failed'}: {plain(each.get('reason'))}")
    return FAILED if left else DONE


def _warn(document: Document) -> None:
    for node, why in (document.get("unconfirmed") or {}).items():
        say(f"{node} {plain(why)}: it may still act on what was true before")


_DONE = {"freeze": "frozen", "thaw": "thawed"}


def _what(document: Document) -> str:
    scope = document.get("scope")
    return "all groups" if scope == "all" else f"{scope} {document.get('name')}"


def _given(params: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in params.items() if value not in (None, False)}
