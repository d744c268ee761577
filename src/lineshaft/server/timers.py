"""Timers: when the server must be woken, and what it does then.

One alarm serves all: whatever has to happen at an instant (a FETCH that has waited long enough, a handshake that has
not come, a sync that is due, the engine's own deadline) is asked for its time, and the earliest wins. Asking is
cheap but not free, so a turn asks again only when it may have brought something earlier than `wake_at`.

What is true after every call: the shell will call `wake` no later than the earliest of them, and within
LONGEST_SLEEP_MS, since the wall clock may be set while it sleeps.
"""

import logging
from collections import deque
from typing import TYPE_CHECKING, Final

from lineshaft.engine.engine import NEVER
from lineshaft.errors import StoreError
from lineshaft.protocol.resp import NULL
from lineshaft.server import rescue
from lineshaft.server.commands import HANDSHAKE
from lineshaft.server.delivery import deliver, finish_chores
from lineshaft.server.session import Session
from lineshaft.server.settings import SyncMode

if TYPE_CHECKING:
    from lineshaft.server.server import Server

__all__ = ["HANDSHAKE_MS", "YIELD_MS", "Timers"]

log = logging.getLogger(__name__)

#: A connection that has not said HELLO by then is closed.
HANDSHAKE_MS: Final = 2000
#: The timer never sleeps longer.
LONGEST_SLEEP_MS: Final = 10_000
#: How long the engine's own work rests between two slices while a client waits for a sync.
YIELD_MS: Final = 1
#: How long it rests after an error in it.
REST_MS: Final = 1000


class Timers:
    """The server's one alarm."""

    def __init__(self, server: "Server") -> None:
        self.server = server
        self.wake_at = NEVER
        #: When what was committed and nobody waits for is to be synced.
        self.sync_at = NEVER
        #: After an error of ours the engine's own work rests until then.
        self.rest_until = 0
        #: The engine's own work has more to do at once.
        self.busy = False
        #: It waits for the end of a sync; see `pace`.
        self.rests = False
        #: Who has still to say HELLO, and until when; all have equally long, so it is in order.
        self.handshakes: deque[tuple[int, Session]] = deque()

    def expect(self, session: Session) -> None:
        """Give a connection its time for the handshake."""
        self.handshakes.append((self.server.clock() + HANDSHAKE_MS, session))
        self.arm()

    def arm(self) -> None:
        """See to it that `wake` is called when the next thing is due."""
        if self.server.failed is not None:
            # The next try to open the store is what it waits for, and that must not come sooner for being asked often.
            return
        handshake = self.handshakes[0][0] if self.handshakes else NEVER
        engine = max(self.server.engine.deadline(), self.rest_until)
        if rest := self._rest_ms():
            self.rests, engine = True, max(engine, self.server.clock() + rest)
        at = min(engine, self.server.waiters.deadline(), handshake, self.sync_at)
        if at < self.wake_at:
            self.wake_in(min(at - self.server.clock(), LONGEST_SLEEP_MS))

    def shift(self, milliseconds: int) -> None:
        """The clock was set back: what was to happen in two seconds is still to happen in two seconds."""
        self.sync_at += milliseconds if self.sync_at != NEVER else 0
        self.rest_until += milliseconds
        self.handshakes = deque((until + milliseconds, session) for until, session in self.handshakes)
        self.server.waiters.shift(milliseconds)
        self.server.engine.shift(milliseconds)

    def go_on(self) -> None:
        """A sync has ended: the engine's own work rests no more."""
        self.rests = False
        self.arm()

    def wake_in(self, milliseconds: int) -> None:
        """Be woken in this time, instead of when it was asked for before."""
        milliseconds = max(milliseconds, 0)
        self.wake_at = self.server.clock() + milliseconds
        self.server.shell.wake_in(milliseconds)

    def wake(self) -> None:
        """Time has come for something: waiters, handshakes, the engine's own work; then a commit, if need be."""
        self.wake_at = NEVER
        if self.server.stalled:
            self._unstall()
        elif self.server.failed is not None:
            rescue.reopen(self.server)
            self._end_waits(self.server.clock())
        else:
            self._do_due()
        if self.wake_at == NEVER:
            self.arm()

    def _do_due(self) -> None:
        self.server.begin_turn()
        now = self.server.engine.state.now
        self._end_waits(now)
        if self.sync_at <= now:
            self.sync_at = NEVER
            self.server.group.maybe_sync()
        if self.rest_until <= now and self._rest_ms() < LONGEST_SLEEP_MS and not self._tick(now):
            return
        finish_chores(self.server)
        for wid in self.server.engine.take_expelled():
            for session in list(self.server.by_wid.get(wid, ())):
                session.abort()
        self.server.end_turn()
        if self.server.pace.is_full:
            self.server.group.maybe_sync()

    def _tick(self, now: int) -> bool:
        """Let the engine do what is due; False when the store failed over it."""
        try:
            self.busy = self.server.engine.tick() <= now
            if self.busy and self.server.settings.sync is SyncMode.ALWAYS and not self.server.group.waits_for_all:
                self.server.pace.wrote(self.server.engine.state.turn.changes)
            for run in self.server.engine.take_skipped_runs():
                level = logging.INFO if run.is_expected else logging.WARNING
                log.log(level, "a run of the periodic job %s was skipped: %s", run.name, run.reason)
            deliver(self.server)
        except StoreError as failure:
            self.rest_until = now + REST_MS
            rescue.store_failed(self.server, failure)
            return False
        except Exception:
            log.exception("internal error in the timer")
            self.rest_until = now + REST_MS
        return True

    def _rest_ms(self) -> int:
        """How long the engine's own work rests when it has more to do: clients and their syncs come first."""
        group = self.server.group
        if not self.busy or group.syncing is None:
            return 0
        if self.server.pace.is_full:
            return LONGEST_SLEEP_MS
        return YIELD_MS if group.syncing or group.collecting else 0

    def _end_waits(self, now: int) -> None:
        """Answer the FETCHes that waited long enough, and close the connections that did so without a handshake."""
        for session in self.server.waiters.take_expired(now):
            assert isinstance(session, Session)
            session.hand_over(NULL)
        while self.handshakes and (
            self.handshakes[0][0] <= now or self.handshakes[0][1].verbs is not HANDSHAKE or self.handshakes[0][1].closed
        ):
            _, session = self.handshakes.popleft()
            # A HELLO in the backlog came in time: it waits for the store, not for its client.
            if session.verbs is HANDSHAKE and not session.closed and not session.backlog:
                session.close()

    def _unstall(self) -> None:
        self.server.stalled = False
        self.server.end_turn()
        if not self.server.stalled:
            self.server.resume_stalled()
