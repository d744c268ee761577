"""Batches through the wire: when callbacks fire, what counts as an end, what a parent waits for."""

import json

import pytest

from harness import Harness, Peer
from invariants import check_memory, check_store, rows_of
from lineshaft.engine import keys
from lineshaft.engine.features.batch import decode_batch
from lineshaft.engine.settings import Limits, Settings
from lineshaft.engine.value import split_value

HALF_AN_HOUR = 30 * 60


class Box:
    """A server with a worker, and the words of this page."""

    def __init__(self, rules: Settings | None = None) -> None:
        self.harness = Harness(rules=rules)
        self.peer: Peer = self.harness.connect()
        self.pushed = 0

    def new(self, *callbacks: str, parent: str = "", commit: bool = False, **more: object) -> str:
        wanted = {name: {"jobtype": name.title(), "args": [], "queue": "calls", "retry": 0} for name in callbacks}
        for name, extra in more.items():
            wanted[name] |= extra  # type: ignore[arg-type]
        reply = self.peer.ask("BATCH NEW " + json.dumps(wanted | ({"parent_bid": parent} if parent else {})))
        assert reply.startswith(b"$18\r\nb-"), reply
        bid = reply.split(b"\r\n")[1].decode()
        if commit:
            self.commit(bid)
        return bid

    def commit(self, bid: str) -> None:
        assert self.peer.ask(f"BATCH COMMIT {bid}") == b"+OK\r\n"

    def push(self, bid: str, **more: object) -> str:
        self.pushed += 1
        jid = f"job-{self.pushed:06d}"
        custom = {"bid": bid, **more.pop("custom", {})}  # type: ignore[dict-item]
        job = {"jid": jid, "jobtype": "Work", "args": [], "queue": "work", "custom": custom, **more}
        assert self.peer.ask("PUSH " + json.dumps(job)) == b"+OK\r\n"
        return jid

    def fetch(self, queue: str = "work") -> str:
        return str(self.peer.ask_json(f"FETCH {queue}")["jid"])

    def ack(self, jid: str) -> None:
        assert self.peer.ask(json.dumps({"jid": jid}).join(["ACK ", ""])) == b"+OK\r\n"

    def fail(self, jid: str) -> None:
        assert self.peer.ask(json.dumps({"jid": jid, "retry_in": 1}).join(["FAIL ", ""])) == b"+OK\r\n"

    def do(self, queue: str = "work") -> None:
        self.ack(self.fetch(queue))

    def calls(self) -> list[str]:
        """The callbacks that are enqueued."""
        start, end = keys.prefix_range(b"R\x05calls")
        rows = self.harness.store.scan(start, end, limit=1000)
        return [json.loads(split_value(value)[1])["jobtype"] for _, value in rows]

    def status(self, bid: str) -> tuple[int, int, int, str, str]:
        said = self.peer.ask_json(f"BATCH STATUS {bid}")
        return said["total"], said["pending"], said["failed"], said["complete_st"], said["success_st"]

    def check(self) -> None:
        check_store(self.harness.store)
        check_memory(self.harness.server.engine)


def left(box: Box) -> list[bytes]:
    """What is still known of batches, but how many are open."""
    return [key for key in rows_of(box.harness.store) if key[:1] in {b"B", b"E"} and key != keys.OPEN_BATCHES_KEY]


def test_callbacks_wait_for_every_job_and_for_the_commit() -> None:
    box = Box()
    bid = box.new("complete", "success")
    box.push(bid)
    box.push(bid)
    box.do()
    box.do()
    assert box.calls() == []
    assert box.status(bid) == (2, 0, 0, "", "")
    box.commit(bid)
    assert box.calls() == ["Complete"]
    assert box.status(bid) == (2, 0, 0, "1", "")
    box.do("calls")
    assert box.calls() == ["Success"]
    assert box.status(bid) == (2, 0, 0, "2", "1")
    box.do("calls")
    assert box.status(bid) == (2, 0, 0, "2", "2")
    assert box.calls() == []
    box.commit(bid)
    assert box.calls() == []
    box.check()


