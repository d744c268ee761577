"""Workers: the processes that fetch, known by their wid, and what becomes of those that fall silent.

A worker is here while a connection of it is open. It is silent when none of its connections has sent a BEAT or a
FETCH for 60 s: then it is forgotten, and the server closes its connections. A worker that has ever sent a BEAT is
*vanished* once it has been silent for that long, or has had no connection for `recover_after`; its jobs then go
back to the head of their queues. Whether it has ever sent a BEAT is the only thing that a restart must know, so it
is the only thing on disk (K <wid>); after a restart each such worker has a fresh time to come back.

How many workers are known at a time is limited, since a client can make wids up. What is remembered of those without a
connection matters only for jobs that they hold, or fetch when they are back; where there is no room for a new worker,
some that hold none are forgotten.

What is true after every call: `present` are the workers with a connection; `absent` are known workers without one
and the instant since when; nobody is in both.
"""

from itertools import islice
from typing import Final

from msgspec import Struct

from lineshaft.engine import keys
from lineshaft.engine.leases import NEVER, Leases
from lineshaft.engine.records import WorkerRecord, encode_record
from lineshaft.engine.turn import Turn
from lineshaft.errors import Refusal
from lineshaft.lifecycle import WorkerState

__all__ = ["SILENT_AFTER", "Worker", "Workers"]

#: A worker that says nothing for this long is forgotten; clients send a BEAT every 5 to 30 s.
SILENT_AFTER: Final = 60_000

#: Room is made no more often than this, since that looks at every lease; and then for so many.
ROOM_EVERY_MS: Final = 1_000
ROOM: Final = 1_000


class Worker(Struct, gc=False):
    """A worker process as it introduced itself, and what it has said since."""

    wid: str
    hostname: str
    pid: int
    labels: tuple[str, ...]
    started_at: int
    heard_at: int  #: its last BEAT or FETCH
    connections: int = 0
    rss_kb: int = 0
    state: WorkerState = WorkerState.RUNNING
    has_beaten: bool = False


class Workers:
    """All worker processes."""

    def __init__(self, turn: Turn, leases: Leases) -> None:
        self.turn = turn
        self.leases = leases
        self.present: dict[str, Worker] = {}
        #: wid to the instant since when it has had no connection; only workers that have ever sent a BEAT.
        self.absent: dict[str, int] = {}
        #: Those whose jobs are being taken back; they may come back meanwhile.
        self.vanished: set[str] = set()
        #: wids whose connections the server is to close.
        self.expelled: list[str] = []
        #: Nobody falls silent or vanishes before this instant.
        self.next_check = NEVER
        #: Milliseconds; 0 leaves a vanished worker's jobs to their reservation, as the reference does.
        self.recover_after = SILENT_AFTER
        #: How many are known at most, with a connection or without.
        self.most = 1 << 62
        #: No room is made for others before this instant.
        self.next_room_at = 0

    def load(self, now: int) -> None:
        """Read which workers have ever sent a BEAT; those not present have a fresh time. Raises StoreError."""
        self.absent.clear()
        # What present workers have said may have been lost with a failed commit, and is written again.
        unwritten = {wid for wid, worker in self.present.items() if worker.has_beaten}
        start, end = keys.prefix_range(b"K")
        while rows := self.turn.scan(start, end, limit=1000):
            for key, _ in rows:
                wid = key[1:].decode()
                unwritten.discard(wid)
                if wid not in self.present:
                    self.absent[wid] = now
            start = keys.after(rows[-1][0])
        for wid in unwritten:
            self.turn.changes[keys.worker_key(wid)] = encode_record(WorkerRecord(now))
        self.next_check = now

    def connect(self, wid: str, hostname: str, pid: int, labels: tuple[str, ...], now: int) -> Worker:
        """A connection of this worker opened. Raises Refusal for a worker that is one too many."""
        worker = self.present.get(wid)
        if worker is None:
            is_known = wid in self.absent or wid in self.vanished
            if len(self.present) + len(self.absent) >= self.most and not is_known:
                self._make_room(now)
            worker = self.present[wid] = Worker(wid, hostname, pid, labels, started_at=now, heard_at=now)
            worker.has_beaten = is_known
            self.absent.pop(wid, None)
        worker.connections += 1
        worker.heard_at = now
        self.next_check = min(self.next_check, now + SILENT_AFTER)
        return worker

    def disconnect(self, worker: Worker, now: int) -> None:
        """A connection of this worker closed; with its last one it leaves the page."""
        worker.connections -= 1
        if worker.connections <= 0 and self.present.get(worker.wid) is worker:
            self._leave(worker, now)

    def beat(self, worker: Worker, rss_kb: int, state: WorkerState | None, now: int) -> None:
        """A worker says that it is alive; its state only moves forward."""
        worker.heard_at = now
        worker.rss_kb = rss_kb
        if state is not None:
            worker.state = max(worker.state, state)
        if not worker.has_beaten:
            worker.has_beaten = True
            self.turn.changes[keys.worker_key(worker.wid)] = encode_record(WorkerRecord(now))

    def shift(self, milliseconds: int) -> None:
        """The clock was set by this much: what was heard of workers moves with it."""
        for worker in self.present.values():
            worker.heard_at += milliseconds
        for wid in self.absent:
            self.absent[wid] += milliseconds
        if self.next_check != NEVER:
            self.next_check += milliseconds

    def take_vanished(self, now: int) -> set[str]:
        """The workers whose jobs are to be taken back now; `forget` them when that is done.

        Also puts the silent ones on `expelled`.
        """
        if now < self.next_check:
            return set()
        for worker in [worker for worker in self.present.values() if worker.heard_at + SILENT_AFTER <= now]:
            self.expelled.append(worker.wid)
            # Silence counts from the last word, so a silent worker has used up its time already.
            self._leave(worker, worker.heard_at)
        patience = self.recover_after or SILENT_AFTER
        vanished = {wid for wid, since in self.absent.items() if since + patience <= now}
        for wid in vanished:
            del self.absent[wid]
        self.vanished |= vanished
        silent = min((worker.heard_at for worker in self.present.values()), default=NEVER) + SILENT_AFTER
        self.next_check = min(silent, min(self.absent.values(), default=NEVER) + patience)
        if not self.recover_after:
            self.forget()
            return set()
        return vanished

    def forget(self) -> None:
        """The jobs of those that vanished have been taken back: the last thing that was known of them goes."""
        vanished, self.vanished = self.vanished, set()
        for wid in vanished:
            if wid not in self.present and wid not in self.absent:
                self.turn.changes[keys.worker_key(wid)] = None

    def _make_room(self, now: int) -> None:
        """Forget workers without a connection that hold no job, those that left last before the others: who makes wids
        up leaves at once. Raises Refusal when that is not enough."""
        if not self.next_room_at - ROOM_EVERY_MS <= now < self.next_room_at:
            self.next_room_at = now + ROOM_EVERY_MS
            busy = {lease.holder for lease in self.leases.by_seq.values()}
            for wid in list(islice((wid for wid in reversed(self.absent) if wid not in busy), ROOM)):
                del self.absent[wid]
                self.turn.changes[keys.worker_key(wid)] = None
        if len(self.present) + len(self.absent) >= self.most:
            raise Refusal(f"too many workers: {self.most}")

    def _leave(self, worker: Worker, since: int) -> None:
        del self.present[worker.wid]
        if worker.has_beaten:
            self.absent[worker.wid] = since
            self.next_check = min(self.next_check, since + (self.recover_after or SILENT_AFTER))
