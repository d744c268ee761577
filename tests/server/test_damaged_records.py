"""A record of a feature that cannot be read is taken for absent: nobody's work stops over it."""

import json
import logging

import pytest

from harness import Harness, Peer
from invariants import check_memory, check_store, rows_of
from lineshaft.clock import format_instant
from lineshaft.engine import keys
from lineshaft.engine.check.check import check
from lineshaft.engine.check.findings import Law
from lineshaft.engine.features.features import FEATURES
from lineshaft.engine.records import ChoreRecord, LaneRules, SetRecord, encode_record
from lineshaft.engine.settings import QueueLimits, Settings
from lineshaft.engine.value import LETTERS
from lineshaft.errors import StoreCorrupt
from lineshaft.store.faulty import FaultyStore
from lineshaft.store.memory import MemoryStore

OK = b"+OK\r\n"


def job(jid: str, **custom: object) -> str:
    return json.dumps({"jid": jid, "jobtype": "T", "args": [], "custom": custom})


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, logger="lineshaft")


def damaged(before: Harness, prefix: bytes) -> tuple[Harness, Peer]:
    """A server on the same rows, of which those that begin like this cannot be read."""
    before.advance(0.01)
    rows = {key: b"\xc1" if key.startswith(prefix) else value for key, value in rows_of(before.store).items()}
    assert b"\xc1" in rows.values()
    harness = Harness(store=FaultyStore(rows), now=before.clock())
    return harness, harness.worker("worker-1")


def test_a_track() -> None:
    before = Harness()
    peer = before.connect()
    assert peer.ask("PUSH " + job("tracked-1", track=1)) == OK
    assert peer.ask("PUSH " + job("behind-01")) == OK
    _, peer = damaged(before, b"Ptracked-1")
    assert peer.ask_json("FETCH default")["jid"] == "tracked-1", "the head of the queue is no stumbling block"
    assert peer.ask('ACK {"jid":"tracked-1"}') == OK
    assert peer.ask_json("FETCH default")["jid"] == "behind-01"
    assert peer.ask_json("TRACK GET tracked-1")["state"] == "unknown"


def no_text(before: Harness, jid: str) -> tuple[Harness, Peer]:
    """A server on the same rows, in one of which a name has become bytes that are no text; it is JSON all the same."""
    before.advance(0.01)
    rows = rows_of(before.store)
    hit = {key: value for key, value in rows.items() if f'"jid":"{jid}"'.encode() in value}
    assert len(hit) == 1
    rows |= {key: value.replace(b'"jobtype":"T"', b'"jobtype":"\xff"') for key, value in hit.items()}
    harness = Harness(store=FaultyStore(rows), now=before.clock())
    return harness, harness.worker("worker-1")


def test_a_job_whose_name_is_no_text_stops_nobody_behind_it(caplog: pytest.LogCaptureFixture) -> None:
    before = Harness()
    peer = before.connect()
    for jid in ("broken-01", "behind-01"):
        assert peer.ask("PUSH " + job(jid)) == OK
    harness, peer = no_text(before, "broken-01")
    assert peer.ask_json("QUEUE LATENCY default")["default"] >= 0
    assert peer.ask_json("FETCH default")["jid"] == "behind-01"
    assert caplog.text.count("was set aside") == 1
    assert is_clean(harness)


def test_one_that_is_due_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    before = Harness()
    peer = before.connect()
    for jid in ("broken-01", "behind-01"):
        at = format_instant(before.clock() + 5000)
        assert peer.ask("PUSH " + json.dumps({"jid": jid, "jobtype": "T", "args": [], "at": at})) == OK
    harness, peer = no_text(before, "broken-01")
    harness.advance(6)
    assert peer.ask_json("FETCH default")["jid"] == "behind-01"
    assert caplog.text.count("was set aside") == 1
    assert is_clean(harness)


def test_one_that_a_worker_holds_is_not_there_any_more(caplog: pytest.LogCaptureFixture) -> None:
    before = Harness()
    peer = before.worker("worker-1")
    assert peer.ask("PUSH " + job("broken-01")) == OK
    assert peer.ask_json("FETCH default")["jid"] == "broken-01"
    harness, peer = no_text(before, "broken-01")
    assert peer.ask('FAIL {"jid":"broken-01","errtype":"E","message":"m"}') == b"-ERR Job not found broken-01\r\n"
    assert caplog.text.count("was set aside") == 1
    assert is_clean(harness)