def test_success_alone_fires_directly_and_complete_alone_after_a_failure() -> None:
    box = Box()
    alone = box.new("success", commit=True)
    assert box.calls() == ["Success"]
    box.do("calls")
    assert box.status(alone) == (0, 0, 0, "", "2")
    bid = box.new("complete")
    box.push(bid)
    box.commit(bid)
    box.fail(box.fetch())
    assert box.calls() == ["Complete"]
    assert box.status(bid) == (1, 0, 1, "1", "")
    box.harness.advance(2)
    box.do()
    assert box.status(bid) == (1, 0, 0, "1", "")
    box.check()


def test_an_empty_batch_fires_on_commit_one_after_the_other() -> None:
    box = Box()
    bid = box.new("complete", "success")
    assert box.calls() == []
    box.commit(bid)
    assert box.calls() == ["Complete"]
    box.do("calls")
    assert box.calls() == ["Success"]


def test_success_waits_for_a_retry() -> None:
    box = Box()
    bid = box.new("success")
    box.push(bid)
    box.commit(bid)
    box.fail(box.fetch())
    assert box.calls() == []
    box.harness.advance(2)
    box.do()
    assert box.calls() == ["Success"]


def late_fetch(box: Box) -> None:
    box.harness.clock.now += 60_000
    box.peer.send(b"FETCH work\r\n")
    box.harness.advance(3)
    box.peer.take()


ENDS = {
    "discarded": lambda box: box.fail(box.fetch()),
    "cancelled": lambda box: box.peer.ask('CANCEL {"jid":"job-000001"}'),
    "cleared": lambda box: box.peer.ask('MUTATE {"cmd":"discard","target":"queue:work"}'),
    "killed": lambda box: box.peer.ask('MUTATE {"cmd":"kill","target":"queue:work"}'),
    "removed": lambda box: (box.peer.ask("QUEUE REMOVE work"), box.harness.advance(1)),
    "expired at a fetch": late_fetch,
    "expired": lambda box: box.harness.advance(100),
    "reservation": lambda box: (box.fetch(), box.harness.advance(70)),
}


@pytest.mark.parametrize("way", ENDS)
def test_every_way_in_which_a_job_can_leave_counts_as_an_end(way: str) -> None:
    box = Box()
    bid = box.new("complete", "success")
    expires = {"custom": {"expires_in": 50}} if way.startswith("expired") else {}
    box.push(bid, retry=0, reserve_for=60, **expires)
    box.commit(bid)
    assert box.status(bid) == (1, 1, 0, "", "")
    ENDS[way](box)
    assert box.calls() == ["Complete"]
    assert box.status(bid) == (1, 0, 1, "1", "")
    box.do("calls")
    assert box.calls() == []
    box.check()


def test_a_lost_worker_counts() -> None:
    box = Box(Settings(recover_limit=1))
    bid = box.new("complete")
    worker = box.harness.worker("w1")
    box.push(bid, retry=0)
    box.commit(bid)
    worker.ask("FETCH work")
    worker.leave()
    box.harness.advance(61)
    assert box.calls() == ["Complete"]
    box.check()


def test_a_dead_job_ends_and_may_succeed_after_all() -> None:
    box = Box()
    bid = box.new("complete", "success", "death")
    box.push(bid, retry=-1)
    box.push(bid, retry=-1)
    box.fail(box.fetch())
    assert box.calls() == []
    box.commit(bid)
    assert box.calls() == ["Death"]
    box.fail(box.fetch())
    assert box.calls() == ["Death", "Complete"]
    box.do("calls")
    box.do("calls")
    assert box.status(bid) == (2, 0, 2, "2", "")
    box.peer.ask('MUTATE {"cmd":"requeue","target":"dead"}')
    assert box.status(bid) == (2, 0, 2, "2", "")
    box.do()
    assert box.calls() == []
    box.do()
    assert box.calls() == ["Success"]
    assert box.status(bid) == (2, 0, 0, "2", "1")
    assert box.peer.ask_json(f"BATCH STATUS {bid}")["death_st"] == "2"
    box.check()


