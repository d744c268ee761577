"""Nodes: who leads, who takes over and when, and that nothing acknowledged is lost on the way."""

import json

from cluster.box import Box, NodeBox, ask
from harness import Peer
from lineshaft.cluster.presence import LEASE_MS, Role
from lineshaft.cluster.replicated import ReplicatedStore
from lineshaft.errors import StoreBusy
from lineshaft.store.memory import MemoryStore

OK = b"+OK\r\n"


def push(jid: str, **fields: object) -> str:
    return "PUSH " + json.dumps({"jid": jid, "jobtype": "T", "args": [], **fields})


def connect(node: NodeBox, hello: str = '{"v":2}') -> Peer:
    """A connection to the leader; the reply to its HELLO needs no commit."""
    return node.connect(hello)


def rows(node: NodeBox) -> dict[bytes, bytes]:
    return dict(node.local.scan(b"", b"\xff", limit=100_000))


def same(box: Box) -> bool:
    """Whether all running nodes have the same rows, position and all."""
    running = [rows(node) for node in box.nodes.values() if not node.is_paused]
    return all(one == running[0] for one in running)


def test_one_node_leads_and_the_others_know_which() -> None:
    box = Box()
    leader = box.leader()
    box.advance(2)
    assert [node.pointed[-1] for node in box.others()] == [leader.name] * 2
    assert box.leaders() == [leader]
    assert leader.node.takeover_ms < 1000


def test_what_the_leader_takes_is_on_every_node() -> None:
    box = Box()
    peer = connect(box.leader())
    assert ask(box, peer, push("job-00001")) == OK
    assert ask(box, peer, push("job-00002", at="2096-01-01T00:00:00Z")) == OK
    assert b"job-00001" in ask(box, peer, "FETCH default")
    assert ask(box, peer, 'ACK {"jid":"job-00001"}') == OK
    box.advance(1)
    assert same(box)
    assert rows(box.nodes["a"])


def test_every_reply_waits_for_the_log() -> None:
    box = Box()
    leader = box.leader()
    peer = connect(leader)
    assert ask(box, peer, push("job-00001")) == OK
    for line, reply in [(push("job-00002"), OK), ("FETCH default", b"job-00001"), ('ACK {"jid":"job-00001"}', OK)]:
        assert peer.ask(line) == b"", line
        box.settle()
        assert reply in peer.take()
    # What changes nothing has nothing to wait for.
    assert b"faktory" in peer.ask("INFO")


def test_a_job_is_handed_out_by_the_next_leader_and_the_lease_of_the_last_one_holds() -> None:
    box = Box()
    old = box.leader()
    peer = connect(old, '{"v":2,"wid":"worker-1","hostname":"h","pid":1,"labels":[]}')
    for number in range(3):
        assert ask(box, peer, push(f"job-0000{number}")) == OK
    assert b"job-00000" in ask(box, peer, "FETCH default")
    box.kill(old.name)
    new = box.leader()
    assert new is not old
    again = connect(new, '{"v":2,"wid":"worker-1","hostname":"h","pid":1,"labels":[]}')
    assert b"job-00001" in ask(box, again, "FETCH default")
    assert ask(box, again, 'ACK {"jid":"job-00000"}') == OK
    assert ask(box, again, 'ACK {"jid":"job-00001"}') == OK
    assert b"job-00002" in ask(box, again, "FETCH default")


def test_a_standby_takes_over_within_five_seconds() -> None:
    box = Box()
    old = box.leader()
    box.advance(10)
    box.kill(old.name)
    began = box.clock()
    box.leader()
    assert box.clock() - began <= 5000


def test_the_time_that_a_standby_waited_is_no_leap_of_the_clock() -> None:
    # A leap would be taken for a clock that was set, and shift what is owed to throttles and workers by as much.
    box = Box()
    old = box.leader()
    box.advance(45)
    box.kill(old.name)
    new = box.leader()
    assert box.clock() - new.began_at <= 1000


def test_a_leader_that_stops_in_good_order_is_followed_at_once() -> None:
    box = Box()
    old = box.leader()
    box.advance(10)
    old.node.stop()
    box.settle()
    box.kill(old.name)
    began = box.clock()
    box.leader()
    assert box.clock() - began <= 1000


def test_leadership_is_handed_over_on_request() -> None:
    box = Box()
    old = box.leader()
    box.advance(2)
    peer = connect(old)
    assert ask(box, peer, push("job-00001")) == OK
    heir = box.others()[1].name
    old.node.hand_over(heir)
    began = box.clock()
    box.advance(1)
    assert [node.name for node in box.leaders()] == [heir]
    assert box.clock() - began <= 1000
    assert peer.closed
    assert b"job-00001" in ask(box, connect(box.leader()), "FETCH default")
    # It stays there: the former leader does not want it back.
    box.advance(20)
    assert [node.name for node in box.leaders()] == [heir]


def test_who_was_handed_the_lead_hands_it_on_at_once_too() -> None:
    box = Box()
    old = box.leader()
    box.advance(2)
    heir = box.others()[0]
    old.node.hand_over(heir.name)
    box.advance(2)
    assert box.leaders() == [heir]
    heir.node.stop()
    box.settle()
    box.kill(heir.name)
    began = box.clock()
    box.leader()
    assert box.clock() - began <= 1000


