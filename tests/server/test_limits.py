"""What a client can make grow has an end: each limit is reached here, told to its sender, and lifted again."""

import json

import pytest

from harness import Harness, Peer
from invariants import check_memory, check_store, rows_of
from lineshaft.engine.settings import Limits, Settings
from lineshaft.server.settings import ServerSettings

OK = b"+OK\r\n"


def job(jid: str, **fields: object) -> str:
    return json.dumps({"jid": jid, "jobtype": "T", "args": [], **fields})


def told(peer: Peer, line: str) -> bytes:
    """Send what is refused; nothing has moved, and the connection goes on."""
    before = rows_of(peer.harness.store)
    reply = peer.ask(line)
    assert reply.startswith(b"-ERR "), reply
    assert rows_of(peer.harness.store) == before
    assert not peer.closed
    return reply[5:-2]


def limited(**most: int) -> Harness:
    return Harness(rules=Settings(most=Limits(**most)))


def test_queues() -> None:
    harness = limited(queues=2)
    peer = harness.connect()
    assert peer.ask("PUSH " + job("queued-001", queue="a")) == peer.ask("PUSH " + job("queued-002", queue="b")) == OK
    for line in ("PUSH " + job("queued-003", queue="c"), "QUEUE PAUSE c"):
        assert told(peer, line) == b"too many queues: 2"
    assert peer.ask_json("PUSHB [" + job("queued-004", queue="c") + "]") == {"queued-004": "too many queues: 2"}
    assert peer.ask("QUEUE REMOVE a") == OK
    assert peer.ask("PUSH " + job("queued-003", queue="c")) == OK


def test_jobs_of_one_bulk() -> None:
    peer = limited(bulk=2).connect()
    jobs = [job(f"bulk-{number:04d}") for number in range(3)]
    assert told(peer, f"PUSHB [{','.join(jobs)}]") == b"too many jobs: PUSHB takes at most 2"
    assert peer.ask(f"PUSHB [{','.join(jobs[1:])}]") == b"$2\r\n{}\r\n"


def test_results() -> None:
    peer = limited(result_bytes=10).worker("w-1")
    for jid, result, kept in (("small-0001", "12345678", True), ("large-0001", "123456789", False)):
        assert peer.ask("PUSH " + job(jid, custom={"track": 1})) == OK
        peer.ask("FETCH default")
        assert peer.ask(f'ACK {{"jid":"{jid}","result":"{result}"}}') == OK
        shown = peer.ask_json(f"TRACK GET {jid}")
        assert (shown["state"], "result" in shown) == ("success", kept)


def test_batches_in_batches() -> None:
    peer, bid = limited(nesting=3).connect(), ""
    wanted = '{"parent_bid":"%s","success":{"jobtype":"C","args":[]}}'
    for _ in range(3):
        bid = peer.ask("BATCH NEW " + wanted % bid).split(b"\r\n")[1].decode()
    assert told(peer, "BATCH NEW " + wanted % bid) == b"batches are nested too deeply: the limit is 3"


def begin(peer: Peer) -> str:
    return peer.ask('BATCH NEW {"success":{"jobtype":"C","args":[],"queue":"called"}}').split(b"\r\n")[1].decode()


def test_open_batches() -> None:
    harness = limited(batches=2)
    peer = harness.worker("w-1")
    line = 'BATCH NEW {"success":{"jobtype":"C","args":[]}}'
    first, second = begin(peer), begin(peer)
    assert told(peer, line) == b"too many open batches: 2"
    # A restart knows how many there are.
    again = Harness(store=harness.store, rules=Settings(most=Limits(batches=2)))
    peer = again.worker("w-1")
    assert told(peer, line) == b"too many open batches: 2"
    # One that is committed is open until its callback is done, and makes room then.
    assert peer.ask(f"BATCH COMMIT {first}") == OK
    assert told(peer, line) == b"too many open batches: 2"
    callback = peer.ask_json("FETCH called")
    assert peer.ask(json.dumps({"jid": callback["jid"]}).join(["ACK ", ""])) == OK
    third = begin(peer)
    assert told(peer, line) == b"too many open batches: 2"
    # A job for a finished one opens it again, whatever the limit; one that nobody commits is forgotten.
    assert peer.ask("PUSH " + job("late-00001", custom={"bid": first})) == OK
    check_store(again.store)
    assert again.server.engine.state.open_batches == 3
    again.advance(31 * 60)
    assert peer.closed, "it said nothing for half an hour"
    peer = again.connect()
    assert told(peer, f"BATCH STATUS {second}").startswith(b"no such batch")
    assert told(peer, f"BATCH STATUS {third}").startswith(b"no such batch")
    assert again.server.engine.state.open_batches == 1
    check_store(again.store)
    assert peer.ask("FLUSH") == OK
    assert [begin(peer) != "" for _ in range(2)] == [True, True]
    assert told(peer, line) == b"too many open batches: 2"
    check_store(again.store)


