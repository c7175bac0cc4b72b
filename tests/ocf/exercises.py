"""What each agent of the resource-agents package is put through."""

import os
import pwd
import shutil
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import anyio

from failoverd import procfs
from tests.ocf.stage import Exercise, Stage


@dataclass(frozen=True)
class Case:
    agent: str
    run: Exercise
    needs: tuple[str, ...] = ()
    """Programs, or files by their path, without which it cannot be tried."""
    fault: str = "offline"
    """What a monitor says of the fault that is made."""

    @property
    def missing(self) -> list[str]:
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        return [one for one in self.needs if not (Path(one).exists() if "/" in one else shutil.which(one, path=path))]


def file_of(stage: Stage, prefix: str) -> Path:
    return stage.state / f"{prefix}{stage.instance}.state"


def remove(path: Path) -> Callable[[], Awaitable[None]]:
    async def fault() -> None:
        os.unlink(path)  # noqa: PTH108 (a pathlib call is taken for one that blocks)

    return fault


def kill(path: Path, number: int = signal.SIGKILL) -> Callable[[], Awaitable[None]]:
    """The process that a pid file names, and wait until it is gone."""

    async def fault() -> None:
        pid = signalled(path, number)
        with anyio.fail_after(10):
            while runs(pid):  # noqa: ASYNC110 (a process of somebody else's tells nobody)
                await anyio.sleep(0.02)

    return fault


def signalled(path: Path, number: int) -> int:
    pid = int(path.read_text().split()[0])
    os.kill(pid, number)
    return pid


def runs(pid: int) -> bool:
    there = procfs.stat(pid)
    return there is not None and there.alive


async def dummy(stage: Stage) -> None:
    await stage.component("ocf:heartbeat:Dummy", {}).lifecycle(remove(file_of(stage, "Dummy-")))


async def dummypy(stage: Stage) -> None:
    state = stage.root / "state"
    await stage.component("ocf:heartbeat:dummypy", {"state": str(state)}).lifecycle(remove(state))


async def delay(stage: Stage) -> None:
    keys = {"startdelay": "0", "stopdelay": "0", "mondelay": "0"}
    await stage.component("ocf:heartbeat:Delay", keys).lifecycle(remove(stage.state / f"Delay_{stage.instance}"))


async def stateful(stage: Stage) -> None:
    """Promoted; found demoted by somebody else."""
    state = file_of(stage, "Stateful-")

    async def fault() -> None:
        state.write_text("slave\n")

    await stage.component("ocf:heartbeat:Stateful", {}, role="promoted").lifecycle(fault)


async def stateful_kept(stage: Stage) -> None:
    """Promoted and demoted, running all the while."""
    it = stage.component("ocf:heartbeat:Stateful", {}, role="promoted", offline_as="unpromoted")
    for step in (it.probe, it.prepare, it.probe, it.online, it.probe, it.offline, it.probe, it.online, it.probe):
        await step()
    file_of(stage, "Stateful-").unlink()
    for step in (it.probe, it.offline, it.probe):
        await step()


async def anything(stage: Stage) -> None:
    pidfile = stage.root / "pid"
    keys = {"binfile": "/bin/sleep", "cmdline_options": "1000", "pidfile": str(pidfile)}
    await stage.component("ocf:heartbeat:anything", keys).lifecycle(kill(pidfile))


async def symlink(stage: Stage) -> None:
    target, link = stage.root / "target", stage.root / "link"
    target.write_text("content")
    keys = {"link": str(link), "target": str(target)}
    await stage.component("ocf:heartbeat:symlink", keys).lifecycle(remove(link))


async def filesystem(stage: Stage) -> None:
    image, directory = stage.root / "image", stage.root / "mounted"
    directory.mkdir()
    with image.open("wb") as file:
        file.truncate(8 << 20)
    await stage.sh("mkfs.ext4", "-q", "-F", str(image))
    keys = {"device": str(image), "directory": str(directory), "fstype": "ext4", "options": "loop"}
    it = stage.component("ocf:heartbeat:Filesystem", keys)
    await it.lifecycle(lambda: stage.sh("umount", str(directory)))