def test_a_lock_is_free_for_the_next() -> None:
    before = Harness()
    assert before.connect().ask("PUSH " + job("unique-01", unique_for=600)) == OK
    _, peer = damaged(before, b"U")
    assert peer.ask("PUSH " + job("unique-02", unique_for=600)) == OK
    assert peer.ask("PUSH " + job("unique-03", unique_for=600)) == b"-NOTUNIQUE Job not unique\r\n"
    for jid in ("unique-01", "unique-02"):
        assert peer.ask_json("FETCH default")["jid"] == jid
        assert peer.ask(json.dumps({"jid": jid}).join(["ACK ", ""])) == OK
    assert peer.ask("PUSH " + job("unique-04", unique_for=600)) == OK


def test_a_batch_is_forgotten() -> None:
    before = Harness()
    peer = before.connect()
    bid = peer.ask('BATCH NEW {"success":{"jobtype":"C","args":[]}}').split(b"\r\n")[1].decode()
    assert peer.ask("PUSH " + job("member-01", bid=bid)) == OK
    harness, peer = damaged(before, b"Bb")
    assert peer.ask_json("FETCH default")["jid"] == "member-01"
    assert peer.ask('ACK {"jid":"member-01"}') == OK
    assert peer.ask(f"BATCH STATUS {bid}").startswith(b"-ERR no such batch")
    harness.advance(3600)
    assert peer.closed or peer.ask("INFO").startswith(b"$")
    assert harness.connect().ask("PUSH " + job("after-001")) == OK


def test_a_lock_that_was_taken_over_lasts_its_own_time() -> None:
    before = Harness()
    assert before.connect().ask("PUSH " + job("unique-01", unique_for=600)) == OK
    harness, peer = damaged(before, b"U")
    assert peer.ask("PUSH " + job("unique-02", unique_for=6000)) == OK
    harness.advance(700)
    assert harness.connect().ask("PUSH " + job("unique-03", unique_for=600)) == b"-NOTUNIQUE Job not unique\r\n"
    harness.advance(6000)
    assert harness.connect().ask("PUSH " + job("unique-04", unique_for=600)) == OK
    harness.advance(6000)
    check_store(harness.store)


def test_a_track_that_was_begun_anew_is_kept() -> None:
    before = Harness()
    peer = before.connect()
    assert peer.ask("PUSH " + job("tracked-1", track=1)) == OK
    peer.ask("FETCH default")
    assert peer.ask('ACK {"jid":"tracked-1"}') == OK
    harness, peer = damaged(before, b"Ptracked-1")
    assert peer.ask("PUSH " + job("tracked-1", track=1)) == OK
    harness.advance(3600)
    peer = harness.connect()
    assert peer.ask_json("TRACK GET tracked-1")["state"] == "enqueued"
    check_store(harness.store)


LANED = Settings(queues={"default": QueueLimits(lanes=LaneRules("tenant", concurrency=2))})


def is_clean(harness: Harness) -> bool:
    """Whether all that a check finds are the rows that were set aside."""
    harness.advance(0.01)
    check_memory(harness.server.engine)
    return {found.law for found in check(MemoryStore(rows_of(harness.store)))} == {Law.SET_ASIDE}


def laned(before: Harness) -> tuple[Harness, Peer]:
    """Three jobs of each of two lanes, one of each leased; then their records cannot be read."""
    peer = before.worker("worker-1")
    for number in range(3):
        for tenant in ("acme", "zeta"):
            assert peer.ask("PUSH " + job(f"{tenant}-000{number}", tenant=tenant)) == OK
    assert {peer.ask_json("FETCH default")["jid"] for _ in range(2)} == {"acme-0000", "zeta-0000"}
    before.advance(0.01)
    rows = rows_of(before.store)
    lanes = [key for key in rows if key[:1] == b"O" and keys.lanes_parts(key)[2] == b"l"]
    assert len(lanes) == 2
    harness = Harness(rules=LANED, store=FaultyStore(rows | dict.fromkeys(lanes, b"\xc1")), now=before.clock())
    return harness, harness.worker("worker-1")


