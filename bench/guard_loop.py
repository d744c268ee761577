"""The commands whose instructions `guard` counts, carried out in this process: no sockets, no clock, no chance.

    python guard_loop.py lineshaft|reference DIRECTORY

Real sessions over the real engine and RocksDB, or the speed reference's connections, are given the bytes that ten
clients would send, turn by turn. All bytes are made beforehand, so that between two marks nothing runs but the server.
Each row is warmed up, then measured; at the end the replies are counted, since a refusal would be quick.

A mark is a call of `getpriority`, which nothing else here calls: callgrind is told to write down what it has counted
whenever that function is entered. Printed as JSON: the rows, in the order of the measured dumps, and the microseconds
of the processor that this thread took for each job, which are what counts without valgrind.
"""

import asyncio
import gc
import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

from lineshaft.clock import ManualClock
from lineshaft.engine.engine import Engine
from lineshaft.engine.settings import Settings
from lineshaft.server.server import Server
from lineshaft.server.settings import ServerSettings, SyncMode
from lineshaft.store.port import Store
from lineshaft.store.rocks import RocksStore

__all__ = ["ROWS", "Row", "main"]

CONNECTIONS = 10
#: A millisecond passes after so many turns, as on a busy server.
TURNS_PER_MS = 4
PLAIN = '"jobtype":"SomeJob","args":[1,"string",3]'
UNIQUE = '"jobtype":"SomeJob","args":["%J"],"custom":{"unique_for":600}'
TRACKED = PLAIN + ',"custom":{"track":1}'
BATCHED = PLAIN + ',"custom":{"bid":"%B"}'

Turn = list[tuple[int, bytes]]
"""Which connection sends what, in order."""


@dataclass(frozen=True)
class Row:
    """Jobs whose commands are counted, after a warm-up with others."""

    #: One name for all that is counted, or one for each command where they come apart.
    names: tuple[str, ...]
    jobs: int
    warm_up: int
    in_flight: int = 1
    is_bulk: bool = False
    body: str = PLAIN
    #: What it is compared with; empty for the same row of the reference.
    plain: str = ""


CYCLE = "cycle, 16 in flight"
ROWS = (
    Row(("push", "fetch", "ack"), 300, 200),
    Row(("cycle",), 300, 200),
    Row((CYCLE,), 480, 320, in_flight=16),
    # So many that the half of the young jobs is written to the index once (`engine.index`), as for every 4,096 jobs.
    Row(("PUSHB of 100",), 4_100, 8_200, in_flight=100, is_bulk=True),
    Row(("unique",), 320, 160, in_flight=16, body=UNIQUE, plain=CYCLE),
    Row(("tracked",), 320, 160, in_flight=16, body=TRACKED, plain=CYCLE),
    Row(("batched",), 320, 160, in_flight=16, body=BATCHED, plain=CYCLE),
)


class Contestant(Protocol):
    """What is driven."""

    def connect(self) -> tuple[Callable[[bytes], None], list[bytes]]:
        """A new connection past its handshake: where its bytes go, and the replies that it has got."""

    def end_turn(self) -> None:
        """All that has come in is dealt with, and answered."""

    def begin_batch(self) -> str:
        """Begin a batch; returns its id."""


class Wire:
    """The transport of a connection: keeps what it is sent."""

    def __init__(self) -> None:
        self.replies: list[bytes] = []
        self.write = self.replies.append

    def get_write_buffer_size(self) -> int:
        """The peer takes all at once."""
        return 0


class Lineshaft:
    """This project's server over a store in `directory`, as `sync = "never"` has it; it is its own shell."""

    def __init__(self, store: Store) -> None:
        self.callbacks: list[Callable[[], None]] = []
        self.clock = ManualClock(1_764_000_000_000)
        self.turns = 0
        #: A connection for what is no worker's business.
        self.manager: tuple[Callable[[bytes], None], list[bytes]] | None = None
        engine = Engine(store, Settings(), lambda: 0.5, self.clock())
        self.server = Server(store, engine, ServerSettings(sync=SyncMode.NEVER), self.clock, self)
        self.soon = self.callbacks.append

    def connect(self, wid: str = "") -> tuple[Callable[[bytes], None], list[bytes]]:
        """As this worker, or as one that has no wid."""
        wire = Wire()
        session = self.server.accept(cast(Any, wire))
        assert session is not None, "there is room for ten connections"
        session.receive(b'HELLO {"v":2,"wid":"%b"}\r\n' % wid.encode())
        self.end_turn()
        return session.receive, wire.replies

    def end_turn(self) -> None:
        """Run what was asked for, as the loop does."""
        while self.callbacks:
            callbacks = self.callbacks.copy()
            self.callbacks.clear()
            for callback in callbacks:
                callback()
        self.turns += 1
        if self.turns % TURNS_PER_MS == 0:
            self.clock.advance(seconds=0.001)

    def begin_batch(self) -> str:
        """It is never committed, so its callback, which it must have, never runs."""
        if self.manager is None:
            self.manager = self.connect()
        receive, replies = self.manager
        receive(b'BATCH NEW {"success":{"jobtype":"Done","args":[]}}\r\n')
        self.end_turn()
        return replies[-1].split(b"\r\n")[1].decode()

    # What the server asks of the world, and does not get here.

    def wake_in(self, milliseconds: int) -> None:
        """Nothing of this loop waits for time."""

    def sync(self, store: Store) -> None:
        """Never asked for."""

    def reopen(self, store: Store) -> Store:
        """The store does not fail."""
        return store

    def apart(self, work: Callable[[], Any], done: Callable[[Any, Exception | None], None]) -> None:
        """Nobody asks for a backup."""

    def facts(self) -> dict[str, int]:
        """Nobody asks for INFO."""
        return {}