async def ipaddr2(stage: Stage) -> None:
    keys = {"ip": "10.77.0.100", "cidr_netmask": "24", "nic": "lan0", "arp_count": 1, "arp_interval": 10}
    it = stage.component("ocf:heartbeat:IPaddr2", keys)
    await it.lifecycle(lambda: stage.sh("ip", "address", "del", "10.77.0.100/24", "dev", "lan0"))


async def ipsrcaddr(stage: Stage) -> None:
    await stage.sh("ip", "address", "add", "10.78.0.1/24", "dev", "lan1")
    await stage.sh("ip", "route", "add", "default", "via", "10.78.0.254", "dev", "lan1")
    keys = {"ipaddress": "10.78.0.1", "cidr_netmask": "24"}
    it = stage.component("ocf:heartbeat:IPsrcaddr", keys)

    async def fault() -> None:
        await stage.sh("ip", "route", "replace", "10.78.0.0/24", "dev", "lan1", "scope", "link")
        await stage.sh("ip", "route", "replace", "default", "via", "10.78.0.254", "dev", "lan1")

    await it.lifecycle(fault)


async def route(stage: Stage) -> None:
    keys = {"destination": "192.0.2.0/24", "device": "lan0"}
    it = stage.component("ocf:heartbeat:Route", keys)
    await it.lifecycle(lambda: stage.sh("ip", "route", "del", "192.0.2.0/24", "dev", "lan0"))


async def macvlan(stage: Stage) -> None:
    keys = {"device": "lan0", "name": "mv0", "mode": "bridge"}
    it = stage.component("ocf:heartbeat:iface-macvlan", keys)
    await it.lifecycle(lambda: stage.sh("ip", "link", "del", "mv0"))


async def nginx(stage: Stage) -> None:
    pid, config = stage.root / "nginx.pid", stage.root / "nginx.conf"
    paths = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    config.write_text(
        f"""user root;
pid {pid};
error_log {stage.root}/error.log;
events {{ worker_connections 16; }}
http {{
  access_log off;
  {" ".join(f"{path}_temp_path {stage.root}/{path};" for path in paths)}
  server {{
    listen 127.0.0.1:8088;
    location / {{ return 200 fine; }}
    location /nginx_status {{ stub_status; }}
  }}
}}
"""
    )
    keys = {
        "httpd": "/usr/sbin/nginx",
        "configfile": str(config),
        "status10url": "http://127.0.0.1:8088/nginx_status",
        "status10regex": "Active connections",
    }
    await stage.component("ocf:heartbeat:nginx", keys).lifecycle(kill(pid))


def owned(path: Path, user: str) -> Path:
    path.mkdir(exist_ok=True)
    entry = pwd.getpwnam(user)
    os.chown(path, entry.pw_uid, entry.pw_gid)
    return path


async def redis(stage: Stage) -> None:
    """Promoted: its own promotion score is kept by the stand-ins."""
    data = owned(stage.root / "data", "redis")
    config = data / "redis.conf"
    config.write_text(f'port 6399\nbind 127.0.0.1\ndir {data}\nsave ""\nlogfile {data}/log\n')
    run_dir = owned(stage.root / "run", "redis")
    keys = {"config": str(config), "rundir": str(run_dir), "port": "6399"}
    it = stage.component("ocf:heartbeat:redis", keys, role="promoted")
    await it.lifecycle(kill(run_dir / "redis-server.pid"))


def postgres_programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    return found[-1].parent if found else None


