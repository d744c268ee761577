"""The node: a standby that may come to lead, and a leader that may come to stand by. All its rules, without I/O.

```
STARTING ──the log answers──> STANDBY ──nobody leads──> CLAIMING ──its epoch stands──> LEADER
   reading                    reading                    claim                         leading
                                 ^ ^                       │                              │
                                 │ └───────refused─────────┘                              │
                                 └── a newer epoch, no majority within the lease, or handed over ──┘
                              reading ──the log is of a newer version──> OUTDATED: it only carries clients to the leader
```

Each role has a module of its own, and this one says when one follows another; `watch` tells it whether anybody leads,
`upkeep` keeps the log short. Two nodes may think that they lead at once; the log does not.

What is true after every call: there is a `store` exactly while the role is LEADER; the replica is written to by the
reading while the node is a standby, and by the writer while it leads, never by both.
"""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from lineshaft import __version__
from lineshaft.cluster.claim import REST_MS, Claim
from lineshaft.cluster.fold import Gap
from lineshaft.cluster.leading import Leading
from lineshaft.cluster.port import Board, Bounds, Log
from lineshaft.cluster.presence import (
    LEASE_MS,
    RENEW_MS,
    Presence,
    Role,
    encode_presence,
    notice_name,
    snapshots_of,
)
from lineshaft.cluster.questions import Questions
from lineshaft.cluster.reading import Reading
from lineshaft.cluster.record import Leadership, Record, UnknownVersion
from lineshaft.cluster.replicated import ReplicatedStore
from lineshaft.cluster.shell import Identity, NodeShell
from lineshaft.cluster.upkeep import Upkeep
from lineshaft.cluster.watch import Watch
from lineshaft.errors import NotLeading, StoreBusy, StoreError
from lineshaft.store.port import Store

__all__ = ["Node"]

log = logging.getLogger(__name__)