def test_a_node_that_was_away_reads_what_it_missed() -> None:
    box = Box()
    leader = box.leader()
    away = box.others()[0]
    box.kill(away.name)
    peer = connect(leader)
    for number in range(50):
        assert ask(box, peer, push(f"job-000{number:02}")) == OK
    box.start(away.name)
    box.advance(2)
    assert same(box)


def test_a_node_with_an_empty_disk_takes_the_place_of_a_dead_one() -> None:
    box = Box()
    peer = connect(box.leader())
    assert ask(box, peer, push("job-00001")) == OK
    dead = box.others()[0]
    box.kill(dead.name)
    box.start("d", MemoryStore())
    box.advance(2)
    assert same(box)


def test_the_whole_cluster_stops_and_starts_again() -> None:
    box = Box()
    assert ask(box, connect(box.leader()), push("job-00001")) == OK
    for name in "abc":
        box.kill(name)
    box.advance(5)
    for name in "abc":
        box.start(name)
    assert b"job-00001" in ask(box, connect(box.leader()), "FETCH default")


def test_a_turn_larger_than_an_entry_is_whole_on_every_node() -> None:
    box = Box(limit_bytes=4096)
    peer = connect(box.leader())
    assert ask(box, peer, push("job-00001", args=["x" * 20_000])) == OK
    box.advance(1)
    assert same(box)
    assert box.log.last > 5


def test_a_store_that_has_jobs_of_its_own_may_not_join() -> None:
    box = Box("a")
    node = box.start("b", MemoryStore({b"F": b"1"}))
    box.advance(1)
    assert "export" in str(node.failures[0])
    assert node.node.role is not Role.LEADER


def test_a_log_that_was_made_anew_is_refused() -> None:
    box = Box("a")
    assert ask(box, connect(box.leader()), push("job-00001")) == OK
    box.kill("a")
    box.log.log_id, box.log.entries = "log-2", []
    node = box.start("a")
    box.advance(1)
    assert "log-2" in str(node.failures[0])


def test_a_gap_asks_for_a_snapshot() -> None:
    box = Box("a")
    assert ask(box, connect(box.leader()), push("job-00001")) == OK
    box.log.purge(box.log.last - 1)
    node = box.start("b")
    box.advance(1)
    assert node.lacks_snapshot
    assert node.node.role is Role.STARTING


def test_a_log_that_answers_with_what_it_was_a_moment_ago_is_no_loss() -> None:
    box = Box()
    peer = connect(box.leader())
    box.advance(1)
    standby = box.others()[0]
    box.clock.now += 500
    standby.node.tick()
    questions = list(standby.link.requests)
    standby.link.requests.clear()
    for question in questions:
        question.arrive()
    assert ask(box, peer, push("job-00001")) == OK
    for question in questions:
        question.answer()
    box.advance(30)
    assert not standby.failures
    assert same(box)


def test_a_log_that_has_lost_entries_is_refused_after_a_while() -> None:
    box = Box("a")
    peer = connect(box.leader())
    for number in range(9):
        assert ask(box, peer, push(f"job-0000{number}")) == OK
    # What stands is in the node's own store some moments later.
    box.advance(1)
    box.kill("a")
    del box.log.entries[-4:]
    node = box.start("a")
    box.advance(10)
    assert not node.failures
    assert node.node.role is not Role.LEADER
    box.advance(10)
    assert "lost entries" in str(node.failures[0])


def test_the_log_is_purged_to_the_older_snapshot_and_never_past_a_live_node() -> None:
    box = Box()
    leader = box.leader()
    peer = connect(leader)
    for number in range(20):
        assert ask(box, peer, push(f"job-000{number:02}")) == OK
    box.advance(2)
    box.board.notices["snapshot.15"] = b"digest"
    box.advance(2)
    assert box.log.first == 1
    box.board.notices["snapshot.19"] = b"digest"
    behind = box.others()[0]
    behind.local.commit, commit = _busy, behind.local.commit  # type: ignore[method-assign, assignment]
    assert ask(box, peer, push("job-00020")) == OK
    box.advance(2)
    assert box.log.first == 16
    for sequence in (21, 22):
        box.board.notices[f"snapshot.{sequence}"] = b"digest"
    for number in range(21, 30):
        assert ask(box, peer, push(f"job-000{number}")) == OK
    box.advance(2)
    assert box.log.first == min(21, behind.node.presence().sequence) + 1
    behind.local.commit = commit  # type: ignore[method-assign]
    box.advance(2)
    assert same(box)


def _busy(*_: object) -> None:
    raise StoreBusy("a write stall")


def test_a_notice_from_before_it_led_does_not_say_that_it_leads() -> None:
    box = Box("a")
    node = box.leader()
    leading = node.node.leading
    assert leading is not None
    box.clock.now += LEASE_MS - 100
    # As while it claims: the notice is sent, and answered when it leads.
    node.node.leading = None
    node.node._post(box.clock())
    node.node.leading = leading
    node.carry_board()
    box.clock.now += 200
    assert not leading.is_current()


def test_a_node_that_cannot_serve_does_not_go_on_saying_that_it_leads() -> None:
    box = Box("a")
    node = box.nodes["a"]

    def lead(_: ReplicatedStore) -> None:
        raise TypeError("a defect")

    node.lead = lead  # type: ignore[method-assign]
    box.advance(10)
    assert "a defect" in str(node.failures[0])
