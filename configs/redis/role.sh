#!/bin/sh
# Promotes and demotes this node's Redis server: role.sh promote|demote|demote-now|role
#
# Exit status as failoverd wants it of a monitor: 0 primary, 7 not, anything else failed. Each step is one redis-cli and
# nothing else: what a handover takes is what these programs take to start.
set -u
pidfile=/var/lib/redis/shop/redis.pid
while read -r key value; do
    case $key in
    replicaof) primary=$value ;;
    requirepass) export REDISCLI_AUTH="$value" ;;
    esac
done </etc/failoverd/redis/redis.conf

ask() { # commands, one each; all in one connection
    said=$(printf '%s\n' "$@" | redis-cli -h 127.0.0.1 2>&1)
}

judge() { # what a `role` at the end of them says: 0 primary, 7 replica or no server at all
    case $said in
    *master*) return 0 ;;
    *slave*) return 7 ;;
    *"Connection refused"*) return 7 ;;
    *LOADING*) return 7 ;; # it has just started, so as a replica
    esac
    echo "$said" >&2
    return 1
}

case $1 in
role)
    ask role
    judge
    ;;
promote)
    tries=0
    until ask "replicaof no one" role && judge; do # its server may be starting
        tries=$((tries + 1))
        [ $tries -lt 30 ] || {
            echo "not promoted: $said" >&2
            exit 1
        }
        sleep 0.1
    done
    ;;
demote)
    # A last write, after which there is none, for no server has so many replicas; and wait until a replica has it, and so
    # everything before it. A server that is no primary refuses these, and stays what it is.
    ask multi "set failoverd:switched $FAILOVERD_GENERATION" "config set min-replicas-to-write 100" exec "wait 1 5000" \
        "replicaof $primary" "config set min-replicas-to-write 0" role
    judge
    [ $? = 7 ]
    ;;
demote-now)
    # Nobody waits: the lease is running out. A server that does not answer is killed.
    said=$(printf '%s\n' "replicaof $primary" role | timeout 0.5 redis-cli -h 127.0.0.1 2>&1)
    judge
    [ $? = 7 ] && exit 0
    read -r pid <$pidfile && read -r name <"/proc/$pid/comm" && [ "$name" = redis-server ] && kill -KILL "$pid"
    ;;
*)
    exit 2
    ;;
esac
