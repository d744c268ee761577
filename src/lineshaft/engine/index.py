"""The jid index: from what clients know of a job to the key under which it lies.

Most jobs are done within moments, and writing an index entry only to delete it would cost as much as the job itself.
So a job that was just pushed into its queue is *young*: its entry is in memory alone. When there are too many of
them, some of the oldest are written, in the turn at hand, and with them the watermark: every live job with an order up
to it has its entry on disk. A restart finds the young ones again among the jobs beyond the watermark; these are few.

    young       jid -> key      jobs pushed straight into their queue, in the order of their pushes
    W <jid> <seq> -> key        all others: grown old, moved to another place, or with the jid of a young one
    I                           the watermark

What is true after every call: a live job has its entry in exactly one of the two. An entry may outlive its job only
where the index was switched off in between; so whoever follows one looks whether the job is there.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Final

from lineshaft.engine import keys
from lineshaft.engine.ready import Queues
from lineshaft.engine.records import Lease
from lineshaft.engine.turn import Turn
from lineshaft.engine.value import decode_head, split_value
from lineshaft.job import MAX_JID_LENGTH, UNREADABLE

__all__ = ["MOST_YOUNG", "Index"]

#: Beyond this many young jobs the oldest are written. What a restart looks through is bounded by MOST_BEYOND.
MOST_YOUNG: Final = 8192

#: So many are written at a time: their turn is not much longer than others.
MOST_WRITTEN: Final = 256

#: Beyond this many orders behind the watermark it is raised, however few young jobs there are.
MOST_BEYOND: Final = 4 * MOST_YOUNG

#: More live jobs than this with one jid are not looked at: only a client that reuses one jid makes them.
MOST_TWINS: Final = 1000

_LAST_SEQ: Final = b"\xff" * 8


class Index:
    """Every live job by its jid; when it is switched off, it knows nothing and costs nothing."""

    def __init__(self, turn: Turn, *, enabled: bool) -> None:
        self.turn = turn
        self.enabled = enabled
        self.young: dict[str, bytes] = {}
        #: As it stands under I: each job with an order up to it has its entry on disk.
        self.watermark = 0

    def load(self, queues: Queues, leases: Iterable[Lease], order: int) -> None:
        """Find the young jobs among those beyond the watermark; `order` is the last that was used.

        An index that is switched on for a store with jobs begins with those that are pushed from now on.
        Raises StoreError.
        """
        self.young.clear()
        watermark = self.turn.get(keys.INDEX_KEY)
        if not self.enabled:
            if watermark is not None:
                self.turn.changes[keys.INDEX_KEY] = None
            return
        if watermark is None:
            self._raise(order)
            return
        self.watermark = int(watermark)
        found: list[tuple[bytes, str]] = []
        for queue in queues:
            for window in queue.windows:
                found += self._beyond(window.prefix, int(watermark))
        # A held job of a removed queue lies where no window leads.
        held = ((lease.key, lease.jid) for lease in leases if keys.ready_order(lease.key) == lease.seq > self.watermark)
        found += [pair for pair in held if self.turn.get(keys.where_key(pair[1], keys.ready_order(pair[0]))) is None]
        self.young = {jid: key for key, jid in sorted(set(found), key=lambda pair: pair[0][-8:])}

    def _beyond(self, prefix: bytes, watermark: int) -> list[tuple[bytes, str]]:
        """The jobs of one priority of a queue that lie beyond the watermark and have no entry on disk."""
        _, end = keys.prefix_range(prefix)
        start = prefix + (watermark + 1).to_bytes(8)
        found = []
        while rows := self.turn.scan(start, end, limit=1000, limit_bytes=4 << 20):
            for key, value in rows:
                try:
                    extras, payload = split_value(value)
                    jid = decode_head(payload).jid
                except UNREADABLE:
                    self.turn.damaged[key] = value
                    continue
                if not extras.seq and self.turn.get(keys.where_key(jid, keys.ready_order(key))) is None:
                    found.append((key, jid))
            start = keys.after(rows[-1][0])
        return found

    def clear(self) -> None:
        """Forget the young ones; the keys are the caller's business."""
        self.young.clear()

    def add(self, jid: str, key: bytes) -> None:
        """A job was pushed straight into its queue: its seq is the order in its key."""
        if self.young.setdefault(jid, key) is not key:
            self.add_twin(jid, key)

    def add_twin(self, jid: str, key: bytes) -> None:
        """The same for one whose jid is that of a young job."""
        self.turn.changes[keys.where_key(jid, keys.ready_order(key))] = key

    def settle(self, order: int) -> None:
        """Write the older ones when there are too many of them; and raise the watermark when it has fallen far behind
        `order`, the last that was used.

        Jobs that are done while they are young, or that join their queue from a timed set, never raise it; and a
        restart looks through all that lies beyond. The end of a turn is soon enough for both.
        """
        if len(self.young) <= MOST_YOUNG and order - self.watermark <= MOST_BEYOND:
            return
        while len(self.young) > MOST_YOUNG:
            self._write_older()
        while self.enabled and order - self.watermark > MOST_BEYOND:
            oldest = next(iter(self.young.values()), None)
            if oldest is None:
                self._raise(order)
            elif order - keys.ready_order(oldest) > MOST_BEYOND // 2:
                self._write_older()
            else:
                self._raise(keys.ready_order(oldest) - 1)

    def _raise(self, order: int) -> None:
        self.watermark = order
        self.turn.changes[keys.INDEX_KEY] = b"%d" % order

    def _write_older(self) -> None:
        changes, young, where = self.turn.changes, self.young, keys.WHERE
        older = list(islice(young.items(), min(MOST_YOUNG // 2, MOST_WRITTEN)))
        for jid, key in older:
            # As `where_key` has it: this is done for every job that lives long enough.
            encoded = jid.encode()
            changes[where[len(encoded)] + encoded + key[-8:]] = key
            del young[jid]
        self._raise(keys.ready_order(older[-1][1]))

    def move(self, jid: str, seq: int, key: bytes) -> None:
        """A job lies under another key now."""
        if self.enabled:
            if jid in self.young:
                self._drop_young(jid, seq)
            # As `where_key` has it: a million that are due at once come by here.
            encoded = jid.encode()
            self.turn.changes[keys.WHERE[len(encoded)] + encoded + seq.to_bytes(8)] = key

    def remove(self, jid: str, seq: int) -> None:
        """A job is no more."""
        if self.enabled and not self._drop_young(jid, seq):
            self.turn.changes[keys.where_key(jid, seq)] = None

    def _drop_young(self, jid: str, seq: int) -> bool:
        key = self.young.get(jid)
        if key is None or keys.ready_order(key) != seq:
            return False
        del self.young[jid]
        return True

    def forget_key(self, key: bytes) -> None:
        """The job under this key cannot be read: it is young no more. Its entry on disk, if any, leads nowhere."""
        for jid in [jid for jid, young in self.young.items() if young == key]:
            del self.young[jid]

    def find(self, jid: str) -> list[tuple[int, bytes]]:
        """The live jobs with this jid, the oldest first: seq, and the key under which each lies.

        Empty while the index is switched off. Raises StoreError.
        """
        if not self.enabled or len(jid) > MAX_JID_LENGTH:
            return []
        prefix = keys.where_prefix(jid)
        rows = self.turn.scan(prefix, keys.after(prefix + _LAST_SEQ), limit=MOST_TWINS)
        found = [(keys.where_seq(row), key) for row, key in rows]
        if (key := self.young.get(jid)) is not None:
            found.append((keys.ready_order(key), key))
        return sorted(found)

    def has(self, jid: str) -> bool:
        """Whether a job with this jid is live. Raises StoreError."""
        return any(self.turn.get(key) is not None for _, key in self.find(jid))