def test_lanes_at_a_start(caplog: pytest.LogCaptureFixture) -> None:
    harness, peer = laned(Harness(rules=LANED))
    assert caplog.text.count("was set aside") == 2
    assert peer.ask_json("QUEUE LATENCY default")["default"] >= 0
    found = [peer.ask_json("FETCH default")["jid"] for _ in range(2)]
    assert set(found) == {"acme-0001", "zeta-0001"}
    assert peer.ask("FETCH default") == b"", "two of each lane run: that is the limit"
    harness.advance(2.1)
    assert peer.take() == b"$-1\r\n"
    for jid in ("acme-0000", "zeta-0000", *found):
        assert peer.ask(json.dumps({"jid": jid}).join(["ACK ", ""])) == OK
    assert {peer.ask_json("FETCH default")["jid"] for _ in range(2)} == {"acme-0002", "zeta-0002"}
    assert is_clean(harness)
    assert "storage" not in caplog.text


def test_a_lane_that_becomes_unreadable_while_the_server_runs(caplog: pytest.LogCaptureFixture) -> None:
    before = Harness(rules=LANED)
    peer = before.worker("worker-1")
    for number in range(3):
        assert peer.ask("PUSH " + job(f"acme-000{number}", tenant="acme")) == OK
    before.advance(0.01)
    rows = rows_of(before.store)
    (lane,) = [key for key in rows if key[:1] == b"O" and keys.lanes_parts(key)[2] == b"l"]
    harness = Harness(rules=LANED, store=FaultyStore(rows | {lane: b"\xc1"}), now=before.clock())
    peer = harness.worker("worker-1")
    assert caplog.text == "", "nobody has looked yet"
    # A push that is refused half way leaves the row to the next one that meets it.
    assert peer.ask("PUSH " + job("short", tenant="acme")).startswith(b"-ERR")
    assert peer.ask("PUSH " + job("acme-0003", tenant="acme")) == OK
    assert caplog.text.count("was set aside") == 1
    assert [peer.ask_json("FETCH default")["jid"] for _ in range(2)] == ["acme-0000", "acme-0001"]
    assert harness.connect().ask_json("INFO")["faktory"]["queues"] == {"default": 2}
    assert is_clean(harness)
    again = Harness(rules=LANED, store=FaultyStore(rows_of(harness.store)), now=harness.clock())
    peer = again.worker("worker-1")
    assert peer.ask('ACK {"jid":"acme-0000"}') == OK
    assert peer.ask_json("FETCH default")["jid"] == "acme-0002"
    assert "storage" not in caplog.text


@pytest.mark.parametrize("place", [b"T", b"R"], ids=["in a set", "in a queue"])
def test_a_job_whose_payload_cannot_be_read_lets_go_of_all_that_it_had(place: bytes) -> None:
    before = Harness()
    peer = before.connect()
    bid = peer.ask('BATCH NEW {"complete":{"jobtype":"C","args":[],"queue":"calls"}}').split(b"\r\n")[1].decode()
    at = "2025-11-24T17:00:00Z" if place == b"T" else ""
    wanted = {"track": 1, "bid": bid, "unique_for": 9000}
    line = {"jid": "torn-0001", "jobtype": "T", "args": [], "at": at, "custom": wanted}
    assert peer.ask("PUSH " + json.dumps(line)) == OK
    assert peer.ask(f"BATCH COMMIT {bid}") == OK
    before.advance(0.01)
    rows = rows_of(before.store)
    (key,) = [key for key in rows if key[:1] == place]
    rows[key] = rows[key].replace(b'"jobtype":"T"', b'"jobtype":\xff"T')
    harness = Harness(store=FaultyStore(rows), now=before.clock())
    peer = harness.connect()
    harness.advance(3 * 3600 if place == b"T" else 0.01)
    peer = harness.connect()
    if place == b"R":
        assert peer.ask("FETCH default") == b""
        peer = harness.connect()
    assert peer.ask_json(f"BATCH STATUS {bid}")["complete_st"] == "1", "its batch waits no longer"
    assert peer.ask("PUSH " + job("after-001", unique_for=9000)) == OK, "its lock is free"
    harness.advance(3600)
    assert harness.connect().ask_json("TRACK GET torn-0001")["state"] == "unknown", "nobody asks after it for ever"
    assert is_clean(harness)


