"""The search process: reads the server's database beside it, and looks for jobs in it.

    a line of JSON in (Ask)  ──>  one look, a few hundredths of a second  ──>  a line of JSON out (Told)

It is a RocksDB secondary: it follows what the server writes and changes nothing. It remembers nothing of those who ask,
so many can, in turn. It ends when its input ends, which it does when the server ends, however that happens. It is kept
small, and gives way: it runs at a low priority, its memory is bounded, and where memory is short it goes first.
"""

import os
import resource
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from msgspec import Struct, json

from lineshaft.engine.search.scan import Seen, Sought, scan
from lineshaft.errors import StoreError
from lineshaft.store.rocks import FOLLOWER, RocksStore

__all__ = ["MOST_MEMORY_BYTES", "WORD", "Ask", "Told", "main", "serve"]

#: The word by which our command line starts this; no command for people.
WORD: Final = "search-process"

#: So long a look takes, while others wait.
LOOK_SECONDS: Final = 0.025
#: What is read is no older than this.
FRESH_SECONDS: Final = 1.0

#: Python and its libraries, blocks of the database, and what the server has not written to tables yet; a row of the
#: largest size a few times over.
CACHE_BYTES: Final = 16 << 20
MOST_MEMORY_BYTES: Final = 512 << 20
_NICE: Final = 10


class Ask(Struct, frozen=True):
    """One look."""

    sought: Sought
    fresh: bool = False  #: everything that is committed by now must be seen


class Told(Struct, frozen=True):
    """What came of it: one of the two."""

    seen: Seen | None = None
    error: str = ""


class Follower:
    """The database of a running server, opened when it is first needed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._store: RocksStore | None = None
        self._caught_up_at = 0.0

    def look(self, ask: Ask) -> Seen:
        """Look once. Raises StoreError."""
        try:
            return self._look(ask)
        except StoreError:
            # The server may have written tables anew while this was opened or caught up: once more, from the start.
            self.close()
            return self._look(ask)

    def close(self) -> None:
        """Let go of the database."""
        if self._store is not None:
            self._store.close()
        self._store = None

    def _look(self, ask: Ask) -> Seen:
        store = self._opened(fresh=ask.fresh)
        end = time.monotonic() + LOOK_SECONDS
        return scan(store, ask.sought, lambda: time.monotonic() < end)

    def _opened(self, *, fresh: bool) -> RocksStore:
        now = time.monotonic()
        if self._store is None:
            log = self._directory / FOLLOWER
            self._store = RocksStore.following(self._directory, log=log, memory_bytes=CACHE_BYTES)
        elif fresh or now > self._caught_up_at + FRESH_SECONDS:
            self._store.catch_up()
        else:
            return self._store
        self._caught_up_at = time.monotonic()
        return self._store


def main(words: list[str]) -> int:
    """Serve the server whose data directory is named, on the standard input and output."""
    # Ctrl-C at a terminal, and a service manager's stop, reach every process: the server is the one that ends this one.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _give_way()
    serve(Path(words[0]), sys.stdin.buffer, sys.stdout.buffer)
    return 0


def serve(directory: Path, asked: BinaryIO, told: BinaryIO) -> None:
    """Answer until nobody asks any more."""
    follower = Follower(directory)
    try:
        for line in asked:
            told.write(json.encode(_answer(follower, json.decode(line, type=Ask))) + b"\n")
            told.flush()
    except BrokenPipeError:
        # The server has gone.
        pass
    finally:
        follower.close()
        shutil.rmtree(directory / FOLLOWER, ignore_errors=True)


def _answer(follower: Follower, ask: Ask) -> Told:
    try:
        return Told(follower.look(ask))
    except StoreError as error:
        return Told(error=str(error))


def _give_way() -> None:
    """The server comes first: for the processor, and for memory."""
    with suppress(OSError):
        os.nice(_NICE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
