"""The examples of ``configs/`` that are run, and what each needs on a host beside its files."""

from pathlib import Path

import pytest

from tests.stacks.stack import Example

POSTGRES = Path("/usr/lib/postgresql/15/bin")

_FILL_POSTGRES = f"""
install -d -o postgres -g postgres -m 700 "$1/data"
as_postgres() {{ setpriv --reuid=postgres --regid=postgres --init-groups env PATH={POSTGRES}:$PATH "$@"; }}
as_postgres initdb -D "$1/data" --auth-local=peer --auth-host=scram-sha-256 --no-sync -E UTF8 --locale=C >/dev/null
sed -i '1i local shop shop scram-sha-256' "$1/data/pg_hba.conf"
echo "max_wal_size = 128MB" >>"$1/data/postgresql.conf"
single() {{ as_postgres postgres --single -D "$1/data" "$2" >/dev/null; }}
printf '%s\\n' "create role shop login password 'secret'" "create database shop owner shop" | single "$1" postgres
echo "create table entries (number bigint, value text, node text); alter table entries owner to shop" | single "$1" shop
"""

POSTGRESQL = Example(
    name="postgresql",
    programs=(f"{POSTGRES}/postgres", "/usr/sbin/pgbouncer", "/usr/sbin/mkfs.ext4"),
    files={"pgbouncer.ini": "/etc/pgbouncer/pgbouncer.ini"},
    fill=_FILL_POSTGRES,
    boot="""
mkdir -p /srv/shop /var/log/postgresql
install -d -o postgres -g postgres -m 2775 /run/postgresql
chown postgres /etc/pgbouncer /etc/pgbouncer/pgbouncer.ini
echo '"shop" "secret"' >/etc/pgbouncer/userlist.txt
chown postgres /etc/pgbouncer/userlist.txt
""",
    client=("postgresql", "10.0.0.100:6432"),
)

NGINX = Example(
    name="nginx",
    programs=("/usr/sbin/nginx",),
    files={"site.conf": "/etc/nginx/site.conf", "worker.py": "/srv/site/worker.py"},
    boot="chmod 644 /srv/site/worker.py",
    client=("http", "10.0.0.101:80"),
    keeps=False,
)


def needs(example: Example) -> pytest.MarkDecorator:
    lacking = [program for program in example.programs if not Path(program).exists()]
    return pytest.mark.skipif(bool(lacking), reason=f"{example.name} needs {', '.join(lacking) or '-'}: .ci/packages")
