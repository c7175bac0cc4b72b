"""The commands and their options.

Each command imports what it needs when it is called: importing everything takes longer than most commands do. So
imports inside the functions of this module are the rule.
"""
# ruff: noqa: PLC0415 (as said above)

from pathlib import Path
from typing import Annotated

import typer

from failoverd import __version__
from failoverd.cli import options
from failoverd.cli.options import (
    AnyGroup,
    AsJson,
    Config,
    FreezeAll,
    FreezeNode,
    Group,
    NodeName,
    Reason,
    RunDir,
    Timeout,
    Wait,
    guarded,
)
from failoverd.cli.rundir import DEFAULT_CONFIG, find

app = typer.Typer(
    name="failoverd",
    help="Moves service groups between nodes, every component as soon as its own dependencies allow.",
    epilog="Exit status: 0 done, 1 refused or failed, 2 usage or invalid configuration, 3 no daemon, 4 timed out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

OptionalGroup = Annotated[str | None, typer.Argument(metavar="GROUP", help="One group in detail.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=0, metavar="N", help="How many of the newest events.")]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"failoverd {__version__}")  # noqa: T201 (the command's own output)
        raise typer.Exit


@app.callback()
def _main(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    del version


@app.command()
@guarded
def run(*, config: Config = DEFAULT_CONFIG) -> int:
    """Be the daemon, in the foreground."""
    from failoverd.runtime.daemon import main as daemon

    return daemon(config)


@app.command()
@guarded
def check(
    *,
    fencing: Annotated[bool, typer.Option("--fencing", help="And ask every fence device how it is.")] = False,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> int:
    """Read the configuration and print every fault. Changes nothing."""
    from failoverd.cli.local import check as check_file

    return check_file(config, as_json=as_json, fencing=fencing)


@app.command()
@guarded
def status(
    group: OptionalGroup = None,
    *,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on, and show every change.")] = False,
    as_json: AsJson = False,
    config: Config = DEFAULT_CONFIG,
    run_dir: RunDir = None,
) -> int:
    """Nodes, leases, links, groups, components, and why anything is not plain."""
    from failoverd.cli import status as view

    show = view.watch if watch else view.show
    return show(find(run_dir, config), group, as_json=as_json)


@app.command()
@guarded
def switch(
    group: Group,
    *,
    to: Annotated[
        str | None, typer.Option("--to", metavar="NODE", help="The target; without it the best eligible node.")
    ] = None,
    wait: Wait = True,
    timeout: Timeout = options.DEFAULT_WAIT,  # type: ignore[assignment]  # typer parses the default like the option
    as_json: AsJson = False,
    config: Config = DEFAULT_CONFIG,
    run_dir: RunDir = None,
) -> int:
    """Move a group to another node (planned handover)."""
    from failoverd.cli.handover import carry_out

    where = find(run_dir, config)
    return carry_out(where, "switch", {"group": group, "to": to}, wait=wait, timeout_s=timeout, as_json=as_json)


@app.command()
@guarded
def online(
    group: Group,
    *,
    on: Annotated[str | None, typer.Option("--on", metavar="NODE", help="Where; without it the owner.")] = None,
    wait: Wait = True,
    timeout: Timeout = options.DEFAULT_WAIT,  # type: ignore[assignment]  # likewise
    as_json: AsJson = False,
    config: Config = DEFAULT_CONFIG,
    run_dir: RunDir = None,
) -> int:
    """Bring a group online."""
    from failoverd.cli.handover import carry_out

    where = find(run_dir, config)
    return carry_out(where, "online", {"group": group, "on": on}, wait=wait, timeout_s=timeout, as_json=as_json)


@app.command()
@guarded
def offline(
    group: Group,
    *,
    with_dependents: Annotated[
        bool, typer.Option("--with-dependents", help="And before it the groups that require it.")
    ] = False,
    wait: Wait = True,
    timeout: Timeout = options.DEFAULT_WAIT,  # type: ignore[assignment]  # likewise
    as_json: AsJson = False,
    config: Config = DEFAULT_CONFIG,
    run_dir: RunDir = None,
) -> int:
    """Take a group offline; it stays so until it is brought online."""
    from failoverd.cli.handover import carry_out

    where = find(run_dir, config)
    asked = {"group": group, "with_dependents": with_dependents or None}
    return carry_out(where, "offline", asked, wait=wait, timeout_s=timeout, as_json=as_json)


@app.command("confirm-off")
@guarded
def confirm_off(
    node: Annotated[str, typer.Argument(metavar="NODE", help="The node that is off.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
    config: Config = DEFAULT_CONFIG,
    run_dir: RunDir = None,
) -> int:
    """Give your word that a node is off, so that what it had may be taken over. The last resort."""
    from failoverd.cli.confirm_off import carry_out

    return carry_out(find(run_dir, config), node, yes=yes, as_json=as_json)


@app.command()
@guarded
def freeze(
    group: AnyGroup = None,
    *,
    node: FreezeNode = None,
    everything: FreezeAll = False,
    reason: Reason = None,
    as_json: AsJson = False,
    config: Config = DEFAULT_CONFIG,
    run_dir: RunDir = None,
) -> int:
    """Hands off a group, a node or everything: watched, but nothing is done to it, whatever happens."""
    from failoverd.cli.holds import freeze as ask

    asked = {"group": group, "node": node, "all": everything, "reason": reason}
    return ask(find(run_dir, config), "freeze", asked, as_json=as_json)


@app.command()
@guarded
def thaw(
    group: AnyGroup = None,
    *,
    node: FreezeNode = None,
    everything: FreezeAll = False,
    as_json: AsJson = False,
    config: Config = DEFAULT_CONFIG,
    run_dir: RunDir = None,
) -> int:
    """End a freeze: what is true by now is found out, and faults found meanwhile are acted on."""
    from failoverd.cli.holds import freeze as ask

    return ask(find(run_dir, config), "thaw", {"group": group, "node": node, "all": everything}, as_json=as_json)


@app.command()
@guarded
def drain(
    node: NodeName,
    *,
    reason: Reason = None,
    wait: Wait = True,
    timeout: Timeout = options.DEFAULT_WAIT,  # type: ignore[assignment]  # likewise
    as_json: AsJson = False,
    config: Config = DEFAULT_CONFIG,
    run_dir: RunDir = None,
) -> int:
    """Move everything away from a node; it gets nothing until it is resumed."""
    from failoverd.cli.holds import drain as ask

    return ask(find(run_dir, config), node, reason, wait=wait, timeout_s=timeout, as_json=as_json)


@app.command()
@guarded
def resume(node: NodeName, *, as_json: AsJson = False, config: Config = DEFAULT_CONFIG, run_dir: RunDir = None) -> int:
    """Allow groups on a drained node again."""
    from failoverd.cli.holds import resume as ask

    return ask(find(run_dir, config), node, as_json=as_json)


@app.command()
@guarded
def clear(
    group: Group,
    component: Annotated[
        str | None, typer.Argument(metavar="COMPONENT", help="Only this component's faults; else all, and the moves.")
    ] = None,
    *,
    node: Annotated[str | None, typer.Option("--node", metavar="NODE", help="Only the faults on this node.")] = None,
    as_json: AsJson = False,
    config: Config = DEFAULT_CONFIG,
    run_dir: RunDir = None,
) -> int:
    """Forget faults: what was given up is tried again, nodes are eligible again."""
    from failoverd.cli.holds import clear as ask

    asked = {"group": group, "component": component, "node": node}
    return ask(find(run_dir, config), asked, as_json=as_json)


@app.command()
@guarded
def plan(
    group: Group,
    *,
    source: Annotated[str | None, typer.Option("--from", metavar="NODE", help="The node that it leaves.")] = None,
    target: Annotated[str | None, typer.Option("--to", metavar="NODE", help="The node that it goes to.")] = None,
    down: Annotated[str | None, typer.Option("--down", metavar="NODE", help="As if this node had died.")] = None,
    as_json: AsJson = False,
    config: Config = DEFAULT_CONFIG,
    run_dir: RunDir = None,
) -> int:
    """The timeline of a handover before it happens. Works without a daemon too."""
    from failoverd.cli.plan import show

    return show(find(run_dir, config), config, group, source=source, target=target, down=down, as_json=as_json)


@app.command()
@guarded
def why(group: Group, *, as_json: AsJson = False, config: Config = DEFAULT_CONFIG, run_dir: RunDir = None) -> int:
    """Why a group is where it is and as it is, in plain sentences."""
    from failoverd.cli.history import why as tell

    return tell(find(run_dir, config), group, as_json=as_json)


@app.command()
@guarded
def history(
    group: Annotated[str | None, typer.Argument(metavar="GROUP", help="Of this group alone.")] = None,
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, metavar="N", help="How many, newest first.")] = 20,
    record: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="One in detail: its id, a part of it, or 'last'.")
    ] = None,
    as_json: AsJson = False,
    config: Config = DEFAULT_CONFIG,
    run_dir: RunDir = None,
) -> int:
    """The incident records: what moved or faulted, why, what was seen before, and what it cost."""
    from failoverd.cli import history as view

    where = find(run_dir, config)
    if record is not None:
        return view.one(where, group, record, as_json=as_json)
    return view.show(where, group, limit, as_json=as_json)


@app.command()
@guarded
def events(
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on, and show each event as it happens.")] = False,
    limit: Limit = 100,
    as_json: AsJson = False,
    config: Config = DEFAULT_CONFIG,
    run_dir: RunDir = None,
) -> int:
    """The event log. With --follow and --json: one event a line."""
    from failoverd.cli import events as view

    show = view.follow if follow else view.show
    return show(find(run_dir, config), limit, as_json=as_json)


@app.command()
@guarded
def reload(*, as_json: AsJson = False, config: Config = DEFAULT_CONFIG, run_dir: RunDir = None) -> int:
    """Let the daemon read its configuration again; an invalid one is refused as a whole."""
    from failoverd.cli.reload import ask

    return ask(find(run_dir, config), as_json=as_json)


@app.command()
@guarded
def keygen(file: Annotated[Path, typer.Argument(metavar="FILE", help="Must not exist yet.")]) -> int:
    """Write a new cluster key to a file, readable by its owner alone."""
    from failoverd.links.key import generate

    generate(file)
    return 0


@app.command()
@guarded
def agents(
    kind: Annotated[str | None, typer.Argument(metavar="TYPE", help="One type: its keys and time-outs.")] = None,
    *,
    as_json: AsJson = False,
) -> int:
    """The component types that this machine knows, or what one of them takes."""
    from failoverd.cli import agents as view

    return view.show_type(kind, as_json=as_json) if kind else view.list_types(as_json=as_json)


@app.command()
@guarded
def schema() -> int:
    """Print the JSON Schema of the configuration, for editors."""
    from failoverd.cli.local import schema as print_schema

    return print_schema()


@app.command()
@guarded
def demo(
    *,
    fast: Annotated[bool, typer.Option("--fast", help="Components that take less than half the time.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep its directory: configurations, logs, records.")] = False,
    as_json: AsJson = False,
) -> int:
    """Two nodes on this machine: a plan, a planned switch, a power cut. Under a minute, no root needed."""
    from failoverd.demo.main import main as demonstration

    return demonstration(keep=keep, as_json=as_json, fast=fast)
