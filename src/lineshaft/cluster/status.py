"""The status of the cluster, as a node sees it: for CLUSTER STATUS, the pages and the metrics; in short for INFO."""

from typing import Any

from lineshaft.cluster.node import Node
from lineshaft.cluster.presence import LEASE_MS, Presence, Role

__all__ = ["status_of", "summary_of"]


def status_of(cluster: str, name: str, node: Node | None, forwarded: int, problem: str = "") -> dict[str, Any]:
    """Who leads, where each node is, and how far behind; `seen_ms` is how long ago it last said something.

    `problem` is what stands between this node and NATS.
    """
    problem = problem or (node.problem if node is not None else "")
    about = {"cluster": cluster, "node": name, "problem": problem or None}
    if node is None:
        return {**about, "role": Role.STARTING.value, "leader": None, "nodes": []}
    now = node.clock()
    own = node.presence()
    leader = own if node.role is Role.LEADER else node.watch.leader
    end = node.reading.sequence if node.role is Role.LEADER else node.reading.end
    notices = node.watch.presences.seen.values()
    nodes = {seen.presence.node: _about(seen.presence, end, now - seen.at) for seen in notices}
    nodes[name] = _about(own, end, 0)
    since = node.took_over_at if node.role is Role.LEADER else None
    return {
        **about,
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


def summary_of(status: dict[str, Any]) -> dict[str, Any]:
    """Of a status, what any client may know: who leads, and how far each node is; no addresses."""
    nodes = {one["node"]: {name: one[name] for name in ("role", "behind", "seen_ms")} for one in status["nodes"]}
    return {"name": status["cluster"], "node": status["node"], "leader": status["leader"], "nodes": nodes}


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
        "problem": presence.problem or None,
    }
