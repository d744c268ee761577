"""Every transcript, replayed three ways: sans-IO whole, sans-IO byte by byte, and over a real socket."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from harness import Harness, Peer
from invariants import check_memory, check_store
from lineshaft.clock import system_clock
from lineshaft.engine.engine import Engine
from lineshaft.engine.settings import Periodic, QueueLimits, Settings, Throttle
from lineshaft.schedule import Schedule
from lineshaft.server.listener import AsyncShell, listen
from lineshaft.server.server import Server
from lineshaft.server.settings import ServerSettings
from lineshaft.store.memory import MemoryStore
from wire.transcript import Step, Transcript, check_reply, cut_reply, everyone, outgoing

GREETING = b'+HI {"v":2}\r\n'
ALL = everyone()


def server_settings(transcript: Transcript) -> ServerSettings:
    names = set(ServerSettings.__struct_fields__)
    return ServerSettings(**{name: value for name, value in transcript.settings.items() if name in names})


def engine_settings(transcript: Transcript) -> Settings:
    chosen: dict[str, Any] = dict(transcript.settings)
    names = set(Settings.__struct_fields__)
    rules = {name: value for name, value in chosen.items() if name in names}
    if "throttles" in rules:
        rules["throttles"] = {name: Throttle(**limits) for name, limits in rules["throttles"].items()}
    rules["periodic"] = tuple(periodic(name, *said) for name, said in chosen.get("cron", {}).items())
    return Settings(**rules, every_queue=QueueLimits(max_jobs=chosen.get("max_jobs"), backoff=chosen.get("backoff")))


def periodic(name: str, schedule: str, custom: dict[str, Any]) -> Periodic:
    job = json.dumps({"jobtype": "T", "args": [], "custom": custom}).encode()
    return Periodic(name, Schedule(schedule), "T", "default", job)


@pytest.fixture(autouse=True)
def salt(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    transcript = request.getfixturevalue("transcript")
    if "salt" in transcript.settings:
        monkeypatch.setattr("lineshaft.server.server.secrets.token_hex", lambda _: transcript.settings["salt"])


class Replay:
    """A transcript against a server in a box."""

    def __init__(self, transcript: Transcript, *, chop: bool) -> None:
        self.transcript = transcript
        self.chop = chop
        self.harness = self.start()
        self.peers: dict[str, Peer] = {}
        self.greetings: dict[str, bytes] = {}

    def start(self, before: Harness | None = None) -> Harness:
        rules, settings = engine_settings(self.transcript), server_settings(self.transcript)
        if before is None:
            return Harness(settings=settings, rules=rules)
        store = before.store.crash(before.store.unsynced)
        return Harness(settings=settings, rules=rules, store=store, now=before.clock())

    def run(self) -> None:
        steps = self.transcript.steps
        for index, step in enumerate(steps):
            together = index > 0 and steps[index - 1].kind[0] == "C" == step.kind[0]
            if together and steps[index - 1].connection == step.connection:
                continue
            self.take(step, index)
        # A restart reads no less from disk than there was in memory.
        self.harness.settle()
        check_store(self.harness.store, has_index=self.transcript.settings.get("jid_index", True))
        check_memory(self.harness.server.engine)

    def take(self, step: Step, index: int) -> None:
        if step.kind == "W":
            self.harness.advance(float(step.text))
        elif step.kind == "R":
            self.harness = self.start(self.harness)
            self.peers.clear()
        elif step.kind[0] == "S":
            self.expect(self.connection(step, greet=False), step)
        elif step.kind == "X":
            self.connection(step).leave()
        elif step.kind == "E":
            session = self.connection(step).session
            assert session is not None
            session.receive_eof()
            self.harness.settle()
        else:
            self.send(self.connection(step), self.gather(index))

    def gather(self, index: int) -> bytes:
        first, data = self.transcript.steps[index], b""
        for step in self.transcript.steps[index:]:
            if step.kind[0] != "C" or step.connection != first.connection:
                break
            data += outgoing(step, self.greetings.get(step.connection, b""))
        return data

    def connection(self, step: Step, *, greet: bool = True) -> Peer:
        peer = self.peers.get(step.connection)
        if peer is None:
            peer = self.peers[step.connection] = self.harness.connect(hello=None)
            self.greetings[step.connection] = peer.received
            if greet and "password" not in self.transcript.settings:
                assert peer.take() == GREETING
        return peer

    def send(self, peer: Peer, data: bytes) -> None:
        for chunk in [data[at : at + 1] for at in range(len(data))] if self.chop else [data]:
            if not peer.closed:
                peer.send(chunk)

    def expect(self, peer: Peer, step: Step) -> None:
        where = f"{self.transcript.name}.txt:{step.number}"
        if step.kind == "S!":
            assert peer.take() == b"", where
            assert peer.closed, f"{where}: still open"
        elif step.kind == "S.":
            assert peer.received == b"", f"{where}: {peer.received!r}"
        else:
            reply, peer.received = cut_reply(peer.received)
            assert reply, f"{where}: no reply, but {peer.received!r}"
            check_reply(step, reply, where)


@pytest.mark.parametrize("chop", [False, True], ids=["whole", "chopped"])
@pytest.mark.parametrize("transcript", ALL, ids=lambda transcript: transcript.name)
def test_sans_io(transcript: Transcript, chop: bool) -> None:
    Replay(transcript, chop=chop).run()


@asynccontextmanager
async def listening(transcript: Transcript) -> AsyncIterator[int]:
    """A server on a socket; its port."""
    store = MemoryStore()
    shell = AsyncShell(asyncio.get_running_loop(), lambda: store)
    engine = Engine(store, engine_settings(transcript), lambda: 0.5, system_clock())
    server = shell.server = Server(store, engine, server_settings(transcript), system_clock, shell)
    listener = await listen(server, socket.create_server(("127.0.0.1", 0)), None)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for session in list(server.sessions):
            session.transport.abort()
        await asyncio.sleep(0)
        shell.close()
        await asyncio.sleep(0)


class Sockets:
    """A transcript over real connections."""

    def __init__(self, transcript: Transcript, port: int) -> None:
        self.transcript = transcript
        self.port = port
        self.streams: dict[str, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}
        self.greetings: dict[str, bytes] = {}

    async def run(self) -> None:
        try:
            for index, step in enumerate(self.transcript.steps):
                await self.take(step, index)
        finally:
            for _, writer in self.streams.values():
                writer.close()
            for _, writer in self.streams.values():
                await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    async def take(self, step: Step, index: int) -> None:
        steps = self.transcript.steps
        if step.connection not in self.streams:
            await self.open(step)
        reader, writer = self.streams[step.connection]
        if step.kind == "X":
            writer.transport.abort()
        elif step.kind == "E":
            writer.write_eof()
        elif step.kind[0] == "C":
            writer.write(outgoing(step, self.greetings.get(step.connection, b"")))
            follower = steps[index + 1] if index + 1 < len(steps) else None
            if follower is None or follower.kind[0] != "C":
                await writer.drain()
        elif step.kind != "S.":
            await self.expect(reader, step)

    async def open(self, step: Step) -> None:
        streams = self.streams[step.connection] = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 26)
        if step.kind[0] != "S" and "password" not in self.transcript.settings:
            assert await streams[0].readline() == GREETING

    async def expect(self, reader: asyncio.StreamReader, step: Step) -> None:
        where = f"{self.transcript.name}.txt:{step.number}"
        reply = await reader.readline()
        if step.kind == "S!":
            assert reply == b"", f"{where}: {reply!r}"
            return
        if reply[:1] == b"$" and reply != b"$-1\r\n":
            reply += await reader.readexactly(int(reply[1:]) + 2)
        assert reply, f"{where}: closed"
        if reply.startswith(b"+HI "):
            self.greetings[step.connection] = reply
        check_reply(step, reply, where)


@pytest.mark.parametrize(
    "transcript", [each for each in ALL if not each.takes_time], ids=lambda transcript: transcript.name
)
def test_over_a_socket(transcript: Transcript) -> None:
    async def replay() -> None:
        async with listening(transcript) as port, asyncio.timeout(60):
            await Sockets(transcript, port).run()

    asyncio.run(replay())
