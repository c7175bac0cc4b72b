"""Whose data the directory holds, and which voters its node has known: ``state_dir/etcd/owner.json``. Blocking."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from failoverd.coordinators.etcd.managed.certificates import replace
from failoverd.coordinators.etcd.managed.layout import Layout
from failoverd.coordinators.etcd.managed.process import CannotRun

_FILE_MAX = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    cluster: str
    node: str
    voters: Mapping[str, str]
    """Their peer URLs, as of the last start of a daemon."""
    departing: Mapping[str, str] = field(default_factory=dict)
    """Voters of an earlier configuration that may still be members."""


def take_over(layout: Layout) -> Owner:
    """Make the directory ours, and note which voters the configuration has left out since. Raises ``CannotRun``."""
    path = layout.directory / "owner.json"
    try:
        layout.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        layout.directory.chmod(0o700)
        before = _read(path)
        _check(before, layout)
        owner = _owner(before, layout)
        if owner != before:
            save(layout, owner)
        if not has_data(layout) and layout.data_dir.exists():
            shutil.rmtree(layout.data_dir)  # what a start that was cut off has left
    except OSError as error:
        raise CannotRun(f"{error.filename or layout.directory}: {error.strerror or error}") from error
    return owner


def save(layout: Layout, owner: Owner) -> None:
    """Raises ``OSError``."""
    document = {
        "version": 1,
        "cluster": owner.cluster,
        "node": owner.node,
        "voters": dict(owner.voters),
        "departing": dict(owner.departing),
    }
    replace(layout.directory / "owner.json", json.dumps(document).encode())


def has_data(layout: Layout) -> bool:
    """Whether the member has ever confirmed anything: its write-ahead log is there."""
    return any((layout.data_dir / "member" / "wal").glob("*.wal"))


def set_aside(layout: Layout) -> None:
    """The data of a member that is none any more; kept until the next time. Raises ``OSError``."""
    aside = layout.directory / "data.retired"
    shutil.rmtree(aside, ignore_errors=True)
    if layout.data_dir.exists():
        layout.data_dir.replace(aside)


def _read(path: Path) -> Owner | None:
    try:
        with path.open("rb") as file:
            fields = json.loads(file.read(_FILE_MAX))
        return Owner(
            cluster=str(fields["cluster"]),
            node=str(fields["node"]),
            voters={str(name): str(peer) for name, peer in fields["voters"].items()},
            departing={str(name): str(peer) for name, peer in fields["departing"].items()},
        )
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None  # cut off while it was written: the data says for itself which cluster it is of


def _check(before: Owner | None, layout: Layout) -> None:
    if before is None or (before.cluster, before.node) == (layout.cluster, layout.node):
        return
    raise CannotRun(
        f"{layout.directory} holds the etcd data of node {before.node} of cluster {before.cluster}, this is node "
        f"{layout.node} of cluster {layout.cluster}: correct the configuration (cluster, node, state_dir), or move "
        "that directory away if its data is of no use"
    )


def _owner(before: Owner | None, layout: Layout) -> Owner:
    known = {} if before is None else {**before.departing, **before.voters}
    return Owner(
        cluster=layout.cluster,
        node=layout.node,
        voters=layout.initial,
        departing={name: peer for name, peer in known.items() if name not in layout.hosts},
    )
