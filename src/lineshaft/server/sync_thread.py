"""The sync thread: the one thread in which the store is synced, so that the loop goes on meanwhile.

    loop    ── sync(store, done) ──────────────────────── done(store, failure)
                     │                                           ▲
    thread           └── get ── store.sync() ── call_soon_threadsafe

A busy server syncs more than a thousand times a second, and all that this thread does around a sync is done while the
loop stands still: so there is a queue and a call into the loop, and no futures, which cost more than the sync of a few
kilobytes on a quick disk.

What is true after every call: syncs are done one at a time, in the order in which they were asked for; each is told of
once, in the loop, unless that has been closed; after `close` nothing is asked for.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread

from lineshaft.errors import StoreError
from lineshaft.store.port import Store

__all__ = ["SyncThread"]

#: Who hears of a sync's end: the store, and what went wrong, if anything.
Done = Callable[[Store, Exception | None], None]


class SyncThread:
    """Syncs in a thread of its own, which begins with the first of them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._wanted: SimpleQueue[tuple[Store, Done] | None] = SimpleQueue()
        self._thread: Thread | None = None

    def sync(self, store: Store, done: Done) -> None:
        """Sync a store; `done` hears of it in the loop."""
        if self._thread is None:
            thread = Thread(target=self._run, name="sync", daemon=True)
            thread.start()
            self._thread = thread
        self._wanted.put((store, done))

    def close(self) -> None:
        """Wait for the syncs that were asked for, and end."""
        if self._thread is not None:
            self._wanted.put(None)
            self._thread.join()

    def _run(self) -> None:
        while (wanted := self._wanted.get()) is not None:
            store, done = wanted
            failure: Exception | None = None
            try:
                store.sync()
            except Exception as error:
                failure = error
            except BaseException as error:
                # A panic in the store's own language is none of the others: without this, everybody waits for ever.
                failure = StoreError(repr(error))
            # A loop that was closed meanwhile has nobody left who would hear it.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(done, store, failure)
            # Whatever waits in `get` for hours is to keep no store open.
            del store, done, wanted, failure
