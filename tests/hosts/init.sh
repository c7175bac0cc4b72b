#!/bin/bash
# PID 1 of a lab's host: init.sh NAME LAB OWN
#
# In namespaces of its own (network, mount, pid, uts, ipc) it makes the host what it is, says "up" on its standard
# output, and then does what an init does: it lives, and reaps. LAB is the lab's directory, which all its hosts see;
# OWN is this host's "disk" in it.
set -eu
name=$1 lab=$2 own=$3
exec 8<"$lab" 9>&1 >/dev/null

hostname "$name"
# Copies of the names of network namespaces would keep those alive that the lab removes.
umount -R -l /run/netns 2>/dev/null || :
# /etc, /var and /srv as the machine has them, with this host's own changes, which survive a power cut.
for directory in etc var srv; do
    mkdir -p "$own/$directory" "$own/work.$directory"
    mount -t overlay -o "lowerdir=/$directory,upperdir=$own/$directory,workdir=$own/work.$directory" lab "/$directory"
done
# What does not survive one.
for directory in /run /dev/shm; do
    mount -t tmpfs -o mode=1777 lab "$directory"
done
chmod 755 /run
mkdir -p -m 1777 /run/lock
# The lab's directory, should it be below one of those.
mkdir -p "$lab"
mount --no-canonicalize --bind /proc/self/fd/8 "$lab"
# Disks that all hosts reach.
mkdir -p /srv/san
mount --bind "$lab/san" /srv/san
# Another boot than the last one, and than the other hosts'.
cat /proc/sys/kernel/random/uuid >"$own/boot_id"
mount --bind "$own/boot_id" /proc/sys/kernel/random/boot_id
cat "$lab/hosts" >>/etc/hosts
mkdir -p /etc/failoverd /var/lib/failoverd

echo up >&9
exec 8<&- 9>&- 2>/dev/null
while :; do
    sleep 86400 &
    wait
done
