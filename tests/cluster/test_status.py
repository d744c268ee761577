"""The status: what a node says of its cluster."""

from cluster.box import Box
from lineshaft.cluster.status import status_of, summary_of


def test_the_summary_says_who_leads_and_how_far_each_node_is() -> None:
    box = Box()
    leader = box.leader()
    box.advance(2)
    box.kill(box.others()[0].name)
    box.advance(5)
    names = [node.name for node in box.nodes.values() if node is not leader]
    found = summary_of(status_of("jobs", leader.name, leader.node, 0))
    assert (found["name"], found["node"], found["leader"]) == ("jobs", leader.name, leader.name)
    assert found["nodes"][leader.name] == {"role": "leader", "behind": 0, "seen_ms": 0}
    assert {found["nodes"][name]["role"] for name in names} == {"standby", "gone"}
    assert all(node.keys() == {"role", "behind", "seen_ms"} for node in found["nodes"].values())


def test_before_the_log_is_reached_nobody_leads() -> None:
    assert summary_of(status_of("jobs", "a", None, 0)) == {"name": "jobs", "node": "a", "leader": None, "nodes": {}}