def test_cancel_of_a_job_that_cannot_be_read_lets_its_strict_lane_go(caplog: pytest.LogCaptureFixture) -> None:
    strict = Settings(every_queue=QueueLimits(lanes=LaneRules("tenant", strict=True)))
    harness = Harness(rules=strict)
    peer = harness.worker("worker-1")
    for jid in ("broken-01", "behind-01"):
        assert peer.ask("PUSH " + job(jid, tenant="acme")) == OK
    assert peer.ask_json("FETCH default")["jid"] == "broken-01"
    assert peer.ask('FAIL {"jid":"broken-01","retry_in":9000}') == OK
    assert peer.ask("FETCH default") == b"", "it waits for its retry, and its lane for it"
    harness.advance(2.1)
    assert peer.take() == b"$-1\r\n"
    # While the server runs: a start looks at the first jobs of the set.
    ((key, value),) = [(key, value) for key, value in rows_of(harness.store).items() if key[:1] == b"T"]
    harness.store.commit({key: value.replace(b'"jobtype":"T"', b'"jobtype":"\xff"')})
    assert peer.ask('CANCEL {"jid":"broken-01"}') == b"-ERR Job not found broken-01\r\n"
    assert caplog.text.count("was set aside") == 1
    harness.advance(0.01)
    assert peer.ask_json("FETCH default")["jid"] == "behind-01"
    assert is_clean(harness)