#: How often the board and the log's bounds are read.
LOOK_MS: Final = 500


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
        # What it knows.
        self._questions = Questions(clock)
        self.watch = Watch(identity.node)
        self.upkeep = Upkeep(log_port, self._questions)
        # What it is, and what it does as such.
        self.role = Role.STARTING
        self.reading = Reading(store, log_port, clock, self._began, self._give_up)
        self._claim = Claim(
            Leadership(identity.node, identity.life),
            log_port,
            self.reading,
            self._questions,
            won=self._lead,
            lost=self._rest,
        )
        self.leading: Leading | None = None
        #: Why it does not follow the log; empty while it does.
        self.problem = ""
        #: Whom it asks to lead in its place, since it led itself.
        self._heir = ""
        # When to do what.
        self._look_at = 0
        self._post_at = 0
        self._beat = 0
        # For those who watch.
        self.takeovers = 0
        self.took_over_at: int | None = None
        self.takeover_ms = 0

    @property
    def store(self) -> ReplicatedStore | None:
        """What the engine writes to; None where it does not lead."""
        return self.leading.store if self.leading is not None else None

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
            self._questions.ask("board", lambda: self.board.notices(partial(self._board_read, now)))
            self._questions.ask("bounds", lambda: self.log.bounds(self._bounds))
        if self.leading is not None:
            why = self.leading.tick(now)
            if why is not None:
                self.step_down(why, self.leading.heir or self.nearest())
        elif self.role is Role.STANDBY:
            self.reading.settle()
            self._maybe_claim(now)

    # The board

    def presence(self) -> Presence:
        """What this node says of itself."""
        replica = self.reading.replica
        return Presence(
            node=self.identity.node,
            life=self.identity.life,
            role=self.role,
            beat=self._beat,
            epoch=self.reading.epoch,
            sequence=replica.applied if replica is not None else 0,
            address=self.identity.address,
            web=self.identity.web,
            version=__version__,
            heir=self._heir,
            problem=self.problem,
        )

    def _post(self, now: int) -> None:
        self._post_at = now + RENEW_MS
        self._beat += 1

        # What was sent before it led tells nobody that it leads, whenever the answer comes.
        leading = self.leading

        def done(posted: bool | None) -> None:
            if posted and leading is not None and leading is self.leading:
                leading.posted(now)

        self.board.post(notice_name(self.identity.node), encode_presence(self.presence()), done)

    def _board_read(self, asked_at: int, notices: Mapping[str, bytes] | None) -> None:
        self._questions.answered("board")
        if notices is None or self.role is Role.STOPPED:
            return
        now = self.clock()
        self.watch.read(notices, now)
        self.upkeep.snapshots = snapshots_of(notices)
        if self.watch.presences.newest_epoch() > self.reading.epoch:
            # The log says so too; but a leader to whom nobody speaks writes nothing, and would not hear of it there.
            self.step_down("another node leads")
        if self.leading is None:
            if self.watch.look(asked_at, now):
                self.shell.point_to(self.watch.leader)
            return
        others = [one for one in self.watch.presences.alive(now) if one.node != self.identity.node]
        self.upkeep.maybe_purge([self.leading.replica.applied, *(one.sequence for one in others)])

    def wants_snapshot(self, after_bytes: int) -> bool:
        """Whether this node is to take a snapshot: the first standby does, or the leader where there is none."""
        if self.role not in (Role.STANDBY, Role.LEADER):
            return False
        standbys = sorted(one.node for one in self.watch.standbys(self.clock()))
        is_first = standbys[0] == self.identity.node if standbys else self.role is Role.LEADER
        return is_first and self.upkeep.is_snapshot_due(after_bytes)

    # Standing by

    def _bounds(self, bounds: Bounds | None) -> None:
        self._questions.answered("bounds")
        if bounds is not None:
            self.upkeep.size_bytes = bounds.size_bytes
        if bounds is None or self.role not in (Role.STARTING, Role.STANDBY):
            return
        try:
            has_begun = self.reading.meet(bounds)
        except Gap:
            self.role = Role.STARTING
            self.shell.need_snapshot()
        except StoreError as error:
            self._give_up(error)
        else:
            if has_begun:
                self.role = Role.STANDBY
                # Others may wait for a standby to be there.
                self._post(self.clock())

    def _give_up(self, error: StoreError) -> None:
        """The log cannot be read on: the process ends, unless it is only too old for that.

        Then it stays, and leads no more: it has clients to carry to the leader, and would stop at the same entry again.
        """
        if not isinstance(error, UnknownVersion):
            self.shell.fail(error)
            return
        log.critical("%s", error)
        self._claim.abandon()
        self.reading.stop()
        self.role, self.problem = Role.OUTDATED, str(error)
        self._post(self.clock())

    def _began(self, leadership: Leadership, sequence: int) -> None:
        """An epoch begins: its leader has time to say so on the board."""
        log.info("%s leads from entry %d on", leadership.node, sequence)
        now = self.clock()
        if leadership.node != self.identity.node:
            # Whom this node had asked to lead, and why it holds back itself, is no news any more.
            self._heir = ""
            self._claim.rest(now, 0)
        if leadership.life != self.identity.life:
            # A claim of its own that came to stand after it was given up: nobody leads by that, and nobody will.
            self.watch.heard(now)

    def restart(self, store: Store) -> None:
        """The replica is another one now: a snapshot was loaded, or its store was opened again."""
        self._claim.abandon()
        self.role = Role.STARTING
        self.reading.restart(store)

    # Claiming

    def _maybe_claim(self, now: int) -> None:
        is_wanted = self.watch.is_vacant() or self.watch.is_heir(self.reading.epoch) or self._is_first()
        if is_wanted and self._claim.may_begin(now):
            self.role = Role.CLAIMING
            self._claim.begin(now)

    def _is_first(self) -> bool:
        """Whether nobody can have led before."""
        return self.reading.end == 0 and self.watch.leader is None and self.watch.heard_at is not None

    def _rest(self, has_answered: bool) -> None:
        """The claim came to nothing: read on, and try again if need be.

        A little later where others may have tried too; a log that does not answer is asked again.
        """
        if self.role is not Role.CLAIMING:
            # What was read for it was of a newer version.
            return
        self.role = Role.STANDBY
        self._claim.rest(self.clock(), REST_MS + int(self.chance() * REST_MS) if has_answered else 0)
        if not self.reading.follows:
            self.reading.follow()

    # Leading

    def _lead(self, record: Record) -> None:
        """The epoch's record stands at the log's end: load the engine, and serve."""
        replica, now = self.reading.replica, self.clock()
        assert replica is not None
        heard = self.watch.heard_at
        replica.fold.take(replica.fold.sequence + 1, record)
        try:
            replica.apply(replica.fold, ({}, []))
        except StoreBusy:
            # The next commit notes it.
            pass
        except StoreError as error:
            self.shell.fail(error)
            return
        self.leading = Leading(replica, self.log, self.shell, self.clock, self._claim.begun_at, self.step_down)
        self.role, self.watch.leader, self._heir = Role.LEADER, None, ""
        try:
            self.shell.lead(self.leading.store)
        except Exception as error:  # whatever it is: a node that cannot serve must not go on saying that it leads
            log.exception("this node cannot lead")
            self.shell.fail(error if isinstance(error, StoreError) else StoreError(f"internal error: {error!r}"))
            return
        self.leading.begin()
        self.takeovers += 1
        self.took_over_at = self.clock()
        self.takeover_ms = self.took_over_at - (heard if heard is not None else now)
        log.warning("this node leads: epoch %d, from entry %d on", record.epoch, replica.fold.sequence)
        self._post(self.clock())

    def hand_over(self, heir: str) -> None:
        """Let another node lead: finish what is in flight, take nothing new, and step down."""
        assert self.leading is not None
        self.leading.hand_over(heir, self.clock())

    def step_down(self, why: str, heir: str = "") -> None:
        """Lead no more: throw the memory away, ask `heir` to go on, and follow the log again."""
        leading = self.leading
        if leading is None:
            return
        log.warning("this node does not lead any more: %s", why)
        leading.close()
        self.leading, self._heir, self.role = None, heir, Role.STANDBY
        # First of all nobody is served any more: then the store is the reading's, whatever becomes of that.
        self.shell.stand_by(NotLeading(f"{self.identity.node} does not lead the cluster any more: {why}"))
        now = self.clock()
        self.watch.heard(now)
        self._claim.rest(now, LEASE_MS)
        try:
            self.reading.resume()
        except StoreError as error:
            # What was read and what is in the store are no longer the same: nothing more may be written behind it.
            self.reading.stop()
            self.role = Role.STOPPED
            self.shell.fail(error)
            return
        self._post(now)

    def stop(self) -> None:
        """The process ends in good order: say goodbye, and ask the nearest standby to go on."""
        now = self.clock()
        if self.leading is not None:
            self._heir = self.leading.heir or self.nearest()
            self.leading.close()
            self.leading = None
        self._claim.abandon()
        self.role = Role.STOPPED
        self.reading.stop()
        self._post(now)

    def nearest(self) -> str:
        """The live standby that has applied most of the log; empty when there is none."""
        return self.watch.nearest(self.clock())
