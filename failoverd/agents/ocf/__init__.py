"""The ``ocf`` types: any resource agent of the Open Cluster Framework, as ``ocf:PROVIDER:NAME``.

- ``finder``: which agents are installed, and where;
- ``metadata``: what an agent's meta-data say, from XML;
- ``reading``: asking an agent for its meta-data, once for each version of its file;
- ``params``: the keys of a component, made from the agent's own meta-data;
- ``environment``: what an agent sees when it is called;
- ``codes``: what its exit statuses mean;
- ``agent``: the operations, in terms of what precedes;
- ``family``: the types' entry in the table of component types;
- ``tools/``: small stand-ins for the cluster manager's commands that agents call (``crm_attribute`` and others).

Sources: the OCF Resource Agent API 1.1 and the Resource Agent Developer's Guide (ClusterLabs).
"""