@pytest.mark.parametrize(
    ("whole", "torn"),
    [
        (b'"expires_in":9000', b'"expires_in":"x"'),
        (b'"expires_in":9000', b'"expires_at":"x"'),
        (b'"queue":"calls"', b'"queue":"ca ls"'),
        (b'"at":"2', b'"at":"x'),
        (b'"jobtype":"C"', b'"jobtype":"\xff"'),
    ],
)
def test_a_callback_that_cannot_be_read_is_set_aside(
    whole: bytes, torn: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    before = Harness()
    peer = before.worker("worker-1")
    callback = {
        "jobtype": "C",
        "args": [],
        "queue": "calls",
        "custom": {"expires_in": 9000},
        "at": "2096-01-01T00:00:00Z",
    }
    good = {"jobtype": "D", "args": [], "queue": "calls"}
    wanted = json.dumps({"complete": callback, "success": good})
    bid = peer.ask(f"BATCH NEW {wanted}").split(b"\r\n")[1].decode()
    assert peer.ask("PUSH " + job("member-01", bid=bid)) == OK
    assert peer.ask(f"BATCH COMMIT {bid}") == OK
    assert peer.ask_json("FETCH default")["jid"] == "member-01"
    before.advance(0.01)
    rows = rows_of(before.store)
    key = keys.callback_key(bid, "c")
    assert whole in rows[key]
    rows[key] = rows[key].replace(whole, torn)
    harness = Harness(store=FaultyStore(rows), now=before.clock())
    peer = harness.worker("worker-1")
    assert peer.ask('ACK {"jid":"member-01"}') == OK
    assert peer.ask_json("INFO")["faktory"]["sets"]["working"] == 0
    assert caplog.text.count("was set aside") == 1
    assert bid in caplog.text
    left = rows_of(harness.store)
    assert (key in left, left[keys.aside_key(key)]) == (False, rows[key])
    assert peer.ask_json(f"BATCH STATUS {bid}")["pending"] == 0
    assert is_clean(harness)


@pytest.mark.parametrize(
    ("whole", "torn"),
    [
        (b'"uses":"u"', b'"uses":"!"'),
        (b'"lock":"', b'"lock":"x'),
        (b'{"uses":', b'{"seq":18446744073709551616,"uses":'),
        (b'{"uses":', b'{"priority":-7,"uses":'),
    ],
    ids=["an unknown feature", "no digest", "a number too large", "no priority"],
)
@pytest.mark.parametrize("way", ["fetched", "due", "held"])
def test_what_the_server_keeps_about_a_job_may_be_damaged(
    whole: bytes, torn: bytes, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = Harness()
    peer = before.worker("worker-1")
    at = {"at": format_instant(before.clock() + 5000)} if way == "due" else {}
    line = {"jid": "broken-01", "jobtype": "T", "args": [], "custom": {"unique_for": 9000}, **at}
    assert peer.ask("PUSH " + json.dumps(line)) == OK
    assert peer.ask("PUSH " + json.dumps({"jid": "behind-01", "jobtype": "T", "args": [], **at})) == OK
    if way == "held":
        assert peer.ask_json("FETCH default")["jid"] == "broken-01"
    before.advance(0.01)
    rows = rows_of(before.store)
    (key,) = [key for key, value in rows.items() if b'"jid":"broken-01"' in value]
    extras, _, payload = rows[key].partition(b"\n")
    assert whole in extras
    rows[key] = extras.replace(whole, torn) + b"\n" + payload
    harness = Harness(store=FaultyStore(rows), now=before.clock())
    peer = harness.worker("worker-1")
    harness.advance(6)
    if way == "held":
        assert b"internal error" not in peer.ask('FAIL {"jid":"broken-01","errtype":"E","message":"m"}')
    assert peer.ask_json("FETCH default")["jid"] == "behind-01"
    assert caplog.text.count("was set aside") == 1
    assert "Traceback" not in caplog.text
    harness.advance(0.01)
    check_memory(harness.server.engine)
    assert Law.SET_ASIDE in {found.law for found in check(MemoryStore(rows_of(harness.store)))}


def test_the_letters_of_the_features_are_those_that_are_read() -> None:
    assert set(LETTERS) == set(FEATURES)


def rewritten(before: Harness, key: bytes, value: bytes) -> FaultyStore:
    """A store with the same rows, one of which says something else."""
    before.advance(0.01)
    return FaultyStore(rows_of(before.store) | {key: value})


def test_a_set_that_counts_more_dead_jobs_than_there_are_is_pruned_once() -> None:
    before = Harness()
    peer = before.worker("worker-1")
    assert peer.ask("PUSH " + json.dumps({"jid": "dead-0001", "jobtype": "T", "args": [], "retry": -1})) == OK
    assert peer.ask_json("FETCH default")["jid"] == "dead-0001"
    assert peer.ask('FAIL {"jid":"dead-0001"}') == OK
    assert peer.ask('MUTATE {"cmd":"clear","target":"dead"}') == OK
    store = rewritten(before, b"Sd", encode_record(SetRecord(1_000_000, 0)))
    harness = Harness(store=store, now=before.clock())
    for _ in range(20):
        harness.server.engine.advance(harness.clock())
        due = harness.server.engine.tick()
        harness.server.engine.commit()
    assert due > harness.clock(), "it has nothing more to do"
    check_store(harness.store)


SWEPT = keys.ready_range("a", 1)


@pytest.mark.parametrize(
    ("cursor", "end"),
    [(b"", SWEPT[1]), (b"", b"S"), (SWEPT[0], b"S"), (SWEPT[0], b"R"), (SWEPT[0][:-8], SWEPT[1]), (b"R\xff", b"R\xff")],
)
def test_a_removed_queue_whose_sweep_is_damaged_takes_nothing_else_with_it(cursor: bytes, end: bytes) -> None:
    before = Harness()
    peer = before.connect()
    assert peer.ask("PUSH " + job("kept-0001")) == OK
    store = rewritten(before, keys.chore_key(99), encode_record(ChoreRecord("sweep", end, cursor, 99)))
    harness = Harness(store=store, now=before.clock())
    harness.advance(1)
    peer = harness.worker("worker-1")
    assert peer.ask_json("FETCH default")["jid"] == "kept-0001"
    assert not [key for key in rows_of(harness.store) if key[:1] in b"CX"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"N", b"9" * 23),
        (b"Qdefault", encode_record((1, 0, False, 0, (1 << 64) - 1, 0, 0, []))),
        (b"Sr", encode_record(((1 << 64) - 1, 0))),
    ],
)
def test_numbers_that_cannot_be_are_told_of_at_the_start(key: bytes, value: bytes) -> None:
    before = Harness()
    assert before.connect().ask("PUSH " + job("ready-001")) == OK
    store = rewritten(before, key, value)
    with pytest.raises(StoreCorrupt, match="lineshaft check"):
        Harness(store=store, now=before.clock())
    assert list(check(MemoryStore(rows_of(store))))
