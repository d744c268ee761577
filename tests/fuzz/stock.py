"""The stock of the fuzzing: a server that has used every feature, so that every kind of row is there to be damaged.

`stocked` is such a server while it runs, `stock` its rows. Some kinds are there for a moment only, or not on every
server: so a chore is caught in its middle, a row is damaged and set aside, and all goes through the log of a cluster.
"""

import json
from collections.abc import Callable
from functools import cache

from harness import Harness, Peer
from invariants import rows_of
from lineshaft.cluster.record import Leadership, Record, encode_leadership, encode_transaction, join
from lineshaft.cluster.replica import Replica
from lineshaft.engine.records import LaneRules, Rate
from lineshaft.engine.settings import Periodic, QueueLimits, Settings, Throttle
from lineshaft.schedule import Schedule
from lineshaft.store.faulty import FaultyStore
from lineshaft.store.memory import MemoryStore

__all__ = ["AFTER", "ALL_KINDS", "NOW", "RULES", "SCRIPT", "damages", "kind_of", "note", "stock", "stocked"]

#: Ten seconds before a full minute, so that the notes of a minute come at once.
NOW = 1_764_000_000_000 - 10_000
#: When the stock is done with.
AFTER = NOW + 12_000

RULES = Settings(
    queues={
        "laned": QueueLimits(lanes=LaneRules("tenant", concurrency=3, rate=Rate(2, 600_000))),
        "strict": QueueLimits(lanes=LaneRules("tenant", strict=True)),
    },
    throttles={"slow": Throttle(concurrency=2, rate=3, per=60_000)},
    periodic=(Periodic("often", Schedule("0 * * * * *"), "P", "often", b'{"jobtype":"P","args":[],"queue":"often"}'),),
    history_keep=3_600_000,
)

#: How keys begin: see `lineshaft.engine.keys`. In R, V, O, T, S, Y and E a part behind tells kinds of their own apart.
ALL_KINDS = {
    *[
        "A",
        "Bb",
        "Bj",
        "Bm",
        "Bn",
        "C",
        "D",
        "F",
        "G",
        "Hj",
        "Hn",
        "Ht",
        "I",
        "J",
        "K",
        "L",
        "M",
        "N",
        "Ol",
        "Ot",
        "Oa",
        "P",
    ],
    *["Q", "R", "Sd", "Sr", "Ss", "Td", "Tr", "Ts", "U", "V", "W", "X", "Yd", "Yr", "Z", "Eb", "Ee", "El", "Et", "Eu"],
}

#: What is said to a server one of whose rows is damaged.
SCRIPT = [
    "INFO",
    *["FETCH a b c default calls laned strict slow often"] * 10,
    'ACK {"jid":"held-0001"}',
    'FAIL {"jid":"held-0002","errtype":"E"}',
    'ACK {"jid":"lane-0001"}',
    'FAIL {"jid":"order-001","errtype":"E","retry_in":1}',
    'REQUEUE {"jid":"slow-0001"}',
    'CANCEL {"jid":"later-001"}',
    'CANCEL {"jid":"ready-001"}',
    'CANCEL {"jid":"order-001"}',
    "TRACK GET track-001",
    "TRACK GET ready-002",
    "QUEUE LATENCY a b c default laned strict",
    "FETCH laned strict slow",
    'INSPECT {"what":"queues"}',
    'INSPECT {"what":"history"}',
    'INSPECT {"what":"job","jid":"done-0001"}',
    'INSPECT {"what":"jobs","place":"leased"}',
    'INSPECT {"what":"jobs","place":"ready","queue":"laned"}',
    "CRON LIST",
    "CRON RUN often",
    "CRON PAUSE often",
    'MUTATE {"cmd":"requeue","target":"retries"}',
    'MUTATE {"cmd":"kill","target":"scheduled"}',
    'MUTATE {"cmd":"clear","target":"dead"}',
    "BATCH STATUS b-unknown",
    'PUSH {"jid":"alike-002","jobtype":"T","args":[1],"queue":"a","custom":{"unique_for":60}}',
    'PUSH {"jid":"lane-0009","jobtype":"T","args":[],"queue":"laned","custom":{"tenant":"acme"}}',
    "QUEUE REMOVE b",
    "QUEUE REMOVE laned",
]


def kind_of(key: bytes) -> str:
    """The kind of a row."""
    letter = key[:1].decode()
    if letter in "BHSTY":
        return letter + key[1:2].decode()
    if letter == "O":
        return letter + key[10 + key[1] : 11 + key[1]].decode()
    return letter + key[9:10].decode() if letter == "E" else letter


