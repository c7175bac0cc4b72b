#!/bin/bash
# A `process` component for trials: beat.sh ROOT writes the time, its node and its name into ROOT/beats, again and again.
# Builtins only. What it wrote last is when it was last alive, by its own clock.
while :; do
    echo "$EPOCHREALTIME $FAILOVERD_NODE $FAILOVERD_COMPONENT" >>"$1/beats"
    read -rt 0.02 <>"$1/pipe"
done
