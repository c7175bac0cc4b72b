"""This node's member goes on alone with the data that it has, by an operator's word: as a cluster of its own.

etcd's own ``--force-new-cluster`` is not used. It goes on with the member's log, and after a loss of power the log and
the data file need not fit together: what is applied is not always noted as committed (raft, ``MustSync``), so entries
whose effect is in the data are cut off, others take their places, and this member skips those as done already. Members
that enter later do not, and from then on hold other data under the same revisions: each would grant a comparison that
the others refuse. So the data file is restored into a new log and a new cluster ("Disaster recovery" in etcd's
operations guide, ``etcdctl snapshot restore``).
"""

import secrets
import shutil
from pathlib import Path

from anyio import to_thread

from failoverd.coordinators.etcd.managed.layout import Layout
from failoverd.coordinators.etcd.managed.process import CannotRun, found_program
from failoverd.errors import SpawnFailed
from failoverd.ports import RunRequest, Spawner

RESTORE_S = 120.0
"""It copies the data file."""
_DATABASE = ("member", "snap", "db")


class Forcing:
    def __init__(self, layout: Layout, spawner: Spawner, path: str) -> None:
        self._layout, self._spawner, self._path = layout, spawner, path
        self._new = layout.directory / "data.restored"
        self._old = layout.directory / "data.before"

    async def wanted(self) -> bool:
        return await to_thread.run_sync(self._layout.force_file.exists)

    async def carry_out(self) -> None:
        """The member must not run. Raises ``CannotRun``; cut off anywhere, it begins anew."""
        try:
            source = await to_thread.run_sync(self._source)
            await to_thread.run_sync(lambda: shutil.rmtree(self._new, ignore_errors=True))
            await self._restore(source)
            await to_thread.run_sync(self._exchange)
        except OSError as error:
            raise CannotRun(f"{error.filename or self._layout.directory}: {error.strerror or error}") from error

    def _source(self) -> Path:
        """The data file; where the last try was cut off between its two renames, the one that was put aside."""
        for directory in (self._layout.data_dir, self._old):
            if directory.joinpath(*_DATABASE).exists():
                return directory.joinpath(*_DATABASE)
        raise CannotRun(
            f"{self._layout.force_file} asks to go on with this node's data, but there is none in "
            f"{self._layout.data_dir}: remove the file, or create it on a node that has data"
        )

    async def _restore(self, source: Path) -> None:
        layout = self._layout
        peer = layout.peer_url(layout.node)
        argv = (
            str(found_program("etcdctl", "etcd-client", self._path)),
            *("snapshot", "restore", str(source), "--skip-hash-check=true", "--data-dir", str(self._new)),
            *("--name", layout.node, "--initial-cluster", f"{layout.node}={peer}"),
            *("--initial-advertise-peer-urls", peer, "--initial-cluster-token", secrets.token_hex(8)),
        )
        request = RunRequest(argv=argv, env={"PATH": self._path, "ETCDCTL_API": "3"}, timeout_s=RESTORE_S)
        try:
            result = await self._spawner.run(request)
        except SpawnFailed as error:
            raise CannotRun(str(error)) from error
        if result.exit_status != 0:
            said = result.output.strip().splitlines()
            raise CannotRun(f"etcdctl snapshot restore failed: {said[-1] if said else 'it said nothing'}")

    def _exchange(self) -> None:
        layout = self._layout
        if layout.data_dir.exists():
            shutil.rmtree(self._old, ignore_errors=True)
            layout.data_dir.replace(self._old)
        self._new.replace(layout.data_dir)
        layout.force_file.unlink()
