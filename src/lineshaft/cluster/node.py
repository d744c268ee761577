"""The node: a standby that may come to lead, and a leader that may come to stand by. All its rules, without I/O.

```
STARTING ──the log answers──> STANDBY ──nobody leads──> CLAIMING ──its epoch stands──> LEADER
                                 ^ ^                       │                              │
                                 │ └───────refused─────────┘                              │
                                 └── a newer epoch, no majority within the lease, or handed over ──┘
```

A standby applies each entry of the log to its replica. When no notice of a leader has changed for the lease's time, it
reads the log to its end and appends a record that begins an epoch, expecting that end. If the log takes it, this node
leads: nobody else's record counts behind it. Two nodes may think so at once; the log does not.

A leader that gets nothing into the log for the lease's time, or cannot put up its notice, answers all that is owed with
an error and is a standby again: what it had sent may stand in the log, and whoever leads next finds out by reading.

What is true after every call: there is a `store` exactly while the role is LEADER; the replica is written to by the
reader of the log while it is a standby, and by the writer while it leads, never by both.
"""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, Protocol

from msgspec import Struct

from lineshaft import __version__
from lineshaft.cluster.fold import Fold, Gap
from lineshaft.cluster.port import Board, Bounds, Following, Log, Outcome
from lineshaft.cluster.presence import (
    LEASE_MS,
    RENEW_MS,
    Presence,
    Presences,
    Role,
    encode_presence,
    notice_name,
    snapshots_of,
)
from lineshaft.cluster.record import Leadership, Record, encode_leadership
from lineshaft.cluster.replica import Replica
from lineshaft.cluster.replicated import ReplicatedStore
from lineshaft.cluster.writer import Turn, Writer
from lineshaft.errors import NotLeading, StoreBusy, StoreError
from lineshaft.store.port import Store

__all__ = ["Identity", "Node", "NodeShell"]

log = logging.getLogger(__name__)

#: How often the board is read.
LOOK_MS: Final = 500
#: After a claim that came to nothing: this, and a share of it by chance, so that two do not go on colliding.
REST_MS: Final = 500
#: How long a question may go unanswered before it is asked again.
PATIENCE_MS: Final = 1500
#: A log that for so long ends before what a node has applied has lost entries.
SHORT_MS: Final = 15_000
#: A leader that hands over waits so long for what is in flight.
HANDOVER_MS: Final = 2000


class Identity(Struct, frozen=True):
    """What a node is called and where it is found."""

    node: str
    life: str  #: of this process, never used twice
    address: str  #: where other nodes reach its job port
    web: str = ""  #: and its HTTP port


class NodeShell(Protocol):
    """What the rules ask of the process around them."""

    def lead(self, store: ReplicatedStore) -> None:
        """Load the engine from this store and serve. Raises StoreError."""
        ...

    def stand_by(self, why: NotLeading) -> None:
        """Answer what is owed with this error, close all clients' connections, forget everything."""
        ...

    def released(self) -> None:
        """More turns stand in the log: let their replies go."""
        ...

    def point_to(self, leader: Presence | None) -> None:
        """Somebody else leads, or nobody does: forward clients there from now on."""
        ...

    def need_snapshot(self) -> None:
        """The log does not go back to where the replica is: load a snapshot, then call `Node.restart`."""
        ...

    def fail(self, error: StoreError) -> None:
        """This node cannot go on: end the process."""
        ...


