"""Forwarding: bytes as they are, in both directions, and an end when leadership moves."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from lineshaft.cluster import forward
from lineshaft.cluster.forward import Forwarder

Play = Callable[[Forwarder, int, int], Awaitable[None]]


async def leader(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Greets, and says everything back until there is no more."""
    writer.write(b"+HI\r\n")
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write(b"bye")
    writer.close()


def run(play: Play) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        echo = await asyncio.start_server(leader, "127.0.0.1", 0)
        forwarder = Forwarder()
        standby = await loop.create_server(forwarder.link, "127.0.0.1", 0)
        ports = [server.sockets[0].getsockname()[1] for server in (standby, echo)]
        await play(forwarder, *ports)
        forwarder.close_all()
        await asyncio.sleep(0.01)
        assert len(forwarder) == 0
        standby.close()
        echo.close()

    for factory in (None, pytest.importorskip("uvloop").new_event_loop):
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main())


def test_bytes_go_through_both_ways() -> None:
    async def play(forwarder: Forwarder, standby: int, echo: int) -> None:
        forwarder.point_to(("127.0.0.1", echo))
        reader, writer = await asyncio.open_connection("127.0.0.1", standby)
        assert await reader.readexactly(5) == b"+HI\r\n"
        for _ in range(3):
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
        big = bytes(range(256)) * 20_000
        writer.write(big)
        assert await reader.readexactly(len(big)) == big
        writer.write_eof()
        assert await reader.read() == b"bye"
        writer.close()

    run(play)


def test_a_client_waits_for_a_leader() -> None:
    async def play(forwarder: Forwarder, standby: int, echo: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", standby)
        await asyncio.sleep(0.02)
        forwarder.point_to(("127.0.0.1", echo))
        assert await reader.readexactly(5) == b"+HI\r\n"
        writer.close()

    run(play)


def test_what_a_client_says_before_the_leader_is_reached_is_not_lost() -> None:
    async def play(forwarder: Forwarder, standby: int, echo: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", standby)
        writer.write(b"early")
        await asyncio.sleep(0.02)
        writer.write(b"late")
        forwarder.point_to(("127.0.0.1", echo))
        assert await reader.readexactly(14) == b"+HI\r\nearlylate"
        writer.close()

    run(play)


def test_a_client_is_told_when_nobody_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "PATIENCE_SECONDS", 0.05)

    async def play(_: Forwarder, standby: int, __: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", standby)
        assert (await reader.read()).startswith(b"-ERR nobody leads")
        writer.close()

    run(play)


def test_connections_end_when_leadership_moves() -> None:
    async def play(forwarder: Forwarder, standby: int, echo: int) -> None:
        forwarder.point_to(("127.0.0.1", echo))
        reader, writer = await asyncio.open_connection("127.0.0.1", standby)
        assert await reader.readexactly(5) == b"+HI\r\n"
        forwarder.point_to(None)
        assert await reader.read() in (b"", b"bye")
        writer.close()

    run(play)
