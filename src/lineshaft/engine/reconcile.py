"""Reconcile: a worker that has come back says which jobs it has; the others that it held at the start are given back.

```
FETCH ──> lease on disk ──> the server dies, or stops leading ──> the reply never arrives
                                  the next start ──> the lease counts: `leases.inherited`
                                  BEAT with `holding`, without this job ──> head of its queue
```

Nobody but the worker can know that such a reply was lost: it lives on, so it never vanishes, and its job would wait for
the end of its reservation. What was fetched since the start is left alone, since its reply may be on its way on another
connection; when that breaks, it is given back in another way (`server.orphans`).

To be given back is the same as when a reply could not be sent: no try and no recovery is counted, and a late ACK of the
worker counts as long as nobody else has the job.
"""

from collections.abc import Iterable
from typing import Final

from lineshaft.engine.finish import give_back_leased
from lineshaft.engine.records import Lease
from lineshaft.engine.state import State

__all__ = ["give_back_unheld", "reconcile", "still_unheld"]

#: Jobs per slice: about two milliseconds of work.
SLICE: Final = 100


def reconcile(state: State, holder: str, holding: Iterable[str]) -> None:
    """This holder has the jobs with these jids, and no others from before the start. Raises StoreError.

    The first slice is given back at once, the others by `tick`. A crash before the last one breaks the worker's
    connection, and it says it again; a store that is opened again breaks none, so what is left goes on.
    """
    named = set(holding)
    state.unheld += [lease for lease in reversed(state.leases.take_inherited(holder)) if lease.jid not in named]
    give_back_unheld(state)


def still_unheld(state: State, before: State) -> list[Lease]:
    """What of `before.unheld` is leased as it was in a state that was loaded anew."""
    known = state.leases.by_seq
    pairs = ((old, known.get(old.seq)) for old in before.unheld)
    return [new for old, new in pairs if new is not None and (new.holder, new.group) == (old.holder, old.group)]


def give_back_unheld(state: State) -> None:
    """Give the next slice back, one transition per job. Raises StoreError."""
    for _ in range(min(SLICE, len(state.unheld))):
        lease = state.unheld.pop()
        if state.leases.by_seq.get(lease.seq) is lease:
            give_back_leased(state, lease)
