"""The key space: where everything lies, in byte order.

```
A                                        PositionRecord: up to where a node of a cluster has applied its log
B b <bid>                                Batch: what is counted of a set of jobs
B j <bid> <role>                         a callback of a batch, as a job that is not enqueued yet
B m <bid> <seq>                          a job that belongs to a batch: pending, failing or dead
B n                                      how many batches are open, as a decimal
F                                        format: the version of everything below
N                                        the sequence block that is reserved, as a decimal
Q <name>                                 QueueRecord: counters, pause, cursors
R <len><name> <generation> <9-priority> <order>   a ready job; it stays here while it is leased
V <len><name> <generation> <len><lane> <9-priority> <order>   a ready job in a lane of its queue, as well
O <len><name> <generation> l <len><lane>          LaneRecord: a lane of a queue
O <len><name> <generation> t <turn>               the lane that has this turn
O <len><name> <generation> a <order> <lane>       no job of this lane, which has a turn, is older than that
I                                        the watermark of the jid index, as a decimal
L <group>                                the Leases of one turn: who holds which job, since when, until when
S <set>                                  SetRecord: how many jobs a timed set holds, and from where
X <key>                                  a row that cannot be read, as it stood under that key
T <set> <due> <order>                    a job that waits for an instant: scheduled, retries, dead
W <len><jid> <seq>                       the key under which the job lies now (the jid index)
K <wid>                                  a worker process that has ever sent a BEAT
C <id>                                   Chore: long work in progress; resumes after a crash
E <at> <kind> <id>                       what ends at an instant: `u` lock, `e` job, `t` track, `b` batch, `l` lane
P <jid>                                  TrackRecord: what can be asked about a job
U <digest>                               LockRecord: the unique job that holds this lock
D <yyyy-mm-dd>                           DayRecord: the totals as they stood when that day began
H j <len><jid> <finished> <seq>          leads from a jid to a finished job
M <name>                                 BucketRecord: what the throttle of a queue is owed in tokens
H n                                      HistorySizeRecord: how many finished jobs are kept, how large
H t <finished> <seq>                     HistoryRecord: a job that is over
G                                        TotalsRecord: what removed queues had counted
J <name>                                 PeriodicRecord: up to where the runs of a periodic job have been dealt with
Y <set> <digest>                         GroupRecord: jobs of a set that failed in the same way
Z <at>                                   NoteRecord: the figures of the whole server at a minute
```

Integers are big-endian, 8 bytes (a generation and an order too), so that byte order is time or sequence
order. What varies in length stands behind its own length (1 byte for the name of a queue or lane, 2 for a jid), since
a jid may hold any byte; a name that ends its key needs none.

`seq` is a job's identity and is never used twice: two live jobs may carry the same jid, and neither may touch
the other. `order` is its place in line, drawn from the same counter: for a job pushed straight into its queue
the two are equal; one that comes back from a timed set joins the tail with a new order and keeps its seq (see
`value.Extras`).

To change anything here, in `records` or in `value`: raise FORMAT_VERSION, add the step from the version before where
`State._load_format` refuses it today, and describe both in docs/format.md. A store of another version is refused.
"""

from typing import Final

__all__ = [
    "FORMAT_KEY",
    "FORMAT_VERSION",
    "GROUPS",
    "HISTORY",
    "HISTORY_SIZE_KEY",
    "INDEX_KEY",
    "JOB_RANGES",
    "NOTES",
    "OPEN_BATCHES_KEY",
    "POSITION_KEY",
    "SEQUENCE_KEY",
    "TOTALS_KEY",
    "WHERE",
    "after",
    "aside_key",
    "batch_key",
    "callback_key",
    "chore_key",
    "day_key",
    "expiry_at",
    "expiry_key",
    "expiry_parts",
    "group_key",
    "history_at",
    "history_jid_key",
    "history_jid_range",
    "history_key",
    "is_ready",
    "is_within_queue",
    "lane_age_key",
    "lane_key",
    "lane_name",
    "lane_prefix",
    "lane_stem",
    "laned_range",
    "lanes_parts",
    "lanes_range",
    "lease_key",
    "lock_key",
    "member_key",
    "note_at",
    "note_key",
    "periodic_key",
    "prefix_range",
    "queue_key",
    "ready_lane",
    "ready_order",
    "ready_parts",
    "ready_prefix",
    "ready_range",
    "ready_stem",
    "set_key",
    "throttle_key",
    "timed_due",
    "timed_key",
    "timed_order",
    "timed_prefix",
    "track_key",
    "where_key",
    "where_prefix",
    "where_seq",
    "worker_key",
]

FORMAT_VERSION: Final = 1

