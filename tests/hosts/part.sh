#!/bin/bash
# An `exec` component for hosts: part.sh DIRECTORY online|offline|monitor SECONDS
#
# Builtins only. It writes down what it does and when: seconds since boot (CLOCK_BOOTTIME, in steps of 10 ms, as
# /proc/uptime has it) and the wall clock, which is finer. All hosts append to one file, so that the order of its lines
# is the order of what happened: the first thing that an online does is to write its line, the last thing that an
# offline does is to write its own.
read -r up _ </proc/uptime
began=$EPOCHREALTIME
state=/run/part.$FAILOVERD_GROUP.$FAILOVERD_COMPONENT
if [[ $2 == monitor ]]; then
    [[ -s $state ]] && exit 0
    exit 7
fi
echo "$up $began begin $FAILOVERD_NODE $2 $FAILOVERD_COMPONENT $FAILOVERD_GENERATION" >>"$1/records"
if [[ $3 != 0 ]]; then
    # Nobody writes to the pipe: a sleep without a process of its own.
    read -rt "$3" <>"$1/pipe"
fi
if [[ $2 == online ]]; then
    echo online >"$state"
else
    : >"$state"
fi
read -r up _ </proc/uptime
echo "$up $EPOCHREALTIME end $FAILOVERD_NODE $2 $FAILOVERD_COMPONENT $FAILOVERD_GENERATION" >>"$1/records"
exit 0