def test_a_pruned_job_can_never_succeed() -> None:
    box = Box(Settings(dead_keep=1000))
    bid = box.new("complete", "success", commit=False)
    box.push(bid, retry=-1)
    box.commit(bid)
    box.fail(box.fetch())
    box.harness.advance(5)
    assert box.status(bid) == (1, 0, 1, "1", "")
    box.do("calls")
    assert box.calls() == []
    box.check()


def test_a_parent_waits_for_its_childrens_callbacks() -> None:
    box = Box()
    parent = box.new("complete", "success")
    child = box.new("success", parent=parent)
    box.push(child)
    box.commit(parent)
    box.do()
    assert box.calls() == []
    box.commit(child)
    assert box.calls() == ["Success"]
    assert box.status(parent) == (0, 0, 0, "", "")
    box.do("calls")
    assert box.calls() == ["Complete"]
    box.do("calls")
    assert box.calls() == ["Success"]
    box.check()


def test_a_child_that_cannot_succeed_lets_its_parent_complete_and_not_succeed() -> None:
    box = Box()
    top = box.new("complete", "success", commit=True)
    assert box.calls() == ["Complete"]
    box.do("calls")
    box.do("calls")
    parent = box.new("complete", "success", parent=top)
    child = box.new("success", parent=parent)
    box.push(child, retry=-1)
    box.commit(child)
    box.commit(parent)
    box.fail(box.fetch())
    assert box.calls() == ["Complete"]
    box.do("calls")
    assert box.calls() == []
    # The dead job comes back and succeeds: now all of it has, up to the top.
    box.peer.ask('MUTATE {"cmd":"requeue","target":"dead"}')
    box.do()
    assert box.calls() == ["Success"]
    box.do("calls")
    assert box.calls() == ["Success"]
    box.do("calls")
    assert box.status(parent)[3:] == ("2", "2")
    box.check()


def test_a_callback_that_is_lost_lets_the_parent_complete() -> None:
    box = Box()
    parent = box.new("complete", "success")
    child = box.new("complete", parent=parent, commit=True)
    box.commit(parent)
    box.fail(box.fetch("calls"))
    assert box.status(child)[3] == "1"
    assert box.calls() == ["Complete"]
    box.do("calls")
    assert box.calls() == []
    box.check()


def test_a_dead_callback_may_be_put_back() -> None:
    box = Box()
    bid = box.new("complete", "success", complete={"retry": -1}, success={"retry": -1}, commit=True)
    box.fail(box.fetch("calls"))
    assert box.status(bid)[3:] == ("1", "")
    assert box.calls() == []
    box.peer.ask('MUTATE {"cmd":"requeue","target":"dead"}')
    box.do("calls")
    assert box.calls() == ["Success"]
    box.check()


def test_a_job_joins_a_committed_batch_from_outside() -> None:
    box = Box()
    bid = box.new("complete", "success", commit=True)
    box.push(bid)
    assert box.status(bid) == (1, 1, 0, "1", "")
    box.do("calls")
    assert box.calls() == []
    box.do()
    assert box.calls() == ["Success"]
    box.check()


def test_a_callback_carries_the_bid_and_what_its_maker_gave_it() -> None:
    box = Box()
    parent = box.new("complete")
    given = {
        "priority": 9,
        "custom": {"a": 1, "bid": "b-other", "track": 1, "unique_for": 60},
        "at": "2020-01-01T00:00:00Z",
    }
    bid = box.new("success", parent=parent, success=given, commit=True)
    assert box.peer.ask_json(f"BATCH STATUS {bid}")["parent_bid"] == parent
    job = box.peer.ask_json("FETCH calls")
    assert job["custom"] == {"a": 1, "track": 1, "unique_for": 60, "_bid": bid, "_pbid": parent}
    assert len(job["jid"]) >= 8
    assert box.peer.ask_json(f"TRACK GET {job['jid']}")["state"] == "working"
    box.check()


