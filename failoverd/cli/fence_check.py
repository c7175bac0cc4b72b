"""``failoverd check --fencing``: which fence devices can be asked from this node."""

from typing import Any

from failoverd.cli.output import print_line
from failoverd.config.settings import Config
from failoverd.fencing.trial import Tried, try_all


def fencing_document(config: Config) -> dict[str, Any]:
    """By node: its levels, and whether each works as seen from here. Of this node nothing is tried: the others are who
    switch it off."""
    tried = try_all({node: levels for node, levels in config.fencing.items() if node != config.node})
    return {
        name: {"tried": name != config.node, "levels": _levels([each for each in tried if each.node == name])}
        for name in config.nodes
    }


def works(document: dict[str, Any]) -> bool:
    """Whether every device that was tried does."""
    return all(level["works"] for node in document.values() for level in node["levels"])


def print_fencing(document: dict[str, Any]) -> None:
    for name, node in document.items():
        if not node["tried"]:
            print_line(f"{name}: this node; try its devices on the others")
        elif not node["levels"]:
            print_line(f"{name}: has no fence device")
        for level in node["levels"]:
            print_line(f"{name}: level {level['level']} {'works' if level['works'] else 'DOES NOT WORK'}")
            for device in level["devices"]:
                mark = "ok" if device["works"] else "FAILED"
                said = f"{device['agent']} {device['action']}: {device['answer']} ({device['duration_s']:g}s)"
                print_line(f"  {mark:<6} {said}")


def _levels(tried: list[Tried]) -> list[dict[str, Any]]:
    numbers = sorted({each.level for each in tried})
    return [
        {
            "level": number,
            "works": all(each.works for each in tried if each.level == number),
            "devices": [_device(each) for each in tried if each.level == number],
        }
        for number in numbers
    ]


def _device(tried: Tried) -> dict[str, Any]:
    return {
        "agent": tried.agent,
        "works": tried.works,
        "action": tried.action,
        "answer": tried.answer,
        "duration_s": tried.duration_s,
    }
