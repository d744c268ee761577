"""What running jobs say about themselves while they run: sent in the background, the latest word of each job alone."""

import asyncio
from typing import Any, TypeAlias

from lineshaft.client.aio import AsyncClient
from lineshaft.client.lines import line
from lineshaft.errors import LineshaftError

__all__ = ["Teller", "Told"]

Told: TypeAlias = dict[str, Any]
"""The members of a TRACK SET, the jid among them."""


class Teller:
    """Collects and sends; a job that speaks faster than the server listens costs one command at a time."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._loop = asyncio.get_running_loop()
        self._untold: dict[str, Told] = {}
        self._task: asyncio.Task[None] | None = None

    def tell(self, told: Told) -> None:
        """From any thread."""
        self._loop.call_soon_threadsafe(self._take, told)

    def _take(self, told: Told) -> None:
        self._untold.setdefault(told["jid"], {}).update(told)
        if self._task is None:
            self._task = self._loop.create_task(self._send())

    async def _send(self) -> None:
        try:
            while self._untold:
                told = self._untold.pop(next(iter(self._untold)))
                # It is only worth saying; a server that is away, or does not know it, does not stop the job.
                try:
                    await self._client.command(line(b"TRACK SET", **told), again=True)
                except (LineshaftError, OSError):
                    continue
        finally:
            self._task = None

    async def finish(self) -> None:
        """Wait until all is told."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=1)