def test_a_callback_may_be_for_later() -> None:
    box = Box()
    bid = box.new("success", success={"at": "2025-11-24T16:10:00Z"}, commit=True)
    assert box.calls() == []
    assert box.status(bid)[4] == "1"
    box.harness.advance(900)
    assert box.calls() == ["Success"]


def test_an_uncommitted_batch_is_forgotten_when_nothing_happens_to_it() -> None:
    box = Box()
    parent = box.new("complete")
    bid = box.new("success", parent=parent)
    box.commit(parent)
    box.harness.advance(HALF_AN_HOUR - 10)
    box.push(bid)
    box.harness.advance(HALF_AN_HOUR - 10)
    assert box.status(bid)[0] == 1
    box.harness.advance(20)
    assert box.peer.ask(f"BATCH STATUS {bid}") == b"-ERR no such batch %b\r\n" % bid.encode()
    # Its parent waits no longer, and its job runs without a batch.
    assert box.calls() == ["Complete"]
    box.check()
    box.do()
    assert not [key for key in rows_of(box.harness.store) if key[:2] == b"Bm"]
    box.check()


def test_a_finished_batch_is_kept_for_thirty_days_and_then_nothing_of_it_is_left() -> None:
    box = Box()
    bid = box.new("success", "death")
    box.push(bid)
    box.commit(bid)
    box.do()
    box.do("calls")
    box.harness.advance(29 * 86_400)
    assert box.status(bid) == (1, 0, 0, "", "2")
    box.harness.advance(2 * 86_400)
    assert box.peer.ask(f"BATCH STATUS {bid}").startswith(b"-ERR no such batch b-")
    assert not left(box)
    box.check()


def test_a_batch_that_is_finished_by_its_commit_is_kept_as_long() -> None:
    """Nothing may be left to do at the COMMIT; the look at a batch that is still open must not be its end then."""
    box = Box()
    spoilt, spared = box.new("success"), box.new("death")
    box.push(spoilt)
    box.peer.ask(f'FAIL {{"jid":"{box.fetch()}"}}')
    assert box.peer.ask('MUTATE {"cmd":"discard","target":"retries"}') == b"+OK\r\n"
    box.push(spared)
    box.do()
    box.commit(spoilt)
    box.commit(spared)
    box.check()
    box.harness.advance(29 * 86_400)
    assert box.status(spoilt) == (1, 0, 1, "", "")
    assert box.status(spared) == (1, 0, 0, "", "")
    box.harness.advance(2 * 86_400)
    assert not left(box)
    box.check()


@pytest.mark.parametrize("value", [None, b"-1", b"\xff"])
def test_a_store_in_which_open_batches_were_not_counted(value: bytes | None) -> None:
    box = Box()
    finished, open_ = box.new("success", commit=True), box.new("success")
    box.do("calls")
    assert box.status(finished) == (0, 0, 0, "", "2")
    box.push(open_)
    store = box.harness.store
    store.commit({keys.OPEN_BATCHES_KEY: value}, [])
    again = Harness(store=store)
    again.server.need_turn()
    again.settle()
    assert store.get(keys.OPEN_BATCHES_KEY) == b"1"
    check_store(store)


@pytest.mark.parametrize("bid", ["b-unknown", "b-00000000000000000", "", "é" * 300, "$18\r\nb-unknown"])
def test_a_job_of_a_batch_that_is_not_known_runs_without(bid: str, caplog: pytest.LogCaptureFixture) -> None:
    box = Box()
    box.push(bid)
    assert ("is not known" in caplog.text) is bool(bid)
    assert "\n" not in "".join(caplog.messages)
    box.check()
    box.do()
    assert box.harness.server.engine.state.unknown_batches == []