def stocked(harness: Harness) -> Peer:
    """Use every feature; the peer is a worker that holds jobs."""
    peer = harness.worker("worker-1")
    bid = peer.ask('BATCH NEW {"success":{"jobtype":"C","args":[],"queue":"calls"},"death":{"jobtype":"C","args":[]}}')
    custom = {"bid": bid.split(b"\r\n")[1].decode()}
    jobs: list[dict[str, object]] = [
        {"jid": "held-0001", "queue": "a"},
        {"jid": "held-0002", "queue": "a", "custom": {"track": 1, "unique_for": 600, "expires_in": 6000}},
        {"jid": "tries-001", "queue": "a"},
        {"jid": "deads-001", "queue": "a", "retry": -1, "custom": custom},
        {"jid": "done-0001", "queue": "a", "custom": {"track": 1}},
        {"jid": "ready-001", "queue": "b", "priority": 7, "custom": custom},
        {"jid": "ready-002", "queue": "default", "custom": {"expires_in": 300, "track": 1}},
        {"jid": "later-001", "queue": "b", "at": "2025-11-24T17:00:00Z"},
        {"jid": "alike-001", "queue": "a", "args": [1], "custom": {"unique_for": 600}},
        *({"jid": f"lane-000{n}", "queue": "laned", "custom": {"tenant": "acme"}} for n in range(1, 4)),
        {"jid": "lane-0004", "queue": "laned", "custom": {"tenant": "zeta", "expires_in": 600}},
        *({"jid": f"order-00{n}", "queue": "strict", "custom": {"tenant": "acme"}} for n in range(1, 3)),
        {"jid": "order-003", "queue": "strict", "custom": {"tenant": "zeta"}},
        *({"jid": f"slow-000{n}", "queue": "slow"} for n in range(1, 3)),
        *({"jid": f"gone-000{n}", "queue": "gone"} for n in range(1, 3)),
    ]
    for job in jobs:
        assert peer.ask("PUSH " + json.dumps({"jobtype": "T", "args": [], **job})) == b"+OK\r\n"
    for queue in ("a", "a", "a", "a", "a", "laned", "laned", "laned", "strict", "slow", "gone"):
        assert peer.ask(f"FETCH {queue}").startswith(b"$"), queue
    for line in (
        'FAIL {"jid":"tries-001","errtype":"E","message":"m"}',
        'FAIL {"jid":"deads-001","errtype":"E","message":"m"}',
        'ACK {"jid":"done-0001","result":7}',
        'ACK {"jid":"gone-0001"}',
        'CANCEL {"jid":"held-0002"}',
        'FAIL {"jid":"order-001","retry_in":900}',
        "QUEUE REMOVE gone",
    ):
        assert peer.ask(line) == b"+OK\r\n", line
    # Over a full minute, in which a periodic job runs.
    harness.advance((AFTER - NOW) / 1000)
    note(harness)
    return peer


def note(harness: Harness) -> None:
    """Note the figures, as the pages do, and look at all notes."""
    harness.server.begin_turn()
    harness.server.engine.take_note()
    harness.server.engine.views.notes(0)
    harness.server.need_turn()
    harness.settle()


@cache
def stock() -> dict[bytes, bytes]:
    """Every kind of row there is."""
    harness = Harness(rules=RULES, now=NOW)
    stocked(harness)
    rows = _with_one_set_aside(rows_of(harness.store))
    harness = Harness(rules=RULES, store=FaultyStore(rows), now=AFTER)
    peer = harness.connect()
    for number in range(3):
        job = {"jid": f"swept-00{number}", "jobtype": "T", "args": [], "queue": "swept"}
        assert peer.ask("PUSH " + json.dumps(job)) == b"+OK\r\n"
    return _through_a_log(_in_the_middle(harness, b"QUEUE REMOVE swept\r\n", lambda key: key[:1] == b"C"))


def damages() -> list[bytes]:
    """Inputs for `targets.records`: each row as it is, to be changed by chance, and as what no record is."""
    values = [value for _, value in sorted(stock().items())]
    return [number.to_bytes(2) + damaged for number, whole in enumerate(values) for damaged in (whole, b"\x91\xc4\x0c")]


def _with_one_set_aside(rows: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """A job that cannot be read, and a server that has met it."""
    harness = Harness(rules=RULES, store=FaultyStore(rows), now=AFTER)
    assert harness.connect().ask('PUSH {"jid":"aside-001","jobtype":"T","args":[],"queue":"aside"}') == b"+OK\r\n"
    rows = rows_of(harness.store)
    (key,) = [key for key, value in rows.items() if b'"jid":"aside-001"' in value]
    harness = Harness(rules=RULES, store=FaultyStore(rows | {key: b"\xc1"}), now=AFTER)
    harness.connect().ask("FETCH aside")
    return rows_of(harness.store)


def _in_the_middle(harness: Harness, line: bytes, wanted: Callable[[bytes], bool]) -> dict[bytes, bytes]:
    """The rows after the first commit in which there is such a key, while a command is carried out."""
    before, store = rows_of(harness.store), harness.store
    first = len(store.log)
    harness.connect().send(line)
    for commit in store.log[first:]:
        after = MemoryStore(before)
        after.commit(commit.changes, commit.cleared)
        before = rows_of(after)
        if any(wanted(key) for key in before):
            return before
    raise AssertionError("it was never there")


def _through_a_log(rows: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """The store of a node of a cluster that has applied these rows."""
    store = MemoryStore()
    replica = Replica(store, "log-1")
    replica.take(1, Record(1, 0, 0, encode_leadership(Leadership("a", "life-1"))).encode())
    replica.take(2, Record(1, 1, 0, join([encode_transaction(rows)])).encode())
    replica.write()
    return rows_of(store)
