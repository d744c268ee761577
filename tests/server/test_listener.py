"""The listener: what only a real loop and real sockets can show."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from lineshaft.clock import system_clock
from lineshaft.engine.engine import Engine
from lineshaft.engine.settings import Settings
from lineshaft.server.listener import WRITE_HIGH_WATER, AsyncShell, listen
from lineshaft.server.server import Server
from lineshaft.server.settings import ServerSettings
from lineshaft.store.memory import MemoryStore

Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Listening:
    """A server on a socket, and its clients."""

    def __init__(self, server: Server, port: int) -> None:
        self.server = server
        self.port = port
        self.clients: list[asyncio.StreamWriter] = []

    async def connect(self) -> Client:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 25)
        self.clients.append(writer)
        assert await reader.readline() == b'+HI {"v":2}\r\n'
        writer.write(b'HELLO {"v":2}\r\n')
        assert await reader.readline() == b"+OK\r\n"
        return reader, writer


@asynccontextmanager
async def listening(**limits: int) -> AsyncIterator[Listening]:
    store = MemoryStore()
    shell = AsyncShell(asyncio.get_running_loop(), lambda: store)
    engine = Engine(store, Settings(), lambda: 0.5, system_clock())
    server = shell.server = Server(store, engine, ServerSettings(**limits), system_clock, shell)
    listener = await listen(server, socket.create_server(("127.0.0.1", 0)), None)
    world = Listening(server, listener.sockets[0].getsockname()[1])
    try:
        yield world
    finally:
        listener.close()
        for writer in world.clients:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in world.clients), return_exceptions=True)
        for session in list(server.sessions):
            session.transport.abort()
        await asyncio.sleep(0.001)
        shell.close()
        await asyncio.sleep(0.001)


def run(play: Callable[[Listening], Awaitable[None]], **limits: int) -> None:
    async def whole() -> None:
        async with listening(**limits) as world, asyncio.timeout(60):
            await play(world)

    asyncio.run(whole())


async def until(is_so: Callable[[], bool]) -> None:
    """Let the loop turn until it is so; `run` gives up at last."""
    while not is_so():
        await asyncio.sleep(0.001)


def job(jid: str, **fields: object) -> bytes:
    return b"PUSH " + json.dumps({"jid": jid, "jobtype": "T", "args": [], **fields}).encode() + b"\r\n"


def test_a_scheduled_job_is_there_within_50_ms_of_its_time() -> None:
    async def lateness(client: Client, jid: str) -> timedelta:
        reader, writer = client
        soon = datetime.now(UTC) + timedelta(milliseconds=40)
        due = soon.replace(microsecond=soon.microsecond // 1000 * 1000)
        writer.write(job(jid, at=due.isoformat()))
        assert await reader.readline() == b"+OK\r\n"
        writer.write(b"FETCH default\r\n")
        size = await reader.readline()
        late = datetime.now(UTC) - due
        assert size[:1] == b"$"
        await reader.readexactly(int(size[1:]) + 2)
        return late

    async def play(world: Listening) -> None:
        client = await world.connect()
        found = [await lateness(client, f"abcdefgh-{number}") for number in range(10)]
        assert min(found) >= timedelta()
        # The machine may be late itself, but not every time.
        assert min(found) < timedelta(milliseconds=50)

    run(play)


def test_a_client_that_is_cut_off_loses_no_job() -> None:
    async def play(world: Listening) -> None:
        reader, writer = await world.connect()
        _, gone_writer = await world.connect()
        gone_writer.write(b"FETCH default\r\n")
        await until(lambda: bool(world.server.waiters.by_queue))
        gone_writer.transport.abort()
        await until(lambda: len(world.server.sessions) == 1)
        assert not world.server.waiters.by_queue
        writer.write(job("abcdefgh") + b"FETCH default\r\n")
        assert await reader.readline() == b"+OK\r\n"
        assert (await reader.readline())[:1] == b"$"

    run(play)


@pytest.mark.parametrize("command", [b"INFO\r\n", b"X\r\n"])
def test_one_that_reads_nothing_is_read_no_more(command: bytes) -> None:
    async def play(world: Listening) -> None:
        reader, writer = await world.connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        (session,) = world.server.sessions
        for _ in range(1000):
            writer.write(command * 2000)
            await asyncio.sleep(0)
            if not session.reading:
                break
        assert session.unread
        assert not session.reading
        assert session.transport.get_write_buffer_size() < WRITE_HIGH_WATER + (3 << 20)  # type: ignore[attr-defined]
        # Others are served meanwhile.
        other_reader, other_writer = await world.connect()
        other_writer.write(job("abcdefgh"))
        assert await other_reader.readline() == b"+OK\r\n"
        # When it reads again, so is it.
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        writer.write(b"END\r\n")
        replies = await reader.read(-1)
        assert replies.endswith(b"\r\n")

    run(play)


def test_a_connection_beyond_the_limit_is_told_so() -> None:
    async def play(world: Listening) -> None:
        await world.connect()
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        world.clients.append(writer)
        assert await reader.read(-1) == b"-ERR too many connections: 1\r\n"

    run(play, max_connections=1)


def test_a_stop_answers_who_waits() -> None:
    async def play(world: Listening) -> None:
        reader, writer = await world.connect()
        writer.write(b"FETCH default\r\n")
        await until(lambda: bool(world.server.waiters.by_queue))
        world.server.stop()
        assert await reader.readline() == b"$-1\r\n"
        writer.write(b"INFO\r\n")
        assert await reader.readline() == b"-ERR shutdown in progress\r\n"
        assert world.server.is_idle()

    run(play)


def test_peers_that_vanish_without_a_word_are_noticed() -> None:
    """A machine that loses its power sends no FIN: without keepalive its connections would stay for ever."""

    async def play(world: Listening) -> None:
        await world.connect()
        (session,) = world.server.sessions
        accepted = session.transport.get_extra_info("socket")  # type: ignore[attr-defined]
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) <= 60

    run(play)