@pytest.mark.parametrize("bid", [None, 5, {"a": 1}, True])
def test_a_bid_that_is_no_text_is_the_clients_own(bid: object) -> None:
    box = Box()
    box.push("x", custom={"bid": bid})
    box.do()


def test_status_reveals_only_what_is_on_disk() -> None:
    box = Box()
    bid = box.new("complete", commit=False)
    box.push(bid)
    other = box.harness.connect()
    jid = box.fetch()
    box.harness.hold_syncs = True
    assert box.peer.ask(f'ACK {{"jid":"{jid}"}}') == b"+OK\r\n"
    assert other.ask(f"BATCH STATUS {bid}") == b""
    box.harness.hold_syncs = False
    box.harness.settle()
    assert b'"pending":0' in other.take()


def test_flush_takes_batches_too() -> None:
    box = Box()
    bid = box.new("complete")
    box.push(bid)
    box.peer.ask("FLUSH")
    assert box.peer.ask(f"BATCH COMMIT {bid}").startswith(b"-ERR no such batch")
    assert not left(box)


def test_a_damaged_job_and_a_damaged_callback_hold_nobody_up() -> None:
    box = Box()
    bid = box.new("complete", "success", commit=False)
    box.push(bid)
    box.commit(bid)
    store = box.harness.store
    [(key, value)] = [(key, value) for key, value in rows_of(store).items() if key[:1] == b"R"]
    store.commit({key: value[:-5]}, [])
    jid = box.fetch()
    box.peer.ask(f'FAIL {{"jid":"{jid}"}}')
    assert box.calls() == ["Complete"]
    [(key, value)] = [(key, value) for key, value in rows_of(store).items() if key[:1] == b"R"]
    store.commit({key: value[:-5]}, [])
    box.peer.ask(f'FAIL {{"jid":"{box.fetch("calls")}"}}')
    assert box.status(bid)[3:] == ("1", "")
    assert decode_batch(rows_of(store)[keys.batch_key(bid)]).is_finished()


def test_a_damaged_batch_holds_nobody_up() -> None:
    """Its jobs run as those of a batch that is not known."""
    box = Box()
    bid, other = box.new("success", commit=True), box.new("success")
    held = [box.push(bid, reserve_for=60) for _ in range(4)]
    store = box.harness.store
    store.commit({keys.batch_key(bid): rows_of(store)[keys.batch_key(bid)][:-1]}, [])
    assert [box.fetch() for _ in held] == held
    box.ack(held[0])
    assert box.peer.ask(f'FAIL {{"jid":"{held[1]}"}}') == b"+OK\r\n"
    box.push(bid)
    assert box.peer.ask(f"BATCH STATUS {bid}").startswith(b"-ERR no such batch")
    # Two reservations run out, and everything else that time brings comes after them.
    box.harness.advance(HALF_AN_HOUR + 61)
    assert box.peer.ask_json("INFO")["faktory"]["sets"]["working"] == 0
    assert box.peer.ask(f"BATCH STATUS {other}").startswith(b"-ERR no such batch")
    shown, _, _ = box.harness.server.engine.views.batches()
    assert shown == []
    assert not [key for key in rows_of(store) if key[:2] == b"Bm" and rows_of(store)[key] == b"p"]


def test_a_callback_opens_no_queue_beyond_the_limit() -> None:
    box = Box(Settings(most=Limits(queues=2)))
    box.push(box.new("success"))
    wanted = '{"success":{"jobtype":"A","args":[],"queue":"third"}}'
    assert box.peer.ask(f"BATCH NEW {wanted}") == b"-ERR invalid callback: too many queues: 2\r\n"
    assert box.new("success")
    box.check()


def test_too_deep() -> None:
    box = Box()
    bid = ""
    for _ in range(100):
        bid = box.new("complete", parent=bid)
    reply = box.peer.ask(f'BATCH NEW {{"parent_bid":"{bid}","success":{{"jobtype":"A","args":[]}}}}')
    assert reply == b"-ERR batches are nested too deeply: the limit is 100\r\n"