def test_workers_that_are_known() -> None:
    harness = limited(workers=3)
    busy = harness.worker("w-busy")
    assert busy.ask("PUSH " + job("held-00001")) == OK
    assert b"held-00001" in busy.ask("FETCH default")
    busy.leave()
    for number in range(20):
        harness.worker(f"made-up-{number}").leave()
        harness.advance(1)
    known = {key for key in rows_of(harness.store) if key[:1] == b"K"}
    assert b"Kw-busy" in known, "it holds a job, which is to be taken back"
    assert len(known) <= 3
    here = [harness.worker(f"here-{number}") for number in range(2)]
    assert {key for key in rows_of(harness.store) if key[:1] == b"K"} == {b"Kw-busy", b"Khere-0", b"Khere-1"}
    refused = harness.connect(hello=None)
    refused.take()
    assert refused.ask('HELLO {"v":2,"wid":"one-more"}') == b"-ERR too many workers: 3\r\n"
    assert refused.closed
    # Whoever is known comes in, and so does who has no wid.
    harness.worker("here-0")
    harness.connect()
    assert harness.worker("w-busy").ask('ACK {"jid":"held-00001"}') == OK
    here[1].leave()
    harness.advance(1)
    harness.worker("one-more")
    check_memory(harness.server.engine)


def test_a_worker_that_is_forgotten_for_others_is_as_good_as_new() -> None:
    harness = limited(workers=1)
    harness.worker("w-1").leave()
    harness.worker("w-2").leave()
    harness.advance(1)
    back = harness.worker("w-1", beats=False)
    assert back.session is not None
    assert back.session.worker is not None
    assert not back.session.worker.has_beaten
    assert back.ask('BEAT {"wid":"w-1"}') == OK
    assert [key for key in rows_of(harness.store) if key[:1] == b"K"] == [b"Kw-1"]


def test_custom() -> None:
    harness = limited(custom_bytes=2000)
    peer = harness.connect()
    for size, is_taken in ((1990, True), (1991, False)):
        custom = {"x": "y" * (size + 2000 - 1990 - 8)}
        assert (len(json.dumps(custom, separators=(",", ":"))) == 2000) is is_taken
        line = json.dumps(
            {"jid": f"custom-{size}", "jobtype": "T", "args": [], "custom": custom}, separators=(",", ":")
        )
        text = b"custom is too large: 2001 bytes, and the limit is 2000"
        if is_taken:
            assert peer.ask("PUSH " + line) == OK
            continue
        assert told(peer, "PUSH " + line) == text
        assert peer.ask_json(f"PUSHB [{line}]") == {f"custom-{size}": text.decode()}
        assert told(peer, 'BATCH NEW {"success":' + line + "}") == b"invalid callback: " + text
        # Another server has accepted it.
        assert peer.ask_json('ADOPT [{"place":"ready","job":' + line + "}]")["adopted"] == 1
    check_store(harness.store)


def test_mutates_under_way() -> None:
    """Who begins one and leaves must not begin others without end."""
    harness = limited(mutates=2)
    peer = harness.connect()
    for number in range(400):
        peer.ask("PUSH " + job(f"later-{number:04d}", at="2096-01-01T00:00:00Z"))
    line = 'MUTATE {"cmd":"discard","target":"scheduled","filter":{"jobtype":"nobody"}}'
    harness.hold_syncs = True
    peers = [harness.connect() for _ in range(3)]
    for one in peers:
        # Without `settle`: nothing goes on meanwhile.
        assert one.session is not None
        one.session.receive(line.encode() + b"\r\n")
    harness.hold_syncs = False
    harness.settle()
    harness.advance(1)
    refused = [one.take() for one in peers]
    assert refused.count(b"-ERR 2 MUTATEs are under way already: try again when one is through\r\n") == 1
    assert refused.count(OK) == 2
    assert peer.ask(line) in {b"", OK}
    harness.advance(1)
    check_store(harness.store)


def test_queues_that_are_waited_for() -> None:
    harness = Harness(settings=ServerSettings(waiting_places=5))
    first, second, third = (harness.connect() for _ in range(3))
    assert first.ask("FETCH a b c") == b""
    assert told(second, "FETCH a b c") == b"too many FETCHes wait: all together for 5 queues at most"
    assert second.ask("FETCH a b") == b""
    assert third.ask("FETCH a").startswith(b"-ERR too many FETCHes")
    # Who is given a job, has waited long enough, or has gone gives its places back.
    assert third.ask("PUSH " + job("waited-001", queue="a")) == OK
    assert b"waited-001" in first.take()
    assert third.ask("FETCH a b c") == b""
    harness.advance(2.1)
    assert second.take() == third.take() == b"$-1\r\n"
    assert harness.server.waiters.taken == 0
    assert second.ask("FETCH a b c d e") == b""
    second.leave()
    assert third.ask("FETCH a b c d e") == b""
    third.leave()
    assert harness.server.waiters.taken == 0
    check_memory(harness.server.engine)


