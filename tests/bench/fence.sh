#!/bin/bash
# A fence agent (FenceAgentAPI of the fence-agents project) for trials whose power the benchmark itself cuts.
#
# Parameters: root (the trial's directory), plug (the node), takes (seconds until it answers). It confirms that a node is
# off where everything that the machine loses with its power is gone. Builtins only, but for mkfifo's pipe in root.
while IFS='=' read -r name value; do
    case $name in
    action | root | plug | takes) declare "$name=$value" ;;
    esac
done
if [[ $action == metadata ]]; then
    echo '<resource-agent name="fence_trial"><parameters><parameter name="root"/><parameter name="plug"/>'
    echo '<parameter name="takes"/></parameters><actions><action name="off"/><action name="status"/></actions>'
    echo '</resource-agent>'
    exit 0
fi
[[ $action == off || $action == status ]] || exit 1
# Nobody writes to the pipe: a sleep without a process of its own.
read -rt "$takes" <>"$root/pipe"
if [[ $action == off ]]; then
    [[ ! -e $root/$plug/volatile ]]
    exit
fi
[[ -e $root/$plug/volatile ]] && exit 0
exit 2
