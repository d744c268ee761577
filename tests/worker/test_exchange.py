"""The packets of a worker's pullers, seen from a server that is played by hand."""

import asyncio

import pytest

from lineshaft.worker.exchange import Exchange
from worker.played import JOB, Server, play


def test_what_comes_up_in_one_turn_shares_a_packet_reports_first() -> None:
    async def scene(server: Server, exchange: Exchange) -> None:
        first = asyncio.create_task(exchange.ask([b"ACK 1"], b"FETCH a"))
        second = asyncio.create_task(exchange.ask([b"ACK 2"], b"FETCH a"))
        peer = await server.next_peer()
        assert await peer.hears() == [b"ACK 1", b"ACK 2", b"FETCH a", b"FETCH a"]
        peer.says(b"+OK\r\n-ERR no\r\n" + JOB)
        assert await first == ["OK", b'{"jid":1}']
        assert not second.done()
        peer.says(b"$-1\r\n")
        error, nothing = await second
        assert str(error.refusal()) == "no"  # type: ignore[union-attr]
        assert nothing is None
        third = asyncio.create_task(exchange.ask([], b"FETCH a"))
        assert await peer.hears() == [b"FETCH a"]
        peer.says(JOB)
        assert await third == [b'{"jid":1}']
        peer.writer.close()

    play(scene)


def test_no_report_waits_behind_a_fetch() -> None:
    async def scene(server: Server, exchange: Exchange) -> None:
        waiting = asyncio.create_task(exchange.ask([], b"FETCH a"))
        one = await server.next_peer()
        assert await one.hears() == [b"FETCH a"]
        reporting = asyncio.create_task(exchange.ask([b"ACK 1"], b"FETCH a"))
        other = await server.next_peer()
        assert await other.hears() == [b"ACK 1", b"FETCH a"]
        other.says(b"+OK\r\n$-1\r\n")
        assert await reporting == ["OK", None]
        one.says(b"$-1\r\n")
        assert await waiting == [None]
        for peer in (one, other):
            peer.writer.close()

    play(scene)


def test_reports_that_are_not_to_be_cut_off_have_packets_of_their_own() -> None:
    async def scene(server: Server, exchange: Exchange) -> None:
        fetching = asyncio.create_task(exchange.ask([b"ACK 1"], b"FETCH a"))
        failing = [asyncio.create_task(exchange.ask([b"FAIL %d" % number])) for number in (2, 3)]
        peers = [await server.next_peer(), await server.next_peer()]
        heard = {b" ".join(await peer.hears()): peer for peer in peers}
        assert set(heard) == {b"ACK 1 FETCH a", b"FAIL 2 FAIL 3"}
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching
        assert await heard[b"ACK 1 FETCH a"].hears() == []
        heard[b"FAIL 2 FAIL 3"].says(b"+OK\r\n+OK\r\n")
        assert [await one for one in failing] == [["OK"], ["OK"]]
        for peer in peers:
            peer.writer.close()

    play(scene)


def test_what_breaks_a_connection_reaches_all_whose_replies_are_missing() -> None:
    async def scene(server: Server, exchange: Exchange) -> None:
        asked = [asyncio.create_task(exchange.ask([b"ACK %d" % number], b"FETCH a")) for number in (1, 2)]
        peer = await server.next_peer()
        await peer.hears()
        peer.says(b"+OK\r\n+OK\r\n" + JOB)
        assert await asked[0] == ["OK", b'{"jid":1}']
        peer.writer.close()
        with pytest.raises(Exception, match="closed the connection"):
            await asked[1]
        again = asyncio.create_task(exchange.ask([b"ACK 2"], b"FETCH a"))
        peer = await server.next_peer()
        assert await peer.hears() == [b"ACK 2", b"FETCH a"]
        peer.says(b"+OK\r\n$-1\r\n")
        assert await again == ["OK", None]
        peer.writer.close()

    play(scene)


def test_fetches_that_may_not_be_cut_off_do_not_wait_for_each_other() -> None:
    async def scene(server: Server, exchange: Exchange) -> None:
        asked = [asyncio.create_task(exchange.ask([b"ACK %d" % number], b"FETCH a", alone=True)) for number in (1, 2)]
        peers = [await server.next_peer(), await server.next_peer()]
        assert {b" ".join(await peer.hears()) for peer in peers} == {b"ACK 1 FETCH a", b"ACK 2 FETCH a"}
        for peer in peers:
            peer.says(b"+OK\r\n$-1\r\n")
        assert [await one for one in asked] == [["OK", None]] * 2
        for peer in peers:
            peer.writer.close()

    play(scene)


def test_who_gives_up_before_it_was_sent_sends_nothing() -> None:
    async def scene(server: Server, exchange: Exchange) -> None:
        given_up = asyncio.create_task(exchange.ask([b"ACK 1"], b"FETCH a"))
        await asyncio.sleep(0)
        given_up.cancel()
        kept = asyncio.create_task(exchange.ask([b"ACK 2"]))
        peer = await server.next_peer()
        assert await peer.hears() == [b"ACK 2"]
        peer.says(b"+OK\r\n")
        assert await kept == ["OK"]
        assert given_up.cancelled()
        peer.writer.close()

    play(scene)
