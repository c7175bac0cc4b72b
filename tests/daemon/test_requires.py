"""Groups that require groups, with real daemons and real commands."""

import pytest

from tests.daemon.support import at_rest, command, daemons, log, one, record, settled, touch

pytestmark = pytest.mark.processes


def test_two_groups_move_as_one_and_neither_is_torn_from_the_other() -> None:
    need = [{"group": "db", "where": "same_node"}]
    with daemons(
        lambda root: {
            "shop": one({"web": touch(root, "web")}, requires=need),
            "db": one({"disk": touch(root, "disk"), "base": touch(root, "base", depends_on=["disk"])}),
        }
    ) as cluster:
        at_rest(cluster, "db")  # whichever came up first
        settled(cluster, "a", "shop")
        a = cluster["a"]
        assert record(cluster.root)[-3:] == ["a online disk", "a online base", "a online web"]
        (cluster.root / "record").write_text("")

        refused = command(a, "switch", "shop", "--to", "b")
        assert refused.returncode == 1
        assert "failoverd switch db --to b" in refused.stderr
        beneath = command(a, "offline", "db")
        assert beneath.returncode == 1
        assert "--with-dependents" in beneath.stderr

        switched = command(a, "switch", "db", "--to", "b")
        assert (switched.returncode, switched.stderr) == (0, "")
        assert "shop: went with it" in switched.stdout
        settled(cluster, "b", "shop")
        order = record(cluster.root)
        assert order == [f"a offline {name}" for name in ("web", "base", "disk")] + [
            f"b online {name}" for name in ("disk", "base", "web")
        ]
        assert "a group that it requires was moved" in command(a, "why", "shop").stdout
        assert "needs: db on the same node" in command(a, "status", "shop").stdout

        assert command(a, "offline", "db", "--with-dependents").returncode == 0
        assert record(cluster.root)[6:] == [f"b offline {name}" for name in ("web", "base", "disk")]
        assert command(a, "online", "shop").returncode == 1
        assert not log(a, "daemon.internal_error")
