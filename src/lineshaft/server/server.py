"""The server, whole and synchronous: engine, sessions, waiters and group commit, and the turns that bind them.

```
bytes ──> session ──> engine ─┐
bytes ──> session ──> engine ─┤ one turn
timer ──────────────> engine ─┘──> end_turn: one commit ──> replies that promise nothing go out
                                                       └──> the others wait for the sync (GroupCommit)
```

It is driven from outside: a `Shell` carries bytes to `Session.receive`, runs what `soon` and `wake_at` ask for,
and syncs the store elsewhere. asyncio is one shell (`listener`), a simulation is another.

When a commit or a sync fails, memory is ahead of the disk: everyone who waits for it is told that the outcome is
unknown, the store is closed and opened again, and the engine starts from what it finds there. Until that succeeds
every command is refused, and nothing acknowledged is lost.
"""

import logging
import secrets
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from lineshaft import __version__
from lineshaft.clock import Clock, format_instant
from lineshaft.engine.engine import NEVER, Engine
from lineshaft.engine.records import decode_head
from lineshaft.errors import PeerError, Refusal, StoreBusy, StoreError
from lineshaft.lifecycle import WorkerState
from lineshaft.protocol.handshake import greeting
from lineshaft.protocol.resp import NULL, OK, bulk, error
from lineshaft.server.commands import COMMANDS, HANDSHAKE, Verb
from lineshaft.server.commit import Chunk, GroupCommit, Holder
from lineshaft.server.session import Session, Transport
from lineshaft.server.settings import ServerSettings, SyncMode
from lineshaft.server.waiters import Waiters
from lineshaft.store.port import Store

__all__ = ["Server", "Shell"]

log = logging.getLogger(__name__)

#: A connection that has not said HELLO by then is closed.
HANDSHAKE_MS = 2000
#: How long to leave a store alone that asks for a pause, and one that failed to open.
BUSY_PAUSE_MS = 5
REOPEN_PAUSE_MS = 1000
#: The timer never sleeps longer, since the wall clock may be set while it does.
LONGEST_SLEEP_MS = 10_000


class Shell(Protocol):
    """What the server needs of the world."""

    def soon(self, callback: Callable[[], None]) -> None:
        """Call back after the events that are already here."""
        ...

    def wake_in(self, milliseconds: int) -> None:
        """Call `Server.wake` in this time; replaces what was asked before."""
        ...

    def sync(self, store: Store) -> None:
        """Begin `store.sync()` elsewhere and call `Server.synced` with its error, or None, when it has ended."""
        ...

    def reopen(self, store: Store) -> Store:
        """Close a store that failed and open it again. Raises StoreError."""
        ...

    def facts(self) -> dict[str, int]:
        """What only the shell knows for INFO: uptime and memory."""
        ...


