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
# A small disk; and what nobody waits for is written late, to be lost for sure.
printf '%s\\n' "max_wal_size = 128MB" "wal_writer_delay = 2s" >>"$1/data/postgresql.conf"
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

REDIS = Example(
    name="redis",
    group="shop",
    programs=("/usr/bin/redis-server", "/usr/bin/redis-cli"),
    files={"redis.conf": "/etc/failoverd/redis/redis.conf", "role.sh": "/etc/failoverd/redis/role.sh"},
    boot="""
chgrp -R redis /etc/failoverd/redis
chmod -R g+rX /etc/failoverd/redis
chmod go+x /etc/failoverd
install -d -o redis -g redis -m 750 /var/lib/redis/shop /var/log/redis
""",
    client=("redis", "10.0.0.102:6379"),
)

_FILL_MARIADB = """
mkdir "$1/data"
mariadb-install-db --no-defaults --user=mysql --datadir="$1/data" --skip-test-db \\
    --auth-root-authentication-method=socket >/dev/null
mariadbd --no-defaults --user=mysql --datadir="$1/data" --bootstrap <<SQL
create database books;
create table books.entries (number bigint, value text, node text) engine=innodb;
flush privileges;
create user books identified by 'secret';
grant all on books.* to books;
SQL
"""

MARIADB = Example(
    name="mariadb",
    programs=("/usr/sbin/mariadbd", "/usr/bin/mariadb", "/usr/bin/mariadb-install-db", "/usr/sbin/mkfs.ext4"),
    files={"my.cnf": "/etc/failoverd/mariadb/my.cnf"},
    fill=_FILL_MARIADB,
    boot="""
chmod go+x /etc/failoverd
chmod go+rX /etc/failoverd/mariadb /etc/failoverd/mariadb/my.cnf
mkdir -p /srv/books
install -d -o mysql -g mysql -m 755 /run/mysqld /var/log/mysql
""",
    client=("mariadb", "10.0.0.103:3306"),
)


def needs(example: Example) -> pytest.MarkDecorator:
    lacking = [program for program in example.programs if not Path(program).exists()]
    return pytest.mark.skipif(bool(lacking), reason=f"{example.name} needs {', '.join(lacking) or '-'}: .ci/packages")