FORMAT_KEY: Final = b"F"
SEQUENCE_KEY: Final = b"N"
TOTALS_KEY: Final = b"G"
INDEX_KEY: Final = b"I"
OPEN_BATCHES_KEY: Final = b"Bn"
HISTORY_SIZE_KEY: Final = b"Hn"
#: The cluster's, not the engine's: FLUSH leaves it, and a single server does not look at it.
POSITION_KEY: Final = b"A"

#: How the keys of groups begin.
GROUPS: Final = b"Y"

#: How the keys of notes begin.
NOTES: Final = b"Z"

#: How the keys of finished jobs begin.
HISTORY: Final = b"Ht"

#: All that FLUSH removes: everything but the format, the sequence (it must go on rising), the known workers, and how
#: far the periodic jobs have come (else a run could come twice).
JOB_RANGES: Final = ((b"B", b"F"), (b"G", b"I"), (b"L", b"N"), (b"O", b"["))

#: How the keys of ready jobs begin.
_READY: Final = frozenset((b"R", b"V"))

#: How a key of the jid index begins, by the length of its encoded jid (512 characters at most, see `job`).
WHERE: Final = [b"W" + length.to_bytes(2) for length in range(4 * 512 + 1)]


def prefix_range(prefix: bytes) -> tuple[bytes, bytes]:
    """The range of all keys that start with `prefix` (which must not end in 0xff)."""
    return prefix, prefix[:-1] + bytes([prefix[-1] + 1])


def after(key: bytes) -> bytes:
    """The smallest key behind `key`."""
    return key + b"\0"


def aside_key(key: bytes) -> bytes:
    """X <key>"""
    return b"X" + key


def queue_key(name: str) -> bytes:
    """Q <name>"""
    return b"Q" + name.encode()


def _of_queue(letter: bytes, name: str, generation: int) -> bytes:
    encoded = name.encode()
    return letter + bytes([len(encoded)]) + encoded + generation.to_bytes(8)


def ready_range(name: str, generation: int) -> tuple[bytes, bytes]:
    """The range of all ready jobs of one generation of a queue that are in no lane."""
    return _of_queue(b"R", name, generation), _of_queue(b"R", name, generation + 1)


def laned_range(name: str, generation: int) -> tuple[bytes, bytes]:
    """The range of all ready jobs of one generation of a queue that are in a lane."""
    return _of_queue(b"V", name, generation), _of_queue(b"V", name, generation + 1)


def is_within_queue(key: bytes, end: bytes) -> bool:
    """Whether `end` is that of a `ready_range` or `laned_range`, and a key lies in it."""
    if not is_ready(end) or len(end) < 2 or len(end) != 10 + end[1]:
        return False
    stem, generation = end[:-8], int.from_bytes(end[-8:])
    return generation > 0 and key.startswith(stem + (generation - 1).to_bytes(8))


def ready_stem(name: str, generation: int) -> bytes:
    """R <len><name> <generation>"""
    return _of_queue(b"R", name, generation)


def lane_stem(name: str, generation: int, lane: bytes) -> bytes:
    """V <len><name> <generation> <len><lane>"""
    return _of_queue(b"V", name, generation) + bytes([len(lane)]) + lane


def ready_prefix(name: str, generation: int, priority: int) -> bytes:
    """R <len><name> <generation> <9-priority>: an order behind it makes the key of a ready job."""
    return ready_stem(name, generation) + bytes([9 - priority])


def is_ready(key: bytes) -> bool:
    """Whether a key is that of a ready job, in a lane or not."""
    return key[:1] in _READY


def ready_order(key: bytes) -> int:
    """The order in the key of a ready job."""
    return int.from_bytes(key[-8:])


def ready_parts(key: bytes) -> tuple[str, int, int]:
    """Queue name, generation and priority in the key of a ready job."""
    end = 2 + key[1]
    return key[2:end].decode(), int.from_bytes(key[end : end + 8]), 9 - key[-9]


def ready_lane(key: bytes) -> bytes | None:
    """The lane in the key of a ready job; None when it is in none."""
    return key[11 + key[1] : -9] if key[:1] == b"V" else None


def lanes_range(name: str, generation: int) -> tuple[bytes, bytes]:
    """The range of all that is kept about the lanes of one generation of a queue."""
    return _of_queue(b"O", name, generation), _of_queue(b"O", name, generation + 1)


def lane_prefix(name: str, generation: int, kind: bytes) -> bytes:
    """O <len><name> <generation> <kind>; the kind is one byte."""
    return _of_queue(b"O", name, generation) + kind


def lane_key(prefix: bytes, lane: bytes) -> bytes:
    """O ... l <len><lane>, behind the `lane_prefix` of the queue."""
    return prefix + bytes([len(lane)]) + lane


def lane_age_key(prefix: bytes, order: int, lane: bytes) -> bytes:
    """O ... a <order> <lane>, behind the `lane_prefix` of the queue."""
    return prefix + order.to_bytes(8) + lane