class Server:
    """Everything between the sockets and the store."""

    handshake_verbs = HANDSHAKE

    def __init__(self, store: Store, engine: Engine, settings: ServerSettings, clock: Clock, shell: Shell) -> None:
        self.store = store
        self.engine = engine
        self.settings = settings
        self.clock = clock
        self.shell = shell
        # Who is there.
        self.sessions: set[Session] = set()
        self.by_wid: dict[str, set[Session]] = {}
        self.handshakes: deque[tuple[int, Session]] = deque()
        self.waiters = Waiters()
        self.chores: dict[int, Session] = {}
        self.accepted = 0
        self.commands = 0
        # This turn.
        self.talking: list[Session] = []
        self.resumed: list[Session] = []
        self.turn_scheduled = False
        self.wake_at = NEVER
        self.sync_at = NEVER
        #: After an error of ours in the timer the engine's own work rests until then.
        self.rest_until = 0
        # The store, and what is owed to it.
        self.group = GroupCommit(self._begin_sync)
        #: Fetched jobs that never reached their worker, by jid and holder.
        self.orphans: list[tuple[str, str]] = []
        self.stalled = False
        self.failed: StoreError | None = None
        #: What a session may say once its handshake is through; empty while every command is refused.
        self.verbs = COMMANDS
        self.stopping = False

    # Connections

    def accept(self, transport: Transport) -> Session | None:
        """A connection opened: greet it, or turn it away."""
        if len(self.sessions) >= self.settings.max_connections:
            transport.write(error(Refusal(f"too many connections: {self.settings.max_connections}")))
            transport.close()
            return None
        self.accepted += 1
        session = Session(self, transport, self.accepted)
        self.sessions.add(session)
        if self.settings.password:
            session.salt = secrets.token_hex(8)
            transport.write(greeting(salt=session.salt, iterations=self.settings.password_iterations))
        else:
            transport.write(greeting())
        self.handshakes.append((self.clock() + HANDSHAKE_MS, session))
        self.arm()
        return session

    def join(self, session: Session) -> None:
        """A session belongs to a worker."""
        self.by_wid.setdefault(session.holder, set()).add(session)

    def lost(self, session: Session) -> None:
        """A connection has gone; its worker may have gone with it."""
        self.sessions.discard(session)
        self.waiters.remove(session)
        if session.chore is not None:
            self.chores.pop(session.chore, None)
        if session.worker is not None:
            self.begin_turn()
            self.engine.disconnect(session.worker)
            mates = self.by_wid.get(session.holder, set())
            mates.discard(session)
            if not mates:
                self.by_wid.pop(session.holder, None)
            self.arm()

    def refuse(self, session: Session, verb: bytes) -> Refusal | PeerError:
        """Why a verb is not in the session's table."""
        if session.verbs is HANDSHAKE:
            return PeerError("")
        if self.stopping:
            return Refusal("shutdown in progress")
        if self.failed is not None:
            return Refusal(f"storage failed: {self.failed}; the server tries to open it again")
        return Refusal(f"unknown command {verb.decode(errors='replace')[:50]}")

    # Turns

    def begin_turn(self) -> None:
        """Time passes; the first thing in every turn. All commands of a turn happen at the same instant."""
        now = self.clock()
        if now != self.engine.state.now:
            try:
                self.engine.advance(now)
            except StoreError as failure:
                self.store_failed(failure)

    def talk(self, session: Session) -> None:
        """A session has something to send when the turn ends."""
        self.talking.append(session)
        if not self.turn_scheduled:
            self.turn_scheduled = True
            self.shell.soon(self.end_turn)

    def end_turn(self) -> None:
        """Commit what this turn decided, and let the replies go."""
        self.turn_scheduled = False
        if self.resumed:
            self._resume_all()
        if self.orphans or self.engine.state.arrivals:
            self._hand_out()
        if not self._commit():
            return
        talking, self.talking = self.talking, []
        always = self.settings.sync is SyncMode.ALWAYS
        for session in talking:
            replies, session.out = session.out, []
            self.commands += len(replies)
            if always and (session.held or (session.durable and self.group.owes())):
                self.group.hold(Chunk(session, replies))
            elif session.unsent or session.closing or session.closed:
                self._send(session, replies)
            else:
                session.write(replies[0] if len(replies) == 1 else b"".join(replies))
            session.durable = False
        if always and self.group.collecting:
            self.group.maybe_sync()
        if self.engine.is_due_before(self.wake_at) or self.sync_at < self.wake_at:
            self.arm()

    def _commit(self) -> bool:
        """Commit the turn; False when it could not be, and what follows has been seen to."""
        if self.failed is not None:
            return True
        try:
            if self.engine.commit():
                self.group.dirty = True
                if self.sync_at == NEVER and self.settings.sync is SyncMode.INTERVAL:
                    self.sync_at = self.engine.state.now + self.settings.sync_interval_ms
        except StoreBusy:
            # The turn stays as it is. Sessions take no more until it is through.
            self.stalled = True
            self.turn_scheduled = True
            self._wake_in(BUSY_PAUSE_MS)
            return False
        except StoreError as failure:
            self.store_failed(failure)
            return False
        return True

    def _send(self, session: Session, replies: list[bytes]) -> None:
        if session.closed:
            self._reclaim(session, replies)
            return
        if replies:
            session.write(replies[0] if len(replies) == 1 else b"".join(replies))
        if session.unsent:
            session.sent()
        if session.closing and not session.held:
            session.transport.close()

    def _reclaim(self, session: Session, replies: list[bytes]) -> None:
        """Replies have nobody to go to: the jobs among them return to the head of their queues."""
        for reply in replies:
            if reply[:1] == b"$" and (jid := _jid_of(reply)) is not None:
                self.orphans.append((jid, session.holder))
                self.need_turn()

    def _hand_out(self) -> None:
        """Give back what never reached its worker, and see who waits for what there is."""
        if self.stalled or self.failed is not None:
            return
        try:
            self.begin_turn()
            orphans, self.orphans = self.orphans, []
            for jid, holder in orphans:
                self.engine.give_back(jid, holder)
            self.deliver()
        except StoreError as failure:
            self.store_failed(failure)
            # It could fail in the same way for ever: those who wait will ask again.
            self.engine.take_arrivals()

    def need_turn(self) -> None:
        """Something was decided that nobody is answered for: have it committed."""
        if not self.turn_scheduled:
            self.turn_scheduled = True
            self.shell.soon(self.end_turn)

    # Waiting and being woken

    def park(self, session: Session, names: list[str]) -> None:
        """A FETCH found nothing: wait."""
        session.blocked = True
        state = self.engine.state
        self.waiters.park(session, names, state.now)
        for name in names:
            self.engine.want(name, wanted=True)
        if session.parked_until < self.wake_at:
            self.arm()

    def deliver(self) -> None:
        """Give the jobs that have become available to those who wait for them, first come, first served."""
        engine, waiters = self.engine, self.waiters
        for name in engine.take_arrivals():
            while (session := waiters.first(name)) is not None:
                assert isinstance(session, Session)
                if session.worker is not None and session.worker.state is not WorkerState.RUNNING:
                    # It was told to be quiet while it waited.
                    waiters.withdraw(session)
                    continue
                payload = engine.fetch(session.parked or [], session.holder)
                if payload is None:
                    break
                waiters.remove(session)
                session.hand_over(bulk(payload))
            else:
                engine.want(name, wanted=False)

    def await_chore(self, session: Session, number: int) -> None:
        """A MUTATE goes on: its reply comes when it is through."""
        session.blocked = True
        session.chore = number
        self.chores[number] = session
        # Nobody is answered at the end of this turn, so it must be asked for: it commits the slice, and arms the timer.
        self.need_turn()

    def finish_chores(self, reply: bytes = OK) -> None:
        """Answer those whose MUTATE has ended."""
        for number in self.engine.take_finished():
            session = self.chores.pop(number, None)
            if session is not None:
                session.durable = True
                session.hand_over(reply)

    def resume(self, session: Session) -> None:
        """A session may go on, before the turn ends."""
        self.resumed.append(session)
        self.need_turn()

    def _resume_all(self) -> None:
        if self.stalled:
            return
        while self.resumed:
            resumed, self.resumed = self.resumed, []
            for session in resumed:
                self.begin_turn()
                session.go_on()

    # Time

    def arm(self) -> None:
        """See to it that `wake` is called when the next thing is due."""
        if self.failed is not None:
            # The next try to open the store is what it waits for, and that must not come sooner for being asked often.
            return
        handshake = self.handshakes[0][0] if self.handshakes else NEVER
        engine = max(self.engine.deadline(), self.rest_until)
        at = min(engine, self.waiters.deadline(), handshake, self.sync_at)
        if at < self.wake_at:
            self._wake_in(min(at - self.clock(), LONGEST_SLEEP_MS))

    def _wake_in(self, milliseconds: int) -> None:
        milliseconds = max(milliseconds, 0)
        self.wake_at = self.clock() + milliseconds
        self.shell.wake_in(milliseconds)

    def wake(self) -> None:
        """Time has come for something: waiters, handshakes, the engine's own work; then a commit, if need be."""
        self.wake_at = NEVER
        if self.stalled:
            self._unstall()
        elif self.failed is not None:
            self._reopen()
            self._end_waits(self.clock())
        else:
            self._do_due()
        if self.wake_at == NEVER:
            self.arm()

    def _do_due(self) -> None:
        self.begin_turn()
        now = self.engine.state.now
        self._end_waits(now)
        if self.sync_at <= now:
            self.sync_at = NEVER
            self.group.maybe_sync()
        if self.rest_until <= now and not self._tick(now):
            return
        self.finish_chores()
        for wid in self.engine.take_expelled():
            for session in list(self.by_wid.get(wid, ())):
                session.transport.abort()
        self.end_turn()

    def _tick(self, now: int) -> bool:
        """Let the engine do what is due; False when the store failed over it."""
        try:
            self.engine.tick()
            self.deliver()
        except StoreError as failure:
            self.rest_until = now + REOPEN_PAUSE_MS
            self.store_failed(failure)
            return False
        except Exception:
            log.exception("internal error in the timer")
            self.rest_until = now + REOPEN_PAUSE_MS
        return True

    def _end_waits(self, now: int) -> None:
        """Answer the FETCHes that waited long enough, and close the connections that did so without a handshake."""
        for session in self.waiters.take_expired(now):
            assert isinstance(session, Session)
            session.hand_over(NULL)
        while self.handshakes and (
            self.handshakes[0][0] <= now or self.handshakes[0][1].verbs is not HANDSHAKE or self.handshakes[0][1].closed
        ):
            _, session = self.handshakes.popleft()
            if session.verbs is HANDSHAKE and not session.closed:
                session.transport.close()

    def _unstall(self) -> None:
        self.stalled = False
        self.end_turn()
        if not self.stalled:
            self._resume_stalled()

    def _resume_stalled(self) -> None:
        for session in list(self.sessions):
            if session.backlog or not session.reading:
                self.resume(session)

    # The store

    def _begin_sync(self) -> None:
        self.shell.sync(self.store)

    def synced(self, failure: StoreError | None) -> None:
        """The sync has ended."""
        if failure is not None:
            self.store_failed(failure)
            return
        for chunk in self.group.take_synced():
            assert isinstance(chunk.session, Session)
            chunk.session.held -= 1
            self._send(chunk.session, chunk.replies)
        # In interval mode the time of the next sync may have passed while this one ran.
        if self.group.collecting or (self.settings.sync is SyncMode.INTERVAL and self.sync_at == NEVER):
            self.group.maybe_sync()

    def store_failed(self, failure: StoreError) -> None:
        """A commit, a sync or a read failed: nobody knows what is on disk until the store is open again."""
        if self.failed is not None:
            return
        log.critical("storage failed: %s", failure)
        self.failed = failure
        self._set_verbs({})
        if self.stalled:
            # The turn that waited is lost with all the others.
            self.stalled = self.turn_scheduled = False
            self._resume_stalled()
        self.need_turn()
        self._reopen()

    def _reopen(self) -> None:
        """Open the store again and start from what it holds; what was on its way is answered with an error."""
        failure = self.failed
        assert failure is not None
        unknown = error(Refusal(f"storage failed: {failure}: the outcome is unknown"))
        self.orphans += self._answer_all(unknown)
        try:
            self.store = self.shell.reopen(self.store)
            self.engine.reload(self.store)
        except StoreError as again:
            log.error("storage cannot be opened: %s; next try in %d ms", again, REOPEN_PAUSE_MS)
            self._wake_in(REOPEN_PAUSE_MS)
            return
        log.warning("storage is open again")
        self.failed = None
        self._set_verbs({} if self.stopping else COMMANDS)
        for name in self.waiters.by_queue:
            self.engine.want(name, wanted=True)
        # A MUTATE whose beginning was lost ends here, and not well.
        self.finish_chores(unknown)
        self.need_turn()

    def _answer_all(self, reply: bytes) -> list[tuple[str, str]]:
        """Replace every reply that is held, or waits for the turn's end; returns the jobs that were in them."""
        fetched = []
        owed: list[tuple[Holder, list[bytes]]] = []
        for chunk in self.group.take_all():
            chunk.session.held -= 1
            owed.append((chunk.session, chunk.replies))
        talking, self.talking = self.talking, []
        for session in talking:
            owed.append((session, session.out))
            session.out, session.durable = [], False
        for owner, replies in owed:
            assert isinstance(owner, Session)
            jids = [_jid_of(each) for each in replies if each[:1] == b"$"]
            fetched += [(jid, owner.holder) for jid in jids if jid is not None]
            if not owner.closed:
                self._send(owner, [reply] * len(replies))
        return fetched

    # The end

    def stop(self) -> None:
        """Stop: parked FETCHes are answered, later commands refused; what is in flight goes on."""
        self.stopping = True
        for session in self.waiters.all():
            assert isinstance(session, Session)
            self.waiters.remove(session)
            session.hand_over(NULL)
        self._set_verbs({})

    def _set_verbs(self, verbs: dict[bytes, Verb]) -> None:
        """Change what sessions past their handshake may say; nothing at all has every command refused."""
        self.verbs = verbs
        for session in self.sessions:
            if session.verbs is not HANDSHAKE:
                session.verbs = verbs

    def is_idle(self) -> bool:
        """Whether nothing is in flight: no turn to commit, no reply held."""
        return not (self.turn_scheduled or self.group.syncing is not None or self.group.collecting)

    # Views

    def info(self) -> dict[str, Any]:
        """INFO, as the protocol gives it."""
        now = self.engine.state.now
        stamp = format_instant(now)
        facts = self.shell.facts()
        return {
            "now": stamp,
            "server_utc_time": f"{stamp[11:19]} UTC",
            "faktory": self.engine.figures(),
            "server": {
                "description": self.settings.description,
                # The level of the protocol, which clients compare; our own version stands beside it.
                "faktory_version": "1.10.0",
                "lineshaft_version": __version__,
                "connections": len(self.sessions),
                "command_count": self.commands,
                **facts,
            },
        }


def _jid_of(reply: bytes) -> str | None:
    """The jid of the job in a bulk reply, if it is one."""
    try:
        return decode_head(reply.partition(b"\r\n")[2]).jid
    except msgspec.DecodeError:
        return None
