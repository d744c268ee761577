"""The server, whole and synchronous: engine, sessions, waiters and group commit, and the turns that bind them.

```
bytes ──> session ──> engine ─┐
bytes ──> session ──> engine ─┤ one turn
timer ──────────────> engine ─┘──> end_turn: one commit ──> replies that promise nothing go out
                                                       └──> the others wait for the sync (GroupCommit)
```

It is driven from outside: a `Shell` carries bytes to `Session.receive`, runs what `soon` and `wake_at` ask for,
and syncs the store elsewhere. asyncio is one shell (`listener`), a simulation is another.

Beside it: `delivery` is what those who wait are given, `timers` what happens at an instant, `rescue` what happens when
the store fails.
"""

import logging
import secrets
from collections import deque
from typing import Final

from lineshaft.clock import Clock
from lineshaft.engine.engine import NEVER, Engine
from lineshaft.errors import NotLeading, PeerError, Refusal, StoreBusy, StoreError
from lineshaft.protocol.handshake import greeting
from lineshaft.protocol.resp import NULL, error
from lineshaft.server.backup import Backup
from lineshaft.server.cluster import ClusterView
from lineshaft.server.commands import COMMANDS, HANDSHAKE, Verb
from lineshaft.server.commit import Chunk, GroupCommit
from lineshaft.server.delivery import deliver
from lineshaft.server.errands import Errand
from lineshaft.server.meter import Meter
from lineshaft.server.orphans import Orphan, fetched_in, give_back
from lineshaft.server.pace import Pace
from lineshaft.server.rescue import store_failed
from lineshaft.server.rights import Users
from lineshaft.server.session import ALL_TURN_BYTES, Session
from lineshaft.server.settings import ServerSettings, SyncMode
from lineshaft.server.shell import Shell, Transport
from lineshaft.server.timers import Timers
from lineshaft.server.waiters import Waiters
from lineshaft.store.port import Store

__all__ = ["Server"]

log = logging.getLogger(__name__)

#: How long to leave a store alone that asks for a pause.
BUSY_PAUSE_MS: Final = 5
#: A clock that goes back by more than this was set; all short waits go with it. Less is only a moment longer.
STEP_MS: Final = 200
#: The timer wakes every ten seconds: when more time than this has passed, the clock was set or the machine slept, and
#: nobody fell silent meanwhile.
LEAP_MS: Final = 30_000
#: With `sync = "always"`: how long a change that no reply waits for may stay unsynced.
UNWAITED_MS: Final = 1000
#: Where fewer than this talk, a second look for those whose commands are just coming in costs less than a turn of
#: their own: with 10 connections it saves about a tenth of the processor's time, with one it would only cost.
FEW: Final = 12

_join: Final = b"".join


