"""After a break: what the server is told that the worker holds, and when; and that lost jobs come again at once."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from lineshaft.client import Client
from lineshaft.client.commands import Heard
from lineshaft.errors import PeerError
from lineshaft.worker import Jobs, Worker
from lineshaft.worker.exchange import Exchange
from lineshaft.worker.scout import Scout
from processes import ServerProcess
from worker.played import JOB, Peer, Server, play
from worker.working import work

OURS = b'$40\r\n{"server":{"lineshaft_version":"0.1.0"}}\r\n'
ANOTHER = b'$38\r\n{"server":{"faktory_version":"1.9.0"}}\r\n'


class Between:
    """Stands between a worker and its server. The first that `swallows` is kept from it, and the server is killed."""

    def __init__(self, server: ServerProcess, swallows: Callable[[bytes], bool]) -> None:
        self.server, self.swallows = server, swallows
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.once = threading.Lock()
        self.has_killed = threading.Event()
        self.threads: list[threading.Thread] = []

    def _start(self, target: Callable[..., None], *arguments: Any) -> threading.Thread:
        thread = threading.Thread(target=target, args=arguments)
        self.threads.append(thread)
        thread.start()
        return thread

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                self._start(self._carry, self.listener.accept()[0])

    def _carry(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", self.server.port)) as server:
            back = self._start(self._pump, server, client)
            self._pump(client, server)
            back.join()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if self.swallows(data) and self.once.acquire(blocking=False):
                    self.server.kill()
                    self.has_killed.set()
                    break
                sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join(10)


class Restarts:
    """A server that is killed when something is swallowed, and started again; then all that it has is to be done."""

    def __init__(self, server: ServerProcess, between: Between, client: Client) -> None:
        self.server, self.between, self.client = server, between, client
        self.url = f"tcp://127.0.0.1:{between.port}"
        self.pushed = 0
        self.started_at = 0.0

    def push(self, *names: str) -> None:
        self.pushed += len(names)
        self.client.push_bulk({"jid": f"job-{name:0>5}", "jobtype": "count", "args": [name]} for name in names)

    def is_over(self) -> bool:
        if not self.started_at:
            assert self.between.has_killed.wait(10), "nothing was swallowed"
            self.server.start()
            self.started_at = time.monotonic()
        info = self.client.info()["faktory"]
        assert info["total_failures"] == 0
        return bool(info["total_processed"] == self.pushed and info["sets"]["working"] == 0)


@contextmanager
def restarts(tmp_path: Path, swallows: Callable[[bytes], bool]) -> Iterator[Restarts]:
    with (
        ServerProcess(tmp_path) as server,
        Client(f"tcp://127.0.0.1:{server.port}", timeout_seconds=20) as client,
        Between(server, swallows) as between,
    ):
        yield Restarts(server, between, client)


def counting(ran: list[str], pace: Callable[[str], object] = str) -> Jobs:
    jobs = Jobs()

    @jobs.job
    def count(name: str) -> None:
        ran.append(name)
        pace(name)

    return jobs


def test_a_job_whose_reply_died_with_the_server_comes_again_at_once(tmp_path: Path) -> None:
    ran: list[str] = []
    with restarts(tmp_path, lambda data: b'"jobtype"' in data) as server:
        server.push("a")
        work(Worker(counting(ran), url=server.url, concurrency=3), server.is_over)
        assert ran == ["a"]
        seconds = time.monotonic() - server.started_at
        assert seconds < 30, "its reservation lasts for half an hour, and to vanish takes a minute"


def test_what_runs_meanwhile_and_what_is_fetched_ahead_runs_once(tmp_path: Path) -> None:
    ran: list[str] = []
    go = threading.Event()
    # Whichever two come first run; the third waits.
    jobs = counting(ran, lambda name: name in "abc" and go.wait(20))
    with restarts(tmp_path, lambda data: b"job-0000d" in data and b'"jobtype"' in data) as server:
        worker = Worker(jobs, url=server.url, concurrency=2, prefetch=2)
        server.push("a", "b", "c")

        def is_over() -> bool:
            if server.pushed == 3:
                if len(worker.running) == 3:
                    # It is handed out and swallowed in the turn of the push, which hears no more of it.
                    with suppress(PeerError, OSError):
                        server.push("d")
                return False
            if any(job.jid == "job-0000d" for job in list(worker.running)):
                # The server has given it back, and nothing else, while two ran and one waited.
                go.set()
            return server.is_over()

        work(worker, is_over)
    assert sorted(ran) == ["a", "b", "c", "d"]


def test_a_job_whose_ack_died_with_the_server_is_not_run_again(tmp_path: Path) -> None:
    ran: list[str] = []
    with restarts(tmp_path, lambda data: b"ACK " in data) as server:
        server.push("a")
        work(Worker(counting(ran), url=server.url, concurrency=2), server.is_over)
    assert ran == ["a"]


class Scene:
    """A scout, with a server that is played."""

    def __init__(self, server: Server, exchange: Exchange) -> None:
        self.server, self.exchange = server, exchange
        self.way = asyncio.Event()
        self.way.set()
        self.held: list[str] = []
        self.heard: list[Heard] = []
        self.scout = Scout(exchange, exchange._talker, self.way, held=lambda: [*self.held], hear=self.heard.append)

    async def break_one(self) -> None:
        """A connection of a puller breaks."""
        asked = asyncio.create_task(self.exchange.ask([b"FAIL 1"]))
        peer = await self.server.next_peer()
        assert await peer.hears() == [b"FAIL 1"]
        peer.writer.close()
        with suppress(Exception):
            await asked
        assert not self.way.is_set()

    async def scouted(self, info: bytes = OURS) -> Peer:
        """The scout's new connection, after its question was answered."""
        peer = await self.server.next_peer()
        assert await peer.hears() == [b"INFO"]
        peer.says(info)
        return peer

    async def told(self, peer: Peer, reply: bytes = b"+OK\r\n") -> list[str]:
        (beat,) = await peer.hears()
        verb, _, said = beat.partition(b" ")
        assert verb == b"BEAT"
        message: dict[str, Any] = json.loads(said)
        assert message["wid"] == "w1"
        peer.says(reply)
        holding: list[str] = message["holding"]
        return holding

    async def end(self, *peers: Peer) -> None:
        while self.scout._task is not None:
            await asyncio.wait([self.scout._task], timeout=5)
        assert self.way.is_set()
        for peer in peers:
            peer.writer.close()


