#!/bin/bash
# Speaks to a lab's power switch (see power.py): power.sh DIRECTORY off|status HOST
set -u
directory=$1 action=$2 host=$3
reply=reply.$HOSTNAME.$$
mkfifo "$directory/$reply" || exit 1
exec 3<>"$directory/$reply"
echo "$action $host $HOSTNAME $reply" >"$directory/request"
read -rt 5 state <&3
got=$?
rm -f "$directory/$reply"
[[ $got == 0 ]] || exit 1
echo "$state"
