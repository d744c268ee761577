"""The status of the cluster, as a node sees it: for CLUSTER STATUS, the pages and the metrics."""

from typing import Any

from lineshaft.cluster.node import Node
from lineshaft.cluster.presence import LEASE_MS, Presence, Role

__all__ = ["status_of"]


def status_of(cluster: str, name: str, node: Node | None, forwarded: int) -> dict[str, Any]:
    """Who leads, where each node is, and how far behind; `seen_ms` is how long ago it last said something."""
    if node is None:
        return {"cluster": cluster, "node": name, "role": Role.STARTING.value, "leader": None, "nodes": []}
    now = node.clock()
    own = node.presence()
    leader = own if node.role is Role.LEADER else node.watch.leader
    end = node.reading.sequence if node.role is Role.LEADER else node.reading.end
    notices = node.watch.presences.seen.values()
    nodes = {seen.presence.node: _about(seen.presence, end, now - seen.at) for seen in notices}
    nodes[name] = _about(own, end, 0)
    since = node.took_over_at if node.role is Role.LEADER else None
    return {
        "cluster": cluster,
        "node": name,
        "role": node.role.value,
        "leader": leader.node if leader is not None else None,
        "epoch": own.epoch,
        "end": end,
        "forwarded": forwarded,
        "takeovers": node.takeovers,
        "takeover_ms": node.takeover_ms,
        "leads_since_ms": None if since is None else now - since,
        "nodes": [nodes[each] for each in sorted(nodes)],
    }


def _about(presence: Presence, end: int, silent_ms: int) -> dict[str, Any]:
    is_there = silent_ms <= LEASE_MS and presence.role is not Role.STOPPED
    return {
        "node": presence.node,
        "role": presence.role.value if is_there else "gone",
        "address": presence.address,
        "web": presence.web,
        "version": presence.version,
        "epoch": presence.epoch,
        "sequence": presence.sequence,
        "behind": max(end - presence.sequence, 0),
        "seen_ms": silent_ms,
    }
