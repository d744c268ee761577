"""The worker against a server that knows nothing beyond the protocol: a relay takes the rest out of ours."""

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from lineshaft.client import Client
from lineshaft.worker import Worker
from worker import sample
from worker.test_worker import all_processed, in_sets, only
from worker.working import work

#: Verbs that the reference server does not have, or only in its commercial edition.
BEYOND = (b"REQUEUE", b"CANCEL", b"TRACK", b"BATCH")


class Relay:
    """Passes lines to the server and replies back, like a server without the verbs that are beyond."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.refused: list[bytes] = []
        self.beats: list[dict[str, Any]] = []

    async def serve(self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        server_in, server_out = await asyncio.open_connection("127.0.0.1", self.port)
        client_out.write(await server_in.readline())
        try:
            while line := await client_in.readline():
                verb = line.split(None, 1)[0]
                if verb in BEYOND:
                    self.refused.append(line)
                    client_out.write(b"-ERR unknown command %b\r\n" % verb)
                    continue
                if verb == b"BEAT":
                    self.beats.append(json.loads(line[5:]))
                server_out.write(line)
                if verb != b"END":
                    client_out.write(await self.reply(server_in))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            server_out.close()
            client_out.close()

    async def reply(self, server_in: asyncio.StreamReader) -> bytes:
        head = await server_in.readline()
        if head[:1] != b"$" or head.startswith(b"$-"):
            return head
        body = await server_in.readexactly(int(head[1:]) + 2)
        if b"lineshaft_version" in body:
            info = json.loads(body)
            del info["server"]["lineshaft_version"]
            plain = json.dumps(info).encode()
            return b"$%d\r\n%b\r\n" % (len(plain), plain)
        return head + body


@pytest.fixture
def relay(url: str) -> Iterator[tuple[Relay, str]]:
    one = Relay(int(url.rpartition(":")[2]))
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(one.serve, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield one, f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def end() -> None:
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # What they have closed the loop closes in its next turns.
        await asyncio.sleep(0.05)
        loop.stop()

    asyncio.run_coroutine_threadsafe(end(), loop)
    thread.join(60)
    loop.close()


def test_it_works(relay: tuple[Relay, str], client: Client) -> None:
    for job in (
        sample.noop.job(),
        sample.broken.job(),
        sample.dies.job(),
        sample.discards.job(),
        sample.progresses.job(),
    ):
        client.push(job)
    processed, settled = all_processed(client, 5), in_sets(client, retries=1, dead=1)
    work(Worker(sample.jobs, url=relay[1], concurrency=2), lambda: processed() and settled())
    assert {line.split()[0] for line in relay[0].refused} == {b"TRACK"}


def test_what_cannot_be_given_back_has_failed(relay: tuple[Relay, str], client: Client) -> None:
    client.push(sample.gives_back.job(60))
    work(Worker(sample.jobs, url=relay[1], concurrency=2), in_sets(client, retries=1))
    failure = only(client, "retries")["failure"]
    assert (failure["errtype"], failure["message"]) == ("Requeue", "given back by its worker")


def test_heartbeats_say_how_it_is(relay: tuple[Relay, str]) -> None:
    worker = Worker(sample.jobs, url=relay[1], concurrency=1, beat_seconds=0.02, wid="my-worker")

    def beaten() -> bool:
        if len(relay[0].beats) >= 3:
            worker.quiet()
        return any("current_state" in beat for beat in relay[0].beats)

    work(worker, beaten)
    first, last = relay[0].beats[0], relay[0].beats[-1]
    assert first["wid"] == "my-worker"
    assert first["rss_kb"] > 5_000
    assert "current_state" not in first
    assert last["current_state"] in ("quiet", "terminate")


def test_it_draws_the_order_of_weighted_queues_itself(relay: tuple[Relay, str], client: Client) -> None:
    client.push_bulk(sample.noop.job().using(queue=queue) for queue in ("a", "b") for _ in range(20))
    work(Worker(sample.jobs, url=relay[1], queues=["a:3", "b:1"], concurrency=2), all_processed(client, 40))


def test_a_stop_waits_for_the_fetches(relay: tuple[Relay, str], client: Client) -> None:
    worker = Worker(sample.jobs, url=relay[1], concurrency=2)
    work(worker, lambda: client.info()["faktory"]["tasks"]["Workers"]["size"] == 1)
    client.push(sample.noop.job())
    assert client.info()["faktory"]["queues"] == {"default": 1}
