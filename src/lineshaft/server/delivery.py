"""Delivery: what those who wait are given.

```
FETCH finds nothing ──> park ──> a job becomes available ──> deliver ──> the first in line has it, in the same turn
MUTATE goes on ──> await_chore ──> it is through ──> finish_chores ──> OK
```

Who waits is blocked until then. Nobody is given a job while somebody stands before him who could have it.
"""

from typing import TYPE_CHECKING

from lineshaft.errors import Refusal
from lineshaft.lifecycle import WorkerState
from lineshaft.protocol.resp import OK, bulk
from lineshaft.server.session import Session

if TYPE_CHECKING:
    from lineshaft.server.server import Server

__all__ = ["await_chore", "deliver", "finish_chores", "park"]


def park(server: "Server", session: Session, names: list[str]) -> None:
    """A FETCH found nothing: wait. Raises Refusal when too many wait for too much."""
    if server.waiters.taken + len(names) > (most := server.settings.waiting_places):
        raise Refusal(f"too many FETCHes wait: all together for {most} queues at most")
    session.blocked = True
    state = server.engine.state
    server.waiters.park(session, names, state.now)
    if state.arrivals:
        # The FETCH gave up half way, since it met too many jobs that are not to run any more.
        server.need_turn()
    for name in names:
        server.engine.want(name, wanted=True)
    if session.parked_until < server.timers.wake_at:
        server.timers.arm()


def deliver(server: "Server") -> None:
    """Give the jobs that have become available to those who wait for them, first come, first served."""
    engine, waiters = server.engine, server.waiters
    if engine.state.throttles.eased:
        for name, holder in engine.take_eased():
            waiters.step_forward(name, holder)
    for name in engine.take_arrivals():
        while (session := waiters.first(name)) is not None:
            assert isinstance(session, Session)
            if session.worker is not None and session.worker.state is not WorkerState.RUNNING:
                # It was told to be quiet while it waited.
                waiters.withdraw(session)
                continue
            payload = engine.fetch(session.fetch_order, session.holder)
            if payload is None and engine.holds_back(name, session.holder):
                # Its worker is at a limit of its own, which is no reason for those behind it to wait.
                waiters.step_aside(name, session)
                continue
            if payload is None:
                break
            waiters.remove(session)
            session.hand_over(bulk(payload))
        else:
            engine.want(name, wanted=name in waiters.aside)
    if engine.state.arrivals:
        server.need_turn()


def await_chore(server: "Server", session: Session, number: int) -> None:
    """A MUTATE goes on: its reply comes when it is through."""
    session.blocked = True
    session.chore = number
    server.chores[number] = session
    # Nobody is answered at the end of this turn, so it must be asked for: it commits the slice, and arms the timer.
    server.need_turn()


def finish_chores(server: "Server", reply: bytes = OK) -> None:
    """Answer those whose MUTATE has ended."""
    for number in server.engine.take_finished():
        session = server.chores.pop(number, None)
        if session is not None:
            session.durable = True
            session.hand_over(reply)
