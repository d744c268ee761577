"""Rescue: what the server does when its store failed.

Memory is ahead of the disk then, or the disk cannot be read. Everyone who waits for something is told that the
outcome is unknown; jobs that were on their way to a worker are noted as orphans; the store is closed and opened again,
as often as it takes; and the engine starts from what it finds there, as after a crash. Nothing acknowledged is lost,
and the process goes on. Until then every command is refused.

To stop leading a cluster is the same, but that another machine goes on: connections are closed, and the store comes
back when this node leads again.
"""

import logging
from typing import TYPE_CHECKING, Final

from lineshaft.errors import NotLeading, Refusal, StoreError, Unavailable
from lineshaft.protocol.resp import error
from lineshaft.server.commit import Holder
from lineshaft.server.delivery import finish_chores
from lineshaft.server.errands import Errand
from lineshaft.server.orphans import Orphan, fetched_in
from lineshaft.server.pace import Pace
from lineshaft.server.session import Session
from lineshaft.store.port import Store

if TYPE_CHECKING:
    from lineshaft.server.server import Server

__all__ = ["lead", "reopen", "stand_by", "store_failed"]

log = logging.getLogger(__name__)

#: How long to leave a store alone that could not be opened.
REOPEN_PAUSE_MS: Final = 1000


def store_failed(server: "Server", failure: StoreError) -> None:
    """A commit, a sync or a read failed: nobody knows what is on disk until the store is open again."""
    if server.failed is not None:
        return
    log.critical("storage failed: %s", failure)
    server.failed = failure
    server.pace = Pace()
    server.refuse_all(True)
    if server.stalled:
        # The turn that waited is lost with all the others.
        server.stalled = server.turn_scheduled = False
        server.resume_stalled()
    server.need_turn()
    reopen(server)


def reopen(server: "Server") -> None:
    """Open the store again and start from what it holds; what was on its way is answered with an error."""
    failure = server.failed
    assert failure is not None
    if isinstance(failure, NotLeading):
        # The node says when it leads again.
        return
    unknown = error(Refusal(f"storage failed: {failure}: the outcome is unknown"))
    server.orphans += _answer_all(server, unknown)
    for errand in _take_errands(server):
        errand.fail(StoreError(f"storage failed: {failure}: the outcome is unknown"))
    try:
        server.store = server.shell.reopen(server.store)
        server.engine.reload(server.store)
    except StoreError as again:
        log.error("storage cannot be opened: %s; next try in %d ms", again, REOPEN_PAUSE_MS)
        server.timers.wake_in(REOPEN_PAUSE_MS)
        return
    log.warning("storage is open again")
    _serve(server)
    # A MUTATE whose beginning was lost ends here, and not well.
    finish_chores(server, unknown)


def stand_by(server: "Server", why: NotLeading, empty: Store) -> None:
    """Another node of the cluster has the jobs, or will: answer what is owed with an error and close every connection.

    The engine's memory is thrown away; until `lead` it has `empty`.
    """
    server.failed = why
    server.refuse_all(True)
    if server.stalled:
        server.stalled = server.turn_scheduled = False
    unknown = f"{why}: the outcome is unknown"
    _answer_all(server, error(Refusal(unknown)))
    for errand in _take_errands(server):
        errand.fail(Unavailable(unknown))
    server.orphans = []
    for session in list(server.sessions):
        session.transport.close()
    if server.backup is not None:
        server.backup.give_up()
    server.store = empty
    server.engine.reload(empty)


def lead(server: "Server", store: Store) -> None:
    """This node leads its cluster now: load the engine from `store` and serve. Raises StoreError."""
    # While it stood by it had no turns: what passed since its last one is no leap of the clock.
    server.engine.reload(store, server.clock())
    server.store = store
    # The leases of the leader before name its connections; none of ours may be called the same.
    server.accepted = max(server.accepted, server.clock() << 20)
    _serve(server)
    server.timers.arm()


def _serve(server: "Server") -> None:
    """The store is there: commands are carried out again."""
    server.failed = None
    server.refuse_all(server.stopping)
    for name in server.waiters.names():
        server.engine.want(name, wanted=True)
    server.need_turn()


def _answer_all(server: "Server", reply: bytes) -> list[Orphan]:
    """Replace every reply that is held, or waits for the turn's end; returns the jobs that were in them."""
    fetched: list[Orphan] = []
    # All of a session at once: one that is closing is closed with its last reply.
    owed: dict[Holder, list[bytes]] = {}
    for chunk in server.group.take_all():
        chunk.session.held -= 1
        if isinstance(chunk.session, Errand):
            server.errands.append(chunk.session)
        else:
            owed.setdefault(chunk.session, []).extend(chunk.replies)
    talking, server.talking = server.talking, []
    for session in talking:
        owed.setdefault(session, []).extend(session.out)
        session.out, session.durable = [], False
    for owner, replies in owed.items():
        assert isinstance(owner, Session)
        fetched += fetched_in(replies, owner.holder)
        if not owner.closed:
            server.send(owner, [reply] * len(replies))
    return fetched


def _take_errands(server: "Server") -> list[Errand]:
    """Those that were held, or waited for the turn's end."""
    errands, server.errands = server.errands, []
    return errands