def lanes_parts(key: bytes) -> tuple[str, int, bytes]:
    """Queue name, generation and kind in a key that is about lanes."""
    end = 2 + key[1]
    return key[2:end].decode(), int.from_bytes(key[end : end + 8]), key[end + 8 : end + 9]


def lane_name(key: bytes) -> bytes:
    """The lane in the key of a LaneRecord."""
    return key[12 + key[1] :]


def lease_key(group: int) -> bytes:
    """L <group>"""
    return b"L" + group.to_bytes(8)


def set_key(code: bytes) -> bytes:
    """S <set>; the code is one byte."""
    return b"S" + code


def timed_prefix(code: bytes) -> bytes:
    """T <set>: all jobs of one timed set, the earliest first."""
    return b"T" + code


def timed_key(code: bytes, due: int, order: int) -> bytes:
    """T <set> <due> <order>; `due` is an instant, and one before the epoch counts as the epoch."""
    return b"T" + code + max(due, 0).to_bytes(8) + order.to_bytes(8)


def timed_due(key: bytes) -> int:
    """The instant in the key of a job in a timed set."""
    return int.from_bytes(key[2:10])


def timed_order(key: bytes) -> int:
    """The order in the key of a job in a timed set."""
    return int.from_bytes(key[10:18])


def where_prefix(jid: str) -> bytes:
    """W <len><jid>: all live jobs with that jid, the oldest first."""
    encoded = jid.encode()
    return WHERE[len(encoded)] + encoded


def where_key(jid: str, seq: int) -> bytes:
    """W <len><jid> <seq>"""
    encoded = jid.encode()
    return WHERE[len(encoded)] + encoded + seq.to_bytes(8)


def where_seq(key: bytes) -> int:
    """The seq in a key of the jid index."""
    return int.from_bytes(key[-8:])


def group_key(code: bytes, digest: bytes) -> bytes:
    """Y <set> <digest>; the digest has 8 bytes."""
    return GROUPS + code + digest


def note_key(at: int) -> bytes:
    """Z <at>"""
    return NOTES + max(at, 0).to_bytes(8)


def note_at(key: bytes) -> int:
    """The instant in the key of a note."""
    return int.from_bytes(key[1:9])


def worker_key(wid: str) -> bytes:
    """K <wid>"""
    return b"K" + wid.encode()


def chore_key(number: int) -> bytes:
    """C <id>"""
    return b"C" + number.to_bytes(8)


def day_key(day: str) -> bytes:
    """D <yyyy-mm-dd>"""
    return b"D" + day.encode()


def expiry_key(at: int, kind: bytes, name: bytes) -> bytes:
    """E <at> <kind> <id>; the kind is one byte."""
    return b"E" + max(at, 0).to_bytes(8) + kind + name


def expiry_at(key: bytes) -> int:
    """The instant in an expiry's key."""
    return int.from_bytes(key[1:9])


def expiry_parts(key: bytes) -> tuple[int, bytes, bytes]:
    """Instant, kind and id in an expiry's key."""
    return int.from_bytes(key[1:9]), key[9:10], key[10:]


def periodic_key(name: str) -> bytes:
    """J <name>"""
    return b"J" + name.encode()


def lock_key(digest: bytes) -> bytes:
    """U <digest>"""
    return b"U" + digest


def throttle_key(name: str) -> bytes:
    """M <name>"""
    return b"M" + name.encode()


def track_key(jid: str) -> bytes:
    """P <jid>"""
    return b"P" + jid.encode()


def batch_key(bid: str) -> bytes:
    """B b <bid>"""
    return b"Bb" + bid.encode()


def callback_key(bid: str, role: str) -> bytes:
    """B j <bid> <role>; the role is one letter."""
    return b"Bj%s%s" % (bid.encode(), role.encode())


def member_key(bid: str, seq: int) -> bytes:
    """B m <bid> <seq>; all bids are equally long."""
    return b"Bm" + bid.encode() + seq.to_bytes(8)


def history_key(finished: int, seq: int) -> bytes:
    """H t <finished> <seq>; an instant before the epoch counts as the epoch."""
    return HISTORY + max(finished, 0).to_bytes(8) + seq.to_bytes(8)


def history_at(key: bytes) -> int:
    """The instant in the key of a finished job."""
    return int.from_bytes(key[2:10])


def history_jid_key(jid: str, key: bytes) -> bytes:
    """H j <len><jid> <finished> <seq>, for the job that lies under `key`."""
    encoded = jid.encode()
    return b"Hj" + len(encoded).to_bytes(2) + encoded + key[len(HISTORY) :]


def history_jid_range(jid: str) -> tuple[bytes, bytes]:
    """The range of all finished jobs with a jid."""
    encoded = jid.encode()
    prefix = b"Hj" + len(encoded).to_bytes(2) + encoded
    return prefix, prefix + b"\xff" * 17
