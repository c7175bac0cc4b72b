#!/bin/bash
# An `exec` component for trials: agent.sh ROOT online|offline|monitor SECONDS
#
# Builtins only, so that it costs one exec and no fork. It writes down when it began and ended, from its own clock; the
# checkers read these records and nothing that the daemons say.
began=$EPOCHREALTIME
state=$1/$FAILOVERD_NODE/volatile/$FAILOVERD_COMPONENT.state
if [[ $2 == monitor ]]; then
    [[ -s $state ]] && exit 0
    exit 7
fi
echo "$began begin $FAILOVERD_NODE $2 $FAILOVERD_COMPONENT" >>"$1/records"
if [[ $3 != 0 ]]; then
    # Nobody writes to the pipe: a sleep without a process of its own.
    read -rt "$3" <>"$1/pipe"
fi
if [[ $2 == online ]]; then
    echo online >"$state"
else
    : >"$state"
fi
echo "$EPOCHREALTIME end $FAILOVERD_NODE $2 $FAILOVERD_COMPONENT" >>"$1/records"
exit 0
