"""The search process: a real one beside a real store. It follows, it ends, and when it breaks it says so."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lineshaft.engine.search.filter import Filter
from lineshaft.engine.search.scan import Sought
from lineshaft.errors import Unavailable
from lineshaft.search import process as process_module
from lineshaft.search.process import SearchProcess
from lineshaft.store.rocks import FOLLOWER, RocksStore

JOB = b'{"args":["%s"],"jid":"job-%05d","queue":"default","jobtype":"mail"}'


def key_of(number: int) -> bytes:
    return b"Tr" + number.to_bytes(8) + number.to_bytes(8)


def fill(store: RocksStore, first: int, last: int, text: bytes = b"straw") -> None:
    store.commit({key_of(number): JOB % (text, number) for number in range(first, last)})


def sought(text: str, limit: int = 10) -> Sought:
    return Sought([(b"Tr", b"Ts")], Filter(text=text), limit)


async def hits(search: SearchProcess, text: str, *, fresh: bool = False) -> list[bytes]:
    """All that is found, look by look: how far one gets depends on the machine."""
    found, cursor = [], b"Tr"
    while cursor:
        seen = await search.look(Sought([(cursor, b"Ts")], Filter(text=text), 10), fresh=fresh)
        found, cursor, fresh = [*found, *seen.hits], seen.cursor, False
    return found


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RocksStore]:
    store = RocksStore(tmp_path / "data")
    fill(store, 0, 1000)
    yield store
    store.close()


def play(store: RocksStore, scene: Callable[[SearchProcess], Awaitable[None]], **options: float) -> None:
    """One process, ended whatever happens."""

    async def run() -> None:
        search = SearchProcess(store._path, **options)
        try:
            await asyncio.wait_for(scene(search), 60)
        finally:
            await search.stop()
            assert search.pid is None

    asyncio.run(run())
    assert not (store._path / FOLLOWER).exists(), "it has left nothing behind"


def test_it_finds_follows_and_ends(store: RocksStore) -> None:
    async def scene(search: SearchProcess) -> None:
        assert await hits(search, "job-00999") == [key_of(999)]
        pid = search.pid
        fill(store, 1000, 1001, b"needle")
        assert await hits(search, "NEEDLE", fresh=True) == [key_of(1000)], "what is committed is seen"
        assert search.pid == pid, "one process for all"
        many = await asyncio.gather(*(hits(search, f"job-{number:05}") for number in range(20)))
        assert many == [[key_of(number)] for number in range(20)]

    play(store, scene)


def test_one_that_is_killed_is_an_error_and_then_another_one(
    store: RocksStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(process_module, "REST_SECONDS", 0.0)

    async def scene(search: SearchProcess) -> None:
        await search.look(sought("x"))
        pid = search.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        waiting = asyncio.ensure_future(search.look(sought("job-00001")))
        await asyncio.sleep(0)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(Unavailable, match=r"the search process ended \(code -9\)"):
            await waiting
        assert await hits(search, "job-00001") == [key_of(1)]
        assert search.pid != pid

    play(store, scene)
    assert "the search process ended" in caplog.text


def test_after_a_failure_it_rests(store: RocksStore, monkeypatch: pytest.MonkeyPatch) -> None:
    # However long the machine takes until somebody asks again.
    monkeypatch.setattr(process_module, "REST_SECONDS", 600.0)

    async def scene(search: SearchProcess) -> None:
        await search.look(sought("x"))
        assert search.pid is not None
        os.kill(search.pid, signal.SIGKILL)
        while search.pid is not None:
            with suppress(Unavailable):
                await search.look(sought("x"))
        with pytest.raises(Unavailable, match="a new one is started in a moment"):
            await search.look(sought("x"))
        assert search.pid is None

    play(store, scene)


def test_who_asks_while_one_that_died_is_cleared_away_is_told(store: RocksStore) -> None:
    async def scene(search: SearchProcess) -> None:
        await search.look(sought("x"))
        assert search.pid is not None
        os.kill(search.pid, signal.SIGKILL)
        while search.pid is not None:
            await asyncio.sleep(0)
        with pytest.raises(Unavailable, match=r"the search process ended \(code -9\)"):
            await search.look(sought("x"))

    play(store, scene)


def test_one_that_is_being_started_is_ended_by_a_stop(store: RocksStore) -> None:
    async def scene(search: SearchProcess) -> None:
        asking = asyncio.ensure_future(search.look(sought("x")))
        await asyncio.sleep(0)
        await search.stop()
        with suppress(Unavailable):
            await asking
        assert search.pid is None

    play(store, scene)


def test_it_ends_when_nobody_asks(store: RocksStore) -> None:
    async def scene(search: SearchProcess) -> None:
        await search.look(sought("x"))
        pid = search.pid
        assert pid is not None
        while search.pid is not None:
            await asyncio.sleep(0.02)
        assert await hits(search, "job-00002") == [key_of(2)], "it is started again when it is needed"

    play(store, scene, idle_seconds=0.05)


def test_too_many_are_told_to_come_again(store: RocksStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "MOST_WAITING", 3)

    async def scene(search: SearchProcess) -> None:
        await search.look(sought("x"))
        many = await asyncio.gather(*(search.look(sought("x")) for _ in range(5)), return_exceptions=True)
        assert [isinstance(one, Unavailable) for one in many] == [False, False, False, True, True]

    play(store, scene)


def test_whoever_goes_before_the_answer_leaves_no_work_behind(
    store: RocksStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module, "MOST_WAITING", 3)

    async def scene(search: SearchProcess) -> None:
        await search.look(sought("x"))
        assert search.pid is not None
        os.kill(search.pid, signal.SIGSTOP)
        for _ in range(20):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(search.look(sought("x")), 0.001)
        os.kill(search.pid, signal.SIGCONT)
        assert await hits(search, "job-00003") == [key_of(3)]

    play(store, scene)


def test_one_that_is_stuck_is_ended(store: RocksStore, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(search: SearchProcess) -> None:
        await search.look(sought("x"))
        monkeypatch.setattr(process_module, "STUCK_SECONDS", 0.1)
        monkeypatch.setattr(process_module, "END_SECONDS", 0.1)
        assert search.pid is not None
        os.kill(search.pid, signal.SIGSTOP)
        with pytest.raises(Unavailable, match="has not answered"):
            await search.look(sought("x"))

    play(store, scene, idle_seconds=0.1)


def test_one_that_is_stuck_is_noticed_long_before_an_idle_one_would_end(
    store: RocksStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(search: SearchProcess) -> None:
        monkeypatch.setattr(process_module, "STUCK_SECONDS", 0.5)
        monkeypatch.setattr(process_module, "END_SECONDS", 0.1)
        await search.look(sought("x"))
        assert search.pid is not None
        os.kill(search.pid, signal.SIGSTOP)
        with pytest.raises(Unavailable, match="has not answered"):
            await asyncio.wait_for(search.look(sought("x")), 30)

    play(store, scene)


def test_it_ends_with_the_server_however_that_ends(store: RocksStore) -> None:
    async def scene(search: SearchProcess) -> None:
        await search.look(sought("x"))
        assert search.pid is not None
        assert search._process is not None
        assert search._process.stdin is not None
        # All that a killed server does: its end of the pipe is closed.
        search._process.stdin.close()
        await search._process.wait()
        assert search._process is None or search._process.returncode == 0

    play(store, scene)


def test_a_store_that_cannot_be_read_is_a_clear_message(tmp_path: Path) -> None:
    store = RocksStore(tmp_path / "data")
    store.close()

    async def scene(search: SearchProcess) -> None:
        for file in (tmp_path / "data").glob("MANIFEST-*"):
            file.write_bytes(b"nothing that is one")
        with pytest.raises(Unavailable, match="the search cannot go on"):
            await search.look(sought("x"))
        assert search.pid is not None, "it lives on, for those who ask later"

    play(store, scene)


def test_no_other_is_started_once_it_was_stopped(store: RocksStore) -> None:
    async def run() -> None:
        search = SearchProcess(store._path)
        await search.stop()
        with pytest.raises(Unavailable, match="shutdown"):
            await search.look(sought("x"))

    asyncio.run(run())


def test_tables_that_are_written_anew_meanwhile_do_no_harm(store: RocksStore) -> None:
    async def scene(search: SearchProcess) -> None:
        for round_ in range(5):
            first = 1000 + round_ * 500
            fill(store, first, first + 500)
            store._database.flush()
            store._database.compact_range(None, None)
            count, cursor, fresh = 0, b"Tr", True
            while cursor:
                seen = await search.look(Sought([(cursor, b"Ts")], Filter(text="job-"), 0), fresh=fresh)
                count, cursor, fresh = count + seen.count, seen.cursor, False
            assert count == first + 500

    play(store, scene)


def test_one_that_is_stuck_is_ended_however_often_others_ask(
    store: RocksStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(search: SearchProcess) -> None:
        await search.look(sought("x"))
        monkeypatch.setattr(process_module, "STUCK_SECONDS", 0.2)
        monkeypatch.setattr(process_module, "END_SECONDS", 0.1)
        assert search.pid is not None
        os.kill(search.pid, signal.SIGSTOP)
        waiting = asyncio.ensure_future(search.look(sought("x")))
        while not waiting.done():
            with suppress(Unavailable, TimeoutError):
                await asyncio.wait_for(search.look(sought("x")), 0.05)
        with pytest.raises(Unavailable, match="has not answered"):
            await waiting

    play(store, scene, idle_seconds=0.2)
