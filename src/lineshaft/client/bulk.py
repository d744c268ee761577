"""Many jobs at once: cut into chunks, several on their way at a time, and a reason for each job that was refused."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, TypeAlias

import msgspec

from lineshaft.client.talk import Pool, Talk, ask
from lineshaft.errors import PeerError, Refusal, UsageError
from lineshaft.protocol.resp import ErrorReply, Reply

__all__ = ["push_chunks"]

#: A PUSHB is one line, and servers limit those to 16 MiB or so; below this, larger chunks are no faster.
CHUNK_BYTES: Final = 1 << 20

#: What a server takes in one PUSHB.
MAX_CHUNK: Final = 10_000

#: So many chunks are sent before the first is answered: enough that the server always has one to work on.
CHUNKS_IN_FLIGHT: Final = 4

Encoded: TypeAlias = tuple[str, bytes]
"""A job's jid and its JSON."""

_decode_errors: Final = msgspec.json.Decoder(dict[str, str]).decode


def push_chunks(pool: Pool, jobs: Iterable[Encoded], chunk: int) -> Talk[dict[str, Refusal]]:
    """Push jobs, and return why each was refused that was, by jid."""
    if not 1 <= chunk <= MAX_CHUNK:
        raise UsageError(f"a chunk has 1 to {MAX_CHUNK} jobs, not {chunk}")
    refused: dict[str, Refusal] = {}
    chunks = _chunks(iter(jobs), chunk)
    while flight := list(islice(chunks, CHUNKS_IN_FLIGHT)):
        lines = [b"PUSHB [%b]" % b",".join([data for _, data in one]) for one in flight]
        replies = yield from ask(pool, lines, again=False)
        for one, reply in zip(flight, replies, strict=True):
            refused |= _refused(one, reply)
    return refused


def _chunks(jobs: Iterator[Encoded], count: int) -> Iterator[list[Encoded]]:
    chunk: list[Encoded] = []
    size = 0
    for job in jobs:
        if chunk and (len(chunk) == count or size + len(job[1]) > CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(job)
        size += len(job[1])
    if chunk:
        yield chunk


def _refused(chunk: list[Encoded], reply: Reply) -> dict[str, Refusal]:
    if isinstance(reply, ErrorReply):
        # The whole chunk was refused.
        return {jid: reply.refusal() for jid, _ in chunk}
    try:
        errors = _decode_errors(reply if isinstance(reply, bytes) else b"")
    except msgspec.DecodeError as error:
        raise PeerError(f"the server's reply is not the JSON that it should be: {error}") from None
    return {jid: _refusal(text) for jid, text in errors.items()}


def _refusal(text: str) -> Refusal:
    code, _, message = text.partition(" ")
    return Refusal(message, code) if code == "NOTUNIQUE" else Refusal(text)
