#!/bin/bash
# A fence agent (FenceAgentAPI of the fence-agents project) for a lab's power switch, see power.py.
#
# It reads name=value lines: action, nodename (the host), directory (the switch's).
action=off nodename='' directory=''
while IFS='=' read -r name value; do
    case $name in
    action | nodename | directory) declare "$name=$value" ;;
    esac
done

case $action in
metadata)
    cat <<'XML'
<?xml version="1.0" ?>
<resource-agent name="fence_lab" shortdesc="Power switch of a lab">
<longdesc>Cuts the power of a host of a lab.</longdesc>
<vendor-url>-</vendor-url>
<parameters>
<parameter name="action" unique="0" required="1"><content type="string" default="off"/></parameter>
<parameter name="nodename" unique="0" required="0"><content type="string"/></parameter>
<parameter name="directory" unique="0" required="1"><content type="string"/></parameter>
</parameters>
<actions>
<action name="off"/><action name="status"/><action name="monitor"/><action name="metadata"/>
</actions>
</resource-agent>
XML
    exit 0
    ;;
monitor)
    [[ -p $directory/request ]]
    exit
    ;;
off | status) ;;
*) exit 1 ;;
esac

reply=reply.$HOSTNAME.$$
mkfifo "$directory/$reply" || exit 1
exec 3<>"$directory/$reply"
echo "$action $nodename $HOSTNAME $reply" >"$directory/request"
read -rt 2 state <&3
got=$?
rm -f "$directory/$reply"
[[ $got == 0 ]] || exit 1
case $action/$state in
off/off | status/on) exit 0 ;;
status/off) exit 2 ;;
*) exit 1 ;;
esac
