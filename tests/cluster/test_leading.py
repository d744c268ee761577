"""Leading: when a node leads no more, and what it answers until it knows."""

from cluster.box import Box, ask
from cluster.test_node import OK, connect, push, same
from invariants import rows_of
from lineshaft.cluster.presence import LEASE_MS, Role
from lineshaft.cluster.replicated import ReplicatedStore
from lineshaft.errors import StoreError
from lineshaft.store.memory import MemoryStore


def test_a_leader_without_a_majority_answers_with_an_error_within_the_lease() -> None:
    box = Box("a")
    leader = box.leader()
    peer = connect(leader)
    leader.is_cut = True
    assert ask(box, peer, push("job-00001")) == b""
    box.advance(3.2)
    assert peer.received.startswith(b"-ERR ")
    assert b"outcome is unknown" in peer.received
    assert peer.closed
    assert not box.leaders()
    # What it had sent arrives late, and is there when it leads again.
    for request in leader.late:
        request.arrive()
    leader.is_cut = False
    assert b"job-00001" in ask(box, connect(box.leader()), "FETCH default")


def test_an_idle_leader_without_a_majority_stops_leading_too() -> None:
    box = Box("a")
    leader = box.leader()
    peer = connect(leader)
    leader.is_cut = True
    box.advance(4.2)
    assert peer.closed
    assert not box.leaders()


def test_a_leader_without_a_majority_asks_the_nearest_standby_to_go_on() -> None:
    box = Box()
    old = box.leader()
    peer = connect(old)
    box.advance(5)
    # The log has nobody to answer, and the board has.
    dropped = [node.link for node in box.nodes.values()]
    peer.ask(push("job-00001"))
    while old.node.role is Role.LEADER:
        for link in dropped:
            for request in link.requests:
                request.time_out()
            link.requests.clear()
        box.clock.now += 100
        for node in box.nodes.values():
            node.node.tick()
            node.carry_board()
    assert b"no majority" in peer.received
    began = box.clock()
    assert box.leader() is not old
    assert box.clock() - began <= 1500


class Broken(MemoryStore):
    """A store that can be written and not be read, once it `is_broken`."""

    is_broken = False

    def get(self, key: bytes) -> bytes | None:
        if self.is_broken:
            raise StoreError("the disk cannot be read")
        return super().get(key)


def test_whoever_steps_down_and_cannot_read_its_store_serves_nobody_either() -> None:
    box = Box("a")
    store = Broken()
    leader = box.start("a", store)
    box.leader()
    peer = connect(leader)
    assert ask(box, peer, push("job-00001")) == OK
    store.is_broken = True
    leader.node.step_down("a test wants it")
    assert peer.closed
    assert [str(failure) for failure in leader.failures] == ["the disk cannot be read"]
    # What it led with is ahead of its store: it writes nothing behind that, though the disk can be read again.
    store.is_broken = False
    before = rows_of(store)
    box.advance(10)
    assert leader.node.role is Role.STOPPED
    assert rows_of(store) == before


def test_a_leader_that_slept_longer_than_its_lease_promises_nothing_when_it_wakes() -> None:
    box = Box()
    old = box.leader()
    peer = connect(old)
    assert ask(box, peer, push("job-00001")) == OK
    old.is_paused = True
    box.advance(10)
    new = box.leader()
    assert new is not old
    assert ask(box, connect(new), push("job-00002")) == OK
    old.is_paused = False
    # Its clients' commands were waiting in the socket, and are read before anything else.
    assert old.node.role is Role.LEADER
    peer.ask(push("job-00003"))
    peer.ask("FETCH default")
    box.settle()
    assert peer.received.count(b"-ERR ") == 2
    assert b"job-00001" not in peer.received
    assert peer.closed
    box.advance(1)
    assert box.leaders() == [new]
    assert same(box)


def test_a_leader_that_slept_longer_than_its_lease_answers_nothing_that_it_did_not_write() -> None:
    # The log cannot vouch for a reply to which nothing was written. This worker has the job from the new leader.
    box = Box()
    old = box.leader()
    peer = connect(old, '{"v":2,"wid":"w","hostname":"h","pid":1,"labels":[]}')
    old.is_paused = True
    box.advance(10)
    new = box.leader()
    again = connect(new, '{"v":2,"wid":"w","hostname":"h","pid":1,"labels":[]}')
    assert ask(box, again, push("job-00001")) == OK
    assert b"job-00001" in ask(box, again, "FETCH default")
    old.is_paused = False
    assert peer.ask('ACK {"jid":"job-00001"}') == b""
    assert peer.ask("INFO") == b""
    box.advance(1)
    assert peer.received.count(b"-ERR ") == 2
    assert peer.closed


def test_a_leader_whose_notice_was_late_answers_once_it_is_up() -> None:
    box = Box("a")
    leader = box.leader()
    peer = connect(leader)
    box.clock.now += LEASE_MS
    assert peer.ask("INFO") == b""
    leader.node.tick()
    box.settle()
    assert b"faktory" in peer.take()
    assert box.leaders() == [leader]


def test_a_leader_that_took_long_to_load_has_the_leases_time_for_its_first_notice() -> None:
    # It answers nothing before that is up; but to step down at once would only have the next one load as long.
    box = Box("a")
    (node,) = box.nodes.values()
    lead = node.lead

    def load(store: ReplicatedStore) -> None:
        box.clock.now += LEASE_MS + 100
        lead(store)

    node.lead = load  # type: ignore[method-assign]
    while node.node.role is not Role.LEADER:
        box.clock.now += 100
        node.node.tick()
        while (node.link.requests or node.board.requests) and node.node.role is not Role.LEADER:
            request = (node.link.requests or node.board.requests).pop(0)
            request.arrive()
            request.answer()
    box.clock.now += 100
    node.node.tick()
    assert node.node.role is Role.LEADER
    assert node.node.store is not None
    assert not node.node.store.is_current()
    box.settle()
    assert node.node.store.is_current()
    assert b"faktory" in connect(node).ask("INFO")


def test_a_leader_whose_late_appends_meet_a_new_one_releases_none_of_them() -> None:
    box = Box()
    old = box.leader()
    peer = connect(old)
    old.is_cut = True
    for number in range(4):
        peer.ask(push(f"job-0000{number}"))
    box.advance(10)
    new = box.leader()
    assert new is not old
    assert ask(box, connect(new), push("job-00009")) == OK
    # One of them expects exactly the entry that the log ends with now.
    for request in old.late:
        request.arrive()
    old.is_cut = False
    box.advance(5)
    assert b"+OK" not in peer.received
    assert same(box)
    assert b"job-00009" in ask(box, connect(box.leader()), "FETCH default")