class Loop:
    """As much of an event loop as the reference asks for."""

    def __init__(self) -> None:
        self.callbacks: list[Callable[[], None]] = []
        self.call_soon = self.callbacks.append

    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        """Time stands still: its clock keeps what it said first."""


class Reference:
    """The speed reference."""

    def __init__(self, directory: Path) -> None:
        module = importlib.import_module("speed_reference")
        self.loop = Loop()
        asyncio._set_running_loop(cast(Any, self.loop))
        self.pipeline = module.Pipeline(str(directory), False)
        self.connection = module.Connection

    def connect(self) -> tuple[Callable[[bytes], None], list[bytes]]:
        """It has no handshake that it would miss."""
        wire = Wire()
        connection = self.connection(self.pipeline)
        connection.connection_made(wire)
        return connection.data_received, wire.replies

    def end_turn(self) -> None:
        """Run what was asked for, as the loop does."""
        callbacks = self.loop.callbacks.copy()
        self.loop.callbacks.clear()
        for callback in callbacks:
            callback()

    def begin_batch(self) -> str:
        """It has no batches, and does not look at the id."""
        return "b-none"


def main() -> int:
    """Carry out all rows; prints their names."""
    kind, directory = sys.argv[1], Path(sys.argv[2])
    contestant: Contestant = Reference(directory) if kind == "reference" else Lineshaft(RocksStore(directory))
    connections = [contestant.connect() for _ in range(CONNECTIONS)]
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    marks: list[float] = []
    measured: dict[str, int] = {}
    for row in ROWS:
        if kind == "reference" and row.plain:
            continue
        bid = contestant.begin_batch() if row.body is BATCHED else ""
        _carry_out(contestant, connections, _steps(row, f"{row.names[0]}-warm-", row.warm_up, bid), lambda: None)
        _carry_out(contestant, connections, _steps(row, f"{row.names[0]}-real-", row.jobs, bid), partial(_mark, marks))
        measured |= dict.fromkeys(row.names, row.jobs)
    spans = [after - before for before, after in zip(marks[::2], marks[1::2], strict=True)]
    costs = {name: seconds * 1e6 / jobs for (name, jobs), seconds in zip(measured.items(), spans, strict=True)}
    print(json.dumps(costs), flush=True)
    # No more is run: the reference would look for a loop to close.
    os._exit(0)


Steps = list[list[Turn]]
"""Turns that are counted together, once or for each command."""


def _carry_out(
    contestant: Contestant,
    connections: list[tuple[Callable[[bytes], None], list[bytes]]],
    steps: Steps,
    mark: Callable[[], None],
) -> None:
    for _, replies in connections:
        replies.clear()
    for turns in steps:
        mark()
        for turn in turns:
            for number, data in turn:
                connections[number][0](data)
            contestant.end_turn()
        mark()
    sent = b"".join(data for turns in steps for turn in turns for _, data in turn)
    got = b"".join(reply for _, replies in connections for reply in replies)
    plain, bulks = sent.count(b"PUSH ") + sent.count(b"ACK "), sent.count(b"FETCH ") + sent.count(b"PUSHB ")
    assert (got.count(b"+OK\r\n"), got.count(b"\r\n") - got.count(b"+OK\r\n")) == (plain, 2 * bulks), got[-500:]


def _steps(row: Row, tag: str, jobs: int, bid: str) -> Steps:
    """What is sent for so many jobs.

    Jobs come out in the order in which they were pushed, so each connection fetches its own, and knows what to ACK.
    """
    jids = [f"{tag}{number:06}".replace(" ", "-") for number in range(jobs)]
    # What one connection has in flight at a time; and that of all connections.
    shares = [jids[start : start + row.in_flight] for start in range(0, jobs, row.in_flight)]
    rounds = [shares[start : start + CONNECTIONS] for start in range(0, len(shares), CONNECTIONS)]
    pushes = [[_pushes(row, share, bid) for share in each] for each in rounds]
    if row.is_bulk:
        return [[list(enumerate(each)) for each in pushes]]
    fetches = [[b"FETCH default\r\n" * len(share) for share in each] for each in rounds]
    acks = [[b"".join(b'ACK {"jid":"%s"}\r\n' % jid.encode() for jid in share) for share in each] for each in rounds]
    if len(row.names) > 1:
        return [[list(enumerate(each)) for each in command] for command in (pushes, fetches, acks)]
    return [list(_staggered([step for each in zip(pushes, fetches, acks, strict=True) for step in each]))]


def _staggered(steps: list[list[bytes]]) -> Iterator[Turn]:
    """Each connection does one step after the other; in every turn a third of them push, a third fetch, a third ACK."""
    thirds = [range(third, CONNECTIONS, 3) for third in range(3)]
    for number in range(len(steps) + 2):
        turn: Turn = []
        # Who is further on speaks first: what it fetches was pushed before what others push in this turn.
        for third in thirds:
            if 0 <= number - third.start < len(steps):
                step = steps[number - third.start]
                turn += [(connection, step[connection]) for connection in third if connection < len(step)]
        yield turn


def _pushes(row: Row, jids: list[str], bid: str) -> bytes:
    body = row.body.replace("%B", bid)
    jobs = [f'{{"jid":"{jid}","queue":"default",{body.replace("%J", jid)}}}' for jid in jids]
    if row.is_bulk:
        # A queue of its own, where they stay.
        jobs = [job.replace('"default"', '"bulk"') for job in jobs]
        return f"PUSHB [{','.join(jobs)}]\r\n".encode()
    return "".join(f"PUSH {job}\r\n" for job in jobs).encode()


def _mark(marks: list[float]) -> None:
    marks.append(time.thread_time())
    os.getpriority(os.PRIO_PROCESS, 0)


if __name__ == "__main__":
    main()
