"""``ports.Coordinator`` over etcd's v3 API, by its JSON gateway (etcd 3.4 and later).

From the bottom up: ``messages`` is the wire format (pure), ``endpoints`` which member is asked, ``access`` TLS and
user, ``gateway`` one HTTP exchange, ``client`` a request with its deadline over all members, ``watch`` the stream of
changes, ``coordinator`` the port itself.

The gateway and not gRPC, because grpc.aio loses cancellations of anyio's scopes.
"""
