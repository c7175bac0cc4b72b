#!/bin/sh
# Promotes and demotes this node's Redis server: role.sh promote|demote|demote-now|role
#
# Exit status as failoverd wants it of a monitor: 0 primary, 7 not, anything else failed.
set -u
conf=/etc/failoverd/redis/redis.conf
primary=$(awk '$1 == "replicaof" { print $2, $3 }' $conf)
REDISCLI_AUTH=$(awk '$1 == "requirepass" { print $2 }' $conf)
export REDISCLI_AUTH

ask() { timeout 2 redis-cli -e -h 127.0.0.1 "$@"; }

role() { # 0 primary, 7 replica, or no server at all
    answer=$(ask role 2>&1)
    case $answer in
    master*) return 0 ;;
    slave*) return 7 ;;
    *"Connection refused"*) return 7 ;;
    *LOADING*) return 7 ;; # it has just started, so as a replica
    esac
    echo "$answer" >&2
    return 1
}

demote() {
    # shellcheck disable=SC2086  # two words
    ask replicaof $primary >/dev/null
}

case $1 in
role)
    role
    ;;
promote)
    tries=0
    until ask replicaof no one >/dev/null; do # its server may be starting
        tries=$((tries + 1))
        [ $tries -lt 80 ] || exit 1
        sleep 0.1
    done
    role
    ;;
demote)
    role
    case $? in
    0) ;;
    7) exit 0 ;;
    *) exit 1 ;;
    esac
    # In one connection: a last write, after which there is none (no server has so many replicas); and wait until a
    # replica has it, and so everything before it.
    in_step=$(
        timeout 7 redis-cli -h 127.0.0.1 <<END | tail -n 1
multi
set failoverd:switched $FAILOVERD_GENERATION
config set min-replicas-to-write 100
exec
wait 1 5000
END
    )
    [ "$in_step" != 0 ] || echo "no replica is in step: what was written last is only here" >&2
    demote
    status=$?
    ask config set min-replicas-to-write 0 >/dev/null
    exit $status
    ;;
demote-now)
    role
    case $? in
    0) demote ;;
    7) exit 0 ;;
    *) exit 1 ;;
    esac
    ;;
*)
    exit 2
    ;;
esac
