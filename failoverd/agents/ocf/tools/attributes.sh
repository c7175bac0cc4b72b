# Node attributes and promotion scores in files, for the stand-ins beside this file, which source it.
#
# $FAILOVERD_OCF_ATTRIBUTES/SCOPE/NODE/NAME holds the value. They are this node's own: they are not told to other nodes,
# and they are gone after a boot. SCOPE is "status" for what is true until the next boot, "nodes" for what was set "forever",
# "crm_config" for what belongs to the cluster.

: "${FAILOVERD_OCF_ATTRIBUTES:?is set by failoverd when it runs a resource agent}"
THIS_NODE=${OCF_RESKEY_CRM_meta_on_node:-${FAILOVERD_NODE:-$(uname -n)}}
EX_USAGE=64
EX_NOSUCH=105 # of Pacemaker: the attribute has no value

die() {
    echo "${0##*/}: $2" >&2
    exit "$1"
}

# A name as the name of a file: what could lead out of the directory is replaced.
plain() {
    case $1 in
    '' | .*) die $EX_USAGE "not a name: '$1'" ;;
    */*) printf '%s' "$1" | tr / _ ;;
    *) printf '%s' "$1" ;;
    esac
}

# file_of SCOPE NODE NAME
file_of() {
    node_part=$(plain "$2") && name_part=$(plain "$3") || exit $EX_USAGE
    printf '%s/%s/%s/%s' "$FAILOVERD_OCF_ATTRIBUTES" "$1" "$node_part" "$name_part"
}

# put FILE VALUE: whole or not at all
put() {
    mkdir -p "${1%/*}" && printf '%s\n' "$2" >"$1.$$" && mv -f "$1.$$" "$1"
}

# sum OLD CHANGE: CHANGE is a value, or "value++", or "value+=N", as Pacemaker understands them
sum() {
    case $2 in
    value++) echo $((${1:-0} + 1)) ;;
    value+=*) echo $((${1:-0} + ${2#value+=})) ;;
    *) printf '%s' "$2" ;;
    esac
}