class Node:
    """One node of the cluster."""

    def __init__(
        self,
        identity: Identity,
        store: Store,
        log_port: Log,
        board: Board,
        shell: NodeShell,
        clock: Callable[[], int],
        chance: Callable[[], float],
    ) -> None:
        """`clock` gives milliseconds that only ever rise; `chance` a number in [0, 1)."""
        # Fixed for life.
        self.identity = identity
        self.log = log_port
        self.board = board
        self.shell = shell
        self.clock = clock
        self.chance = chance
        # What it is.
        self.role = Role.STARTING
        self.presences = Presences()
        self.leader: Presence | None = None
        # The log, read.
        self.local = store
        self.replica: Replica | None = None
        self._following: Following | None = None
        self._unread: deque[tuple[int, bytes]] = deque()
        #: The log's end, and how large it is, as last heard.
        self.end = 0
        self.size_bytes = 0
        self._short_since: int | None = None
        #: Where there are snapshots, in order.
        self.snapshots: list[int] = []
        self._purged = 0
        # The log, written.
        self.store: ReplicatedStore | None = None
        self._writer: Writer | None = None
        self._heir: str | None = None
        self._handover_until = 0
        #: When something last came to stand, or nothing was owed.
        self._progress_at = 0
        self._progress = 0
        # When to do what.
        self._look_at = 0
        self._post_at = 0
        self._asked_at: dict[str, int] = {}
        self._posted_at = 0
        self._beat = 0
        self._claim_at = 0
        self._claimed_epoch = 0
        #: When somebody last was heard to lead, or this node began to listen.
        self._heard_at: int | None = None
        # For those who watch.
        self.takeovers = 0
        self.took_over_at: int | None = None
        self.takeover_ms = 0

    # Time

    def tick(self) -> None:
        """What is due; to be called several times a second."""
        now = self.clock()
        if self.role is Role.STOPPED:
            return
        if now >= self._post_at:
            self._post(now)
        if now >= self._look_at:
            self._look_at = now + LOOK_MS
            self._ask("board", lambda: self.board.notices(self._board_read))
            self._ask("bounds", lambda: self.log.bounds(self._bounds))
        if self.role is Role.LEADER:
            self._lead_on(now)
        elif self.role is Role.STANDBY:
            self._read_on()
            self._maybe_claim(now)

    def _ask(self, what: str, question: Callable[[], None]) -> None:
        """Ask, unless the same question is out there and may yet be answered."""
        now = self.clock()
        if now - self._asked_at.get(what, -PATIENCE_MS) >= PATIENCE_MS:
            self._asked_at[what] = now
            question()

    def _answered(self, what: str) -> None:
        self._asked_at.pop(what, None)

    # The board

    def presence(self) -> Presence:
        """What this node says of itself."""
        replica, leads = self.replica, self.role is Role.LEADER
        return Presence(
            node=self.identity.node,
            life=self.identity.life,
            role=self.role,
            beat=self._beat,
            epoch=replica.fold.epoch if replica is not None else 0,
            sequence=replica.applied if replica is not None else 0,
            address=self.identity.address,
            web=self.identity.web,
            version=__version__,
            heir="" if leads else self._heir or "",
        )

    def _post(self, now: int) -> None:
        self._post_at = now + RENEW_MS
        self._beat += 1

        def done(posted: bool | None) -> None:
            if posted:
                self._posted_at = max(self._posted_at, now)

        self.board.post(notice_name(self.identity.node), encode_presence(self.presence()), done)

    def _board_read(self, notices: Mapping[str, bytes] | None) -> None:
        self._answered("board")
        if notices is None or self.role is Role.STOPPED:
            return
        now = self.clock()
        self.presences.read(notices, now)
        self.snapshots = snapshots_of(notices)
        if self.replica is not None and self.presences.newest_epoch() > self.replica.fold.epoch:
            # The log says so too; but a leader to whom nobody speaks writes nothing, and would not hear of it there.
            self.step_down("another node leads")
        self._see_leader(now)
        if self.role is Role.LEADER:
            self._maybe_purge(now)

    def _maybe_purge(self, now: int) -> None:
        """Forget what two snapshots have, and every node that is alive."""
        if len(self.snapshots) < 2 or self.replica is None:
            return
        alive = [one.sequence for one in self.presences.alive(now) if one.node != self.identity.node]
        up_to = min([self.snapshots[-2], self.replica.applied, *alive])
        if up_to > self._purged:
            self._ask("purge", lambda: self.log.purge(up_to, partial(self._purged_to, up_to)))

    def _purged_to(self, up_to: int, done: bool | None) -> None:
        self._answered("purge")
        if done:
            self._purged = max(self._purged, up_to)
            log.info("the log is purged up to entry %d", up_to)

    def wants_snapshot(self, after_bytes: int) -> bool:
        """Whether it is this node's turn to take a snapshot: the first standby does, or the leader where there is none.

        With no snapshot it is time when the log has `after_bytes`, with one or two at twice of that: it reaches back
        to the older of two.
        """
        now = self.clock()
        standbys = sorted(one.node for one in self.presences.alive(now) if one.role is Role.STANDBY)
        is_first = standbys[0] == self.identity.node if standbys else self.role is Role.LEADER
        is_long = self.size_bytes > after_bytes * (2 if self.snapshots else 1)
        return is_first and is_long and self.role in (Role.STANDBY, Role.LEADER)

    def _see_leader(self, now: int) -> None:
        if self.role is Role.LEADER:
            return
        leader = self.presences.leader(now)
        if leader is not None and leader.node == self.identity.node:
            # What this node, or its life before, said while it led.
            leader = None
        if leader is not None:
            self._heard_at = self.presences.seen[leader.node].at
        elif self._heard_at is None:
            self._heard_at = now
        before = self.leader
        self.leader = leader
        if (before and (before.node, before.life, before.epoch)) != (
            leader and (leader.node, leader.life, leader.epoch)
        ):
            self.shell.point_to(leader)

    # Reading

    def _bounds(self, bounds: Bounds | None) -> None:
        self._answered("bounds")
        if bounds is not None:
            self.size_bytes = bounds.size_bytes
        if bounds is None or self.role in (Role.STOPPED, Role.LEADER, Role.CLAIMING):
            return
        self.end = max(self.end, bounds.last)
        try:
            if self.replica is None:
                self.replica = Replica(self.local, bounds.log_id, self._began)
            if self.replica.log_id != bounds.log_id:
                raise StoreError("the log was made anew: stop the cluster and see docs/howto/cluster.md")
            if self._is_short(bounds):
                return
        except StoreError as error:
            self.shell.fail(error)
            return
        if bounds.first > self.replica.fold.sequence + 1 and self._following is None:
            self.role = Role.STARTING
            self.shell.need_snapshot()
        elif self._following is None:
            self.role = Role.STANDBY
            self._follow()
            # Others may wait for a standby to be there.
            self._post(self.clock())

    def _is_short(self, bounds: Bounds) -> bool:
        """Whether the log ends before what this node has applied. Raises StoreError when it stays so.

        For a moment that is nothing: an entry can be heard before the answer that was asked for earlier, and a server
        of the log that has just come to lead it may have to catch up.
        """
        assert self.replica is not None
        now, applied = self.clock(), self.replica.fold.sequence
        if bounds.last >= applied:
            self._short_since = None
            return False
        if self._short_since is None:
            self._short_since = now
        if now - self._short_since > SHORT_MS:
            raise StoreError(
                f"the log ends at {bounds.last}, and this node has applied {applied}: the log has lost entries"
            )
        return True

    def _follow(self) -> None:
        assert self.replica is not None
        if self._following is not None:
            self._following.stop()
        self._unread.clear()
        self._following = self.log.follow(self.replica.fold.sequence, self._heard)

    def _unfollow(self) -> None:
        if self._following is not None:
            self._following.stop()
            self._following = None
        self._unread.clear()

    def _heard(self, sequence: int, data: bytes) -> None:
        if self.role in (Role.LEADER, Role.STOPPED):
            return
        self.end = max(self.end, sequence)
        self._unread.append((sequence, data))
        self._read_on()

    def _read_on(self) -> None:
        """Apply what has been heard, as far as the store takes it."""
        assert self.replica is not None
        while self._unread:
            try:
                self.replica.take(*self._unread[0])
            except StoreBusy:
                return
            except Gap as gap:
                # The reader lost some, or they were purged: the next look at the bounds tells which.
                log.warning("%s", gap)
                self._unfollow()
                return
            except StoreError as error:
                self.shell.fail(error)
                return
            self._unread.popleft()

    def _began(self, leadership: Leadership, sequence: int) -> None:
        """An epoch begins: its leader has time to say so on the board."""
        log.info("%s leads from entry %d on", leadership.node, sequence)
        if leadership.node != self.identity.node:
            # Whom this node had asked to lead, and why it holds back itself, is no news any more.
            self._heir, self._claim_at = None, self.clock()
        self._heard_at = self.clock()

    def restart(self, store: Store) -> None:
        """The replica is another one now: a snapshot was loaded, or its store was opened again."""
        self._unfollow()
        self.role = Role.STARTING
        self.local, self.replica = store, None

    # Claiming

    def _maybe_claim(self, now: int) -> None:
        assert self.replica is not None
        if self.leader is not None or self._heard_at is None or self._following is None or now < self._claim_at:
            return
        is_asked = self.presences.heir() == self.identity.node or self.end == 0
        if now - self._heard_at < LEASE_MS and not is_asked:
            return
        if self._unread or self.replica.fold.sequence < self.end:
            return
        self.role = Role.CLAIMING
        self._claimed_epoch = self.replica.fold.epoch + 1
        self._ask("claim", lambda: self.log.bounds(self._claim))

    def _claim(self, bounds: Bounds | None) -> None:
        self._answered("claim")
        if self.role is not Role.CLAIMING or self.replica is None:
            return
        fold = self.replica.fold
        if bounds is None or bounds.last != fold.sequence or fold.epoch + 1 != self._claimed_epoch:
            # There is more to read, or it was read meanwhile that somebody else has begun an epoch.
            self._rest()
            return
        leadership = Leadership(self.identity.node, self.identity.life)
        record = Record(self._claimed_epoch, 0, 0, encode_leadership(leadership))
        self._unfollow()

        def done(outcome: Outcome) -> None:
            if self.role is not Role.CLAIMING:
                return
            if outcome == bounds.last + 1:
                self._lead(record)
            else:
                self._rest()

        name = f"{record.epoch}.0.{bounds.last}.{self.identity.life}"
        self.log.append(record.encode(), expected=bounds.last, identity=name, done=done)

    def _rest(self) -> None:
        """The claim came to nothing: read on, and try again a little later if need be."""
        self.role = Role.STANDBY
        self._claim_at = self.clock() + REST_MS + int(self.chance() * REST_MS)
        if self._following is None:
            self._follow()

    # Leading

    def _lead(self, record: Record) -> None:
        replica, now = self.replica, self.clock()
        assert replica is not None
        heard = self._heard_at
        replica.fold.take(replica.fold.sequence + 1, record)
        try:
            replica.apply(replica.fold, ({}, []))
        except StoreBusy:
            # The next commit notes it.
            pass
        except StoreError as error:
            self.shell.fail(error)
            return
        self._writer = Writer(self.log, replica.fold, self._stands, self._lost)
        self.store = ReplicatedStore(replica, self._writer)
        self.role, self.leader, self._heir = Role.LEADER, None, None
        self._progress_at = self._posted_at = now
        try:
            self.shell.lead(self.store)
        except StoreError as error:
            self.shell.fail(error)
            return
        self.takeovers += 1
        self.took_over_at = self.clock()
        self.takeover_ms = self.took_over_at - (heard if heard is not None else now)
        log.warning("this node leads: epoch %d, from entry %d on", record.epoch, replica.fold.sequence)
        self._post(self.clock())

    def _stands(self, fold: Fold, turns: list[Turn]) -> None:
        store = self.store
        if store is None:
            return
        try:
            store.stands(fold, turns)
        except StoreError as error:
            self.shell.fail(error)
            return
        self.shell.released()

    def _lost(self, why: str) -> None:
        self.step_down(why)

    def _lead_on(self, now: int) -> None:
        store, writer = self.store, self._writer
        assert store is not None
        assert writer is not None
        writer.tick()
        try:
            store.apply_rest()
        except StoreError as error:
            self.shell.fail(error)
            return
        if self.role is not Role.LEADER:
            return
        if writer.is_idle or store.standing != self._progress:
            self._progress, self._progress_at = store.standing, now
        if self._heir is not None and (writer.is_idle or now >= self._handover_until):
            self.step_down(f"leadership is handed over to {self._heir}")
        elif now - min(self._progress_at, self._posted_at) > LEASE_MS:
            self.step_down("no majority of the cluster's log answers")

    def hand_over(self, heir: str) -> None:
        """Let another node lead: finish what is in flight, take nothing new, and step down."""
        assert self.store is not None
        self._heir = heir
        self._handover_until = self.clock() + HANDOVER_MS
        self.store.pause()

    def step_down(self, why: str) -> None:
        """Lead no more: throw the memory away and follow the log again."""
        store, replica = self.store, self.replica
        if store is None:
            return
        assert replica is not None
        log.warning("this node does not lead any more: %s", why)
        store.close()
        self.store = self._writer = None
        self.role = Role.STANDBY
        # What stood and was not applied is read again; so is what this node sent and never heard of.
        self.replica = Replica(self.local, replica.log_id, self._began)
        now = self.clock()
        self._heard_at, self._claim_at = now, now + LEASE_MS
        self.shell.stand_by(NotLeading(f"{self.identity.node} does not lead the cluster any more: {why}"))
        self._post(now)
        self._follow()

    def stop(self) -> None:
        """The process ends in good order: say goodbye, and ask the nearest standby to go on."""
        now = self.clock()
        if self.store is not None:
            self._heir = self._heir or self.nearest()
            self.store.close()
            self.store = self._writer = None
        self.role = Role.STOPPED
        self._unfollow()
        self._post(now)

    def nearest(self) -> str:
        """The live standby that has applied most of the log; empty when there is none."""
        standbys = [one for one in self.presences.alive(self.clock()) if one.role is Role.STANDBY]
        others = [one for one in standbys if one.node != self.identity.node]
        return max(others, key=lambda one: one.sequence).node if others else ""
