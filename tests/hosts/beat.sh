#!/bin/bash
# A `process` component for hosts: beat.sh DIRECTORY says again and again that it is alive, in DIRECTORY/beats, a file of
# all hosts: as with the records, the order of the lines is the order of what happened.
while :; do
    read -r up _ </proc/uptime
    echo "$up $EPOCHREALTIME $FAILOVERD_NODE $FAILOVERD_COMPONENT $$" >>"$1/beats"
    read -rt 0.02 <>"$1/pipe"
done