def test_unfinished_lines() -> None:
    harness = Harness(settings=ServerSettings(unfinished_bytes=1000))
    peers = [harness.connect() for _ in range(3)]
    for peer in peers:
        peer.send(b"PUSH " + b"x" * 495)
    assert [peer.closed for peer in peers] == [False, False, True]
    assert b"too many unfinished lines" in peers[-1].take()


def test_what_lies_on_a_disk_that_is_nearly_full() -> None:
    harness = Harness()
    peer = harness.worker("w-1")
    assert peer.ask("PUSH " + job("before-001")) == OK
    harness.server.engine.state.push_refusal = "storage is low"
    for line in (
        "PUSH " + job("after-0001"),
        'BATCH NEW {"success":{"jobtype":"C","args":[]}}',
    ):
        assert told(peer, line) == b"storage is low"
    peer.ask("FETCH default")
    assert peer.ask('ACK {"jid":"before-001"}') == OK


def test_names_labels_and_ids() -> None:
    harness = Harness()
    peer = harness.connect()
    assert told(peer, "PUSH " + job("j" * 513)) == b"jobs must have a reasonable jid parameter"
    assert told(peer, "PUSH " + job("named-0001", queue="q" * 256)).startswith(b"queue names must match")
    assert told(peer, "FETCH " + "q " * 1001).startswith(b"too many queue names")
    assert told(peer, "QUEUE PAUSE " + "q " * 1001).startswith(b"too many queue names")
    long = harness.connect(hello=None)
    assert b"a wid has at most 200" in long.ask('HELLO {"v":2,"wid":"' + "w" * 201 + '"}')
    labelled = harness.connect(json.dumps({"v": 2, "wid": "w-1", "labels": ["l" * 300] * 60}))
    assert labelled.session is not None
    assert labelled.session.worker is not None
    assert [len(label) for label in labelled.session.worker.labels] == [255] * 50


def test_texts_and_paths() -> None:
    harness = Harness()
    peer = harness.worker("w-1")
    line = json.dumps({"description": "d" * 1001, "success": {"jobtype": "C", "args": []}})
    bid = peer.ask("BATCH NEW " + line).split(b"\r\n")[1].decode()
    assert peer.ask_json(f"BATCH STATUS {bid}")["description"] == "d" * 1000
    assert peer.ask("PUSH " + job("told-00001", custom={"track": 1, "bid": "b" * 101})) == OK
    assert peer.ask(json.dumps({"jid": "told-00001", "desc": "d" * 1001}).join(["TRACK SET ", ""])) == OK
    assert peer.ask_json("TRACK GET told-00001")["desc"] == "d" * 1000
    assert (
        told(peer, json.dumps({"dir": "/" + "d" * 4096}).join(["BACKUP ", ""])) == b"dir is longer than 4096 characters"
    )
    check_store(harness.store)


def test_unknown_batches_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    harness = Harness()
    jobs = [job(f"lost-{number:05d}", custom={"bid": f"b-{number}" + "x" * 200}) for number in range(20)]
    harness.connect().ask(f"PUSHB [{','.join(jobs)}]")
    found = [message for message in caplog.messages if "is not known" in message]
    assert len(found) == 10
    assert all("x" * 98 not in message for message in found)


def test_labels() -> None:
    harness = Harness(settings=ServerSettings(most_labels=2))
    peer = harness.connect(json.dumps({"v": 2, "wid": "w-1", "labels": ["a", "b", "c"]}))
    assert peer.session is not None
    assert peer.session.worker is not None
    assert peer.session.worker.labels == ("a", "b")


def test_a_reload_changes_them() -> None:
    harness = Harness()
    peer = harness.connect()
    assert peer.ask("PUSH " + job("queued-001", queue="a")) == OK
    harness.server.engine.apply(Settings(most=Limits(queues=1)))
    assert told(peer, "PUSH " + job("queued-002", queue="b")) == b"too many queues: 1"
    harness.server.engine.apply(Settings())
    assert peer.ask("PUSH " + job("queued-002", queue="b")) == OK


def test_a_reload_changes_how_many_workers_and_labels_there_may_be() -> None:
    harness = Harness()
    harness.worker("w-1")
    harness.server.engine.apply(Settings(most=Limits(workers=1)))
    harness.server.apply(ServerSettings(most_labels=1))
    refused = harness.connect(hello=None)
    assert b"-ERR too many workers: 1\r\n" in refused.ask('HELLO {"v":2,"wid":"w-2"}')
    harness.server.engine.apply(Settings())
    labelled = harness.connect('{"v":2,"wid":"w-2","labels":["a","b"]}')
    assert labelled.session is not None
    assert labelled.session.worker is not None
    assert labelled.session.worker.labels == ("a",)
