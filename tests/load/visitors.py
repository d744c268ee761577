"""Those who come to a soak and go: browsers, a crowd, one that never reads, and one that never says a word."""

import asyncio
from contextlib import suppress

from load.stage import Stage

__all__ = ["browser", "crowd", "get_page"]

PAGES = (
    "/",
    "/queues",
    "/queues/q0",
    "/retries",
    "/retries?text=again",
    "/scheduled",
    "/morgue",
    "/busy",
    "/batches",
    "/finished",
    "/limits",
    "/periodic",
    "/server",
    "/metrics",
    "/stats",
    "/health",
)


async def browser(stage: Stage, _: str) -> None:
    """An open dashboard: it listens for news, and looks at one page after the other."""
    live = asyncio.create_task(_listen(stage))
    try:
        for page in PAGES:
            head, body = await get_page(stage.web_port, page)
            assert head.startswith(b"HTTP/1.1 200"), (page, head[:100])
            assert body, page
            stage.ledger.done["browser_page"] += 1
            await stage.pause(2)
    finally:
        live.cancel()
        with suppress(asyncio.CancelledError):
            await live


async def _listen(stage: Stage) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.web_port)
    try:
        writer.write(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while line := await reader.readline():
            stage.ledger.done["browser_live"] += line.startswith(b"data:")
    finally:
        writer.close()


async def get_page(port: int, path: str) -> tuple[bytes, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        return head, body
    finally:
        writer.close()


async def crowd(stage: Stage, _: str) -> None:
    """Those who come in a crowd and go, one that never reads what it asks for, and one that never says a word."""
    done = stage.ledger.done
    wires = await asyncio.gather(*[stage.connect() for _ in range(50)])
    for wire in wires:
        wire.close()
    done["storm"] += 1
    deaf = await stage.connect()
    assert deaf.transport is not None
    deaf.transport.pause_reading()
    for _ in range(1000):
        deaf.send(b"INFO")
    reader, silent = await asyncio.open_connection("127.0.0.1", stage.port)
    try:
        await reader.read()  # until the server closes it, for want of a HELLO
    finally:
        silent.close()
    done["silent"] += 1
    deaf.close(abort=True)
    done["slow_reader"] += 1
    await stage.pause(12)