async def pgsql(stage: Stage) -> None:
    programs = postgres_programs()
    assert programs is not None
    home = owned(stage.root / "pg", "postgres")
    data = home / "data"
    as_postgres = ("setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups")
    await stage.sh(*as_postgres, str(programs / "initdb"), "-D", str(data), "-A", "trust", "--no-sync", "-E", "UTF8")
    with (data / "postgresql.conf").open("a") as file:
        file.write(f"listen_addresses = '127.0.0.1'\nunix_socket_directories = '{home}'\nfsync = off\n")
    keys = {
        "pgctl": str(programs / "pg_ctl"),
        "psql": str(programs / "psql"),
        "pgdata": str(data),
        "config": str(data / "postgresql.conf"),
        "socketdir": str(home),
        "pghost": "127.0.0.1",
        "pgport": "5499",
        "logfile": str(home / "log"),
    }
    await stage.component("ocf:heartbeat:pgsql", keys).lifecycle(kill(data / "postmaster.pid"))


async def mysql(stage: Stage) -> None:
    data, run_dir = owned(stage.root / "data", "mysql"), owned(stage.root / "run", "mysql")
    config = stage.root / "my.cnf"
    config.write_text("[mysqld]\nport=3399\nbind-address=127.0.0.1\ninnodb_flush_method=fsync\n")
    await stage.sh("mysql_install_db", "--user=mysql", f"--datadir={data}", "--skip-test-db")
    keys = {
        "config": str(config),
        "datadir": str(data),
        "pid": str(run_dir / "pid"),
        "socket": str(run_dir / "socket"),
        "log": str(run_dir / "log"),
        "binary": "/usr/sbin/mysqld",
        "additional_parameters": "--skip-networking",
    }
    await stage.component("ocf:heartbeat:mysql", keys).lifecycle(kill(run_dir / "pid"))


async def rsyncd(stage: Stage) -> None:
    pid, config = stage.root / "pid", stage.root / "rsyncd.conf"
    config.write_text(f"pid file = {pid}\nport = 8730\naddress = 127.0.0.1\n[files]\npath = {stage.root}\n")
    keys = {"binpath": "/usr/bin/rsync", "conffile": str(config)}
    # Not SIGKILL: the pid file that it would leave makes this agent answer "failed" until somebody removes it.
    await stage.component("ocf:heartbeat:rsyncd", keys).lifecycle(kill(pid, signal.SIGTERM))


_POSTGRES = str((postgres_programs() or Path("/usr/lib/postgresql/15/bin")) / "initdb")

EXERCISES = {
    "dummy": Case("ocf:heartbeat:Dummy", dummy),
    "dummypy": Case("ocf:heartbeat:dummypy", dummypy),
    "delay": Case("ocf:heartbeat:Delay", delay),
    "stateful": Case("ocf:heartbeat:Stateful", stateful, fault="failed"),
    "stateful-kept": Case("ocf:heartbeat:Stateful", stateful_kept),
    "anything": Case("ocf:heartbeat:anything", anything, fault="failed"),
    "symlink": Case("ocf:heartbeat:symlink", symlink),
    "filesystem": Case("ocf:heartbeat:Filesystem", filesystem, ("mkfs.ext4", "modprobe", "/dev/loop-control")),
    "ipaddr2": Case("ocf:heartbeat:IPaddr2", ipaddr2, ("ip",)),
    "ipsrcaddr": Case("ocf:heartbeat:IPsrcaddr", ipsrcaddr, ("ip",)),
    "route": Case("ocf:heartbeat:Route", route, ("ip",)),
    "macvlan": Case("ocf:heartbeat:iface-macvlan", macvlan, ("ip",)),
    "nginx": Case("ocf:heartbeat:nginx", nginx, ("/usr/sbin/nginx",)),
    "redis": Case("ocf:heartbeat:redis", redis, ("redis-server",)),
    "pgsql": Case("ocf:heartbeat:pgsql", pgsql, (_POSTGRES,)),
    "mysql": Case("ocf:heartbeat:mysql", mysql, ("/usr/sbin/mysqld", "mysql_install_db")),
    "rsyncd": Case("ocf:heartbeat:rsyncd", rsyncd, ("rsync",)),
}
"""By the name of its component."""
