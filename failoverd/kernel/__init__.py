"""What the Linux kernel is asked and told directly: the standard library alone, so that the guard can use it too.

- ``netlink``: addresses and links (rtnetlink(7)); ``addresses``: one address taken away, with nothing else of it;
- ``announce``: gratuitous ARP and unsolicited neighbour advertisements, and the question whether somebody has it;
- ``mounts``: the table of mounts; ``holders``: which processes keep a mount busy;
- ``cgroups``: control groups: what runs in one, killing it.

Everything here may wait for a lock of the kernel: not for the event loop.
"""