def test_it_is_told_when_all_that_is_older_has_had_its_end() -> None:
    async def scene(server: Server, exchange: Exchange) -> None:
        scene = Scene(server, exchange)
        scene.held.append("runs")

        async def pull() -> None:
            await exchange.ask([], b"FETCH a")
            scene.held.append("came late")

        pulling = asyncio.create_task(pull())
        older = await server.next_peer()
        assert await older.hears() == [b"FETCH a"]
        await scene.break_one()
        scouting = await scene.scouted()
        await asyncio.wait_for(scene.way.wait(), 5)
        # What is asked now is not waited for, and not on an old connection.
        newer = asyncio.create_task(exchange.ask([], b"FETCH a"))
        newest = await server.next_peer()
        assert await newest.hears() == [b"FETCH a"]
        older.says(JOB)
        assert await scene.told(scouting) == ["runs", "came late"]
        assert await older.hears() == [b"END"], "it is not used again"
        assert await scouting.hears() == [b"END"]
        newest.says(JOB)
        await asyncio.gather(pulling, newer)
        await scene.end(older, scouting, newest)

    play(scene)


def test_a_connection_that_breaks_before_it_is_told_is_no_other_s_to_tell() -> None:
    async def scene(server: Server, exchange: Exchange) -> None:
        scene = Scene(server, exchange)
        await scene.break_one()
        first = await scene.scouted()
        scene.held.append("runs")
        assert (await first.hears())[0].startswith(b"BEAT ")
        assert scene.way.is_set()
        first.writer.close()
        again = await scene.server.next_peer()
        assert await again.hears() == [b"INFO"]
        assert not scene.way.is_set(), "nobody goes ahead of it"
        again.says(OURS)
        scene.held.append("runs too")
        cancelled = b'$40\r\n{"state":"running","cancelled":["runs"]}\r\n'
        assert await scene.told(again, cancelled) == ["runs", "runs too"]
        await scene.end(again)
        assert scene.heard == [Heard("running", ["runs"])]

    play(scene)


@pytest.mark.parametrize("info", [ANOTHER, b"-ERR not for you\r\n", b"+pong\r\n", b"$4\r\npong\r\n"])
def test_another_server_is_told_nothing(info: bytes) -> None:
    async def scene(server: Server, exchange: Exchange) -> None:
        scene = Scene(server, exchange)
        await scene.break_one()
        scouting = await scene.scouted(info)
        assert await scouting.hears() == [b"END"]
        await scene.end(scouting)

    play(scene)


def test_a_server_that_cannot_say_yet_is_asked_again() -> None:
    async def scene(server: Server, exchange: Exchange) -> None:
        scene = Scene(server, exchange)
        await scene.break_one()
        first = await scene.scouted(b"-ERR storage failed: it burns\r\n")
        again = await scene.scouted()
        assert await scene.told(again, b"-ERR storage failed: it burns\r\n") == []
        last = await scene.scouted()
        assert await scene.told(last) == []
        await scene.end(first, again, last)

    play(scene)
