"""The etcd member that failoverd runs on a node itself (``coordinator: {type: etcd, managed: true}``).

From the bottom up: ``layout`` is names, ports and paths (pure), ``certificates`` the authority that every node derives
from the cluster key, ``messages`` what members say of themselves (pure), ``joining`` what a node without data may do
(pure), ``ports`` what is asked of members, ``asking`` how, ``greeting`` what a node answers before its member runs,
``process`` the etcd process, ``entry`` the way into the cluster, ``health`` what is known of every member,
``caretaker`` what is done about it, and ``member`` puts it together.

The safety rule: a member that has lost its data must never vote as the one it was, for it has forgotten what it had
confirmed. So a node without data forms a new cluster only if every other voter says that it has none either; else it is
removed from the cluster that there is and enters it as a new member.
"""