class Server:
    """Everything between the sockets and the store."""

    handshake_verbs = HANDSHAKE

    def __init__(
        self,
        store: Store,
        engine: Engine,
        settings: ServerSettings,
        clock: Clock,
        shell: Shell,
        group: GroupCommit | None = None,
    ) -> None:
        self.store = store
        self.engine = engine
        self.settings = settings
        self.clock = clock
        self.shell = shell
        # Who is there.
        self.users = Users(settings.users)
        # In the order in which they came, so that what is done to all of them is done in the same order each time.
        self.sessions: dict[Session, None] = {}
        self.by_wid: dict[str, dict[Session, None]] = {}
        self.waiters = Waiters()
        self.timers = Timers(self)
        self.chores: dict[int, Session] = {}
        #: Names the connections without a wid; goes on rising over restarts, since their leases outlive them.
        self.accepted = clock() << 20
        self.meter = Meter()
        # This turn.
        self.talking: list[Session] = []
        #: Bytes held in lines that have no end yet.
        self.unfinished = 0
        #: Bytes of the large replies in it.
        self.unsent = 0
        self.resumed: deque[Session] = deque()
        #: What was done without a connection, and is told when it is on disk.
        self.errands: list[Errand] = []
        self.turn_scheduled = False
        # The store, and what is owed to it.
        self.group = group or GroupCommit(self._begin_sync)
        self.pace = Pace()
        #: Fetched jobs that never reached their worker.
        self.orphans: list[Orphan] = []
        self.stalled = False
        self.backup: Backup | None = None
        self.failed: StoreError | None = None
        #: Every command is refused.
        self.refuses_all = False
        self.stopping = False
        #: The cluster that this server is a node of.
        self.cluster: ClusterView | None = None

    # Connections

    def accept(self, transport: Transport) -> Session | None:
        """A connection opened: greet it, or turn it away."""
        if len(self.sessions) >= self.settings.max_connections:
            transport.write(error(Refusal(f"too many connections: {self.settings.max_connections}")))
            transport.close()
            return None
        self.accepted += 1
        session = Session(self, transport, self.accepted)
        self.sessions[session] = None
        if self.settings.asks_for_password:
            session.salt = secrets.token_hex(8)
            transport.write(greeting(salt=session.salt, iterations=self.settings.password_iterations))
        else:
            transport.write(greeting())
        self.timers.expect(session)
        return session

    def join(self, session: Session) -> None:
        """A session belongs to a worker."""
        self.by_wid.setdefault(session.holder, {})[session] = None

    def lost(self, session: Session) -> None:
        """A connection has gone; its worker may have gone with it."""
        self.sessions.pop(session, None)
        self._reclaim(session, session.unflushed)
        self.waiters.remove(session)
        if session.chore is not None:
            self.chores.pop(session.chore, None)
        if session.worker is not None:
            self.begin_turn()
            self.engine.disconnect(session.worker)
            mates = self.by_wid.get(session.holder, {})
            mates.pop(session, None)
            if not mates:
                self.by_wid.pop(session.holder, None)
            self.timers.arm()

    def refuse(self, session: Session, verb: bytes) -> Refusal | PeerError:
        """Why a verb is not in the session's table."""
        if session.verbs is HANDSHAKE:
            return PeerError("")
        if self.stopping:
            return Refusal("shutdown in progress")
        if self.failed is not None:
            return Refusal(self.absence())
        return Refusal(f"unknown command {verb.decode(errors='replace')[:50]}")

    def absence(self) -> str:
        """Why every command is refused while `failed` is set."""
        if isinstance(self.failed, NotLeading):
            return str(self.failed)
        return f"storage failed: {self.failed}; the server tries to open it again"

    # Turns

    def begin_turn(self) -> None:
        """Time passes; the first thing in every turn. All commands of a turn happen at the same instant."""
        now = self.clock()
        if now != self.engine.state.now:
            passed = now - self.engine.state.now
            if not -STEP_MS <= passed <= LEAP_MS:
                self.timers.shift(passed)
            try:
                self.engine.advance(now)
            except StoreError as failure:
                store_failed(self, failure)

    def open_turn(self) -> None:
        """A turn begins with the first command that comes in, and ends after all that are here."""
        self.begin_turn()
        self.need_turn()

    def talk(self, session: Session) -> None:
        """A session has something to send when the turn ends."""
        self.talking.append(session)
        self.need_turn()

    def gather(self) -> None:
        """End the turn, or look once more whether others have something to say when only few have spoken."""
        talking = len(self.talking)
        if talking < FEW and talking < len(self.sessions):
            self.shell.soon(self.end_turn)
        else:
            self.end_turn()

    def end_turn(self) -> None:
        """Commit what this turn decided, and let the replies go."""
        self.turn_scheduled = False
        if self.resumed:
            self._resume_all()
        if self.orphans or self.engine.state.arrivals:
            self._hand_out()
        if not self._commit():
            return
        if self.backup is not None and not self.backup.begun and self.failed is None:
            self.backup.begin()
        talking, self.talking = self.talking, []
        self.unsent = 0
        always, all_wait = self.settings.sync is SyncMode.ALWAYS, self.group.waits_for_all
        # Who has replies held is owed the sync that these wait for, so nobody's replies overtake one another.
        owes = always and self.group.owes()
        for session in talking:
            replies, session.out = session.out, []
            waits = owes and (session.durable or session.held or all_wait)
            session.durable = False
            if waits:
                self.group.hold(Chunk(session, replies))
            elif session.unsent or session.blocked:
                self.send(session, replies)
            else:
                # Of a single one `join` makes no copy.
                session.write(_join(replies))
        if self.errands:
            self._finish_errands(always)
        if always and self.group.collecting:
            self.group.maybe_sync()
        if self.engine.is_due_before(self.timers.wake_at) or self.timers.sync_at < self.timers.wake_at:
            self.timers.arm()

    def _finish_errands(self, always: bool) -> None:
        errands, self.errands = self.errands, []
        for errand in errands:
            if always and self.group.owes():
                self.group.hold(Chunk(errand, []))
            else:
                errand.finish()

    def _commit(self) -> bool:
        """Commit the turn; False when it could not be, and what follows has been seen to."""
        if self.failed is not None:
            return True
        try:
            if self.engine.commit():
                self.group.dirty = True
                if self.engine.state.set_aside:
                    for key in self.engine.take_set_aside():
                        log.error("a damaged row was set aside: %r; run `lineshaft check`", key)
                if self.engine.state.unknown_batches:
                    for jid, bid in self.engine.take_unknown_batches():
                        log.warning("job %r names the batch %r, which is not known: it runs without", jid, bid)
                if self.timers.sync_at == NEVER and self.settings.sync is not SyncMode.NEVER:
                    # With `always` this concerns only what nobody waits for, such as the last ACK of the day.
                    lag = self.settings.sync_interval_ms if self.settings.sync is SyncMode.INTERVAL else UNWAITED_MS
                    self.timers.sync_at = self.engine.state.now + lag
        except StoreBusy:
            # The turn stays as it is. Sessions take no more until it is through.
            self.stalled = True
            self.turn_scheduled = True
            self.timers.wake_in(BUSY_PAUSE_MS)
            return False
        except StoreError as failure:
            store_failed(self, failure)
            return False
        return True

    def send(self, session: Session, replies: list[bytes]) -> None:
        """Let a session's replies go, as far as it is still there."""
        if session.closed:
            self._reclaim(session, replies)
            return
        if replies:
            session.write(_join(replies))
        if session.unsent:
            session.note_unflushed(replies)
            session.sent()
        if session.closing and not session.held:
            session.transport.close()

    def _reclaim(self, session: Session, replies: list[bytes]) -> None:
        """Replies have nobody to go to: the jobs among them return to the head of their queues."""
        if found := fetched_in(replies, session.holder):
            self.orphans += found
            self.need_turn()

    def _hand_out(self) -> None:
        """Give back what never reached its worker, and see who waits for what there is."""
        if self.stalled or self.failed is not None:
            return
        self.begin_turn()
        try:
            give_back(self)
            deliver(self)
        except StoreError as failure:
            store_failed(self, failure)
            # It could fail in the same way for ever: those who wait will ask again.
            self.engine.take_arrivals()

    def need_turn(self) -> None:
        """Something was decided that nobody is answered for: have it committed."""
        if not self.turn_scheduled:
            self.turn_scheduled = True
            self.shell.soon(self.gather)

    # Being woken

    def resume(self, session: Session) -> None:
        """A session may go on, before the turn ends."""
        self.resumed.append(session)
        self.need_turn()

    def _resume_all(self) -> None:
        if self.stalled:
            return
        # One at least, however much those have asked for who spoke in this turn.
        while self.resumed:
            self.begin_turn()
            self.resumed.popleft().go_on()
            if self.unsent > ALL_TURN_BYTES:
                break
        if self.resumed:
            self.need_turn()

    def resume_stalled(self) -> None:
        """The store takes writes again: sessions go on with what has come in meanwhile."""
        for session in list(self.sessions):
            if session.backlog or not session.reading:
                self.resume(session)

    def wake(self) -> None:
        """What the shell calls when the time has come for something."""
        self.timers.wake()

    # The store

    def _begin_sync(self) -> None:
        if self.pace.written:
            self.pace.sync_began(self.clock())
        self.shell.sync(self.store)

    def synced(self, failure: StoreError | None) -> None:
        """The sync has ended."""
        if failure is not None:
            store_failed(self, failure)
            return
        if self.pace.began_at:
            self.pace.sync_ended(self.clock(), awaited=bool(self.group.syncing or self.group.collecting))
        for chunk in self.group.take_synced():
            chunk.session.held -= 1
            if isinstance(chunk.session, Errand):
                chunk.session.finish()
                continue
            assert isinstance(chunk.session, Session)
            self.send(chunk.session, chunk.replies)
        # The time of the next sync may have passed while this one ran.
        if self.group.collecting or (self.settings.sync is not SyncMode.NEVER and self.timers.sync_at == NEVER):
            self.group.maybe_sync()
        if self.timers.rests:
            self.timers.go_on()

    def store_failed(self, failure: StoreError) -> None:
        """A commit, a sync or a read failed: nobody knows what is on disk until the store is open again."""
        store_failed(self, failure)

    # The end

    def stop(self) -> None:
        """Stop: parked FETCHes are answered, later commands refused; what is in flight goes on."""
        self.stopping = True
        for session in self.waiters.all():
            assert isinstance(session, Session)
            self.waiters.remove(session)
            session.hand_over(NULL)
        if self.backup is not None:
            self.backup.give_up()
        self.refuse_all(True)

    def refuse_all(self, refuses: bool) -> None:
        """Have every command of the sessions past their handshake refused, or carry them out again."""
        self.refuses_all = refuses
        for session in self.sessions:
            if session.verbs is not HANDSHAKE:
                session.verbs = self.verbs_of(session)

    def verbs_of(self, session: Session) -> dict[bytes, Verb]:
        """What a session may say once its handshake is through; nothing while every command is refused."""
        if self.refuses_all:
            return {}
        return COMMANDS if session.rights is None else session.rights.verbs

    def apply(self, settings: ServerSettings) -> None:
        """Take other settings into effect, now."""
        self.settings = settings
        self.users.apply(settings.users, list(self.sessions))

    def is_idle(self) -> bool:
        """Whether nothing is in flight: no turn to commit, no reply held."""
        return not (self.turn_scheduled or self.errands or self.group.syncing is not None or self.group.collecting)
