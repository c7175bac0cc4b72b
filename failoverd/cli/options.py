"""What the commands have in common: options that are spelt and explained alike everywhere, and how they end."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, ParamSpec

import typer

from failoverd.cli.guard import guard
from failoverd.config.durations import parse_duration

DEFAULT_WAIT = "10m"

P = ParamSpec("P")


def guarded(command: Callable[P, int]) -> Callable[P, None]:
    """A typer command that ends with the exit status that ``command`` returns or that its error stands for."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        raise typer.Exit(guard(lambda: command(*args, **kwargs)))

    return run


def seconds(text: str) -> float:
    """A duration as in the configuration; a bare number counts as seconds, for scripts."""
    try:
        found = parse_duration(f"{text}s" if text.replace(".", "", 1).isdigit() else text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if found <= 0:
        raise typer.BadParameter("it must be above 0")
    return found


Config = Annotated[Path, typer.Option("--config", envvar="FAILOVERD_CONFIG", metavar="FILE", help="The configuration.")]
RunDir = Annotated[
    Path | None,
    typer.Option(
        "--run-dir",
        envvar="FAILOVERD_RUN_DIR",
        metavar="DIR",
        help="The daemon's run_dir, instead of the configured one.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]
Group = Annotated[str, typer.Argument(metavar="GROUP", help="The service group.")]
Wait = Annotated[bool, typer.Option(" /--no-wait", help="Return as soon as the daemon has accepted it.")]
Timeout = Annotated[
    float,
    typer.Option(
        "--timeout", metavar="TIME", parser=seconds, help="How long to wait (500ms, 30s, 10m); it goes on afterwards."
    ),
]
AnyGroup = Annotated[str | None, typer.Argument(metavar="GROUP", help="One group; else give --node or --all.")]
NodeName = Annotated[str, typer.Argument(metavar="NODE", help="The node.")]
FreezeNode = Annotated[
    str | None, typer.Option("--node", metavar="NODE", help="Every group that this node owns, and nothing new on it.")
]
FreezeAll = Annotated[bool, typer.Option("--all", help="Every group on every node.")]
Reason = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why: shown to whoever wonders.")]
