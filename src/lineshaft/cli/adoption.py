"""Jobs that come from elsewhere, with their past, on their way into a running server: chunks of ADOPT, and a tally.

A jid that is on the server already is left out there, so whatever is repeated does no harm; a job that the server
refuses is told, and stops none of the others.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from msgspec import DecodeError, Struct, field
from msgspec import json as msgspec_json

from lineshaft.client import Client
from lineshaft.errors import PeerError

__all__ = ["Candidate", "Tally", "jid_of", "send_all"]

#: Well within what ADOPT takes, and a turn of some milliseconds, so that nobody else waits long.
CHUNK: Final = 200
CHUNK_BYTES: Final = 4 << 20

#: Refusals that are kept in words; all are counted.
MOST_SHOWN: Final = 20


class Candidate(Struct, frozen=True):
    """A job that is to be adopted."""

    place: str  #: as ADOPT names it
    job: bytes  #: JSON
    jid: str
    at: str | None = None  #: RFC 3339


class Tally(Struct):
    """What became of all of them; also what `--json` prints."""

    read: int = 0
    adopted: int = 0
    #: Their jid is that of a job on the server.
    known: int = 0
    #: An earlier run has brought them.
    before: int = 0
    refused: int = 0
    #: The first refusals: jid and why.
    refusals: list[tuple[str, str]] = field(default_factory=list)

    def refuse(self, jid: str, why: str) -> None:
        """Count a job that stays where it is."""
        self.refused += 1
        if len(self.refusals) < MOST_SHOWN:
            self.refusals.append((jid, why))

    def told(self) -> Iterator[str]:
        """A line for each refusal that was kept, and one for those that were not."""
        for jid, why in self.refusals:
            yield f"  refused: {jid}: {why}"
        if self.refused > len(self.refusals):
            yield f"  and {self.refused - len(self.refusals):,} more"

    def is_whole(self) -> bool:
        """Whether everything that was read is accounted for."""
        return self.read == self.adopted + self.known + self.before + self.refused


class _Head(Struct):
    jid: str = ""


class _Answer(Struct):
    adopted: int
    known: list[int] = []
    refused: dict[int, str] = {}


_decode_head: Final = msgspec_json.Decoder(_Head).decode
_decode_answer: Final = msgspec_json.Decoder(_Answer).decode


def jid_of(job: bytes) -> str:
    """The jid in a job's JSON. Raises ValueError for what is no job, in words."""
    try:
        jid = _decode_head(job).jid
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"cannot be read: {error}") from None
    if not jid:
        raise ValueError("has no jid")
    return jid


def send_all(
    client: Client, candidates: Iterable[Candidate], tally: Tally, on_sent: Callable[[list[Candidate]], None]
) -> None:
    """Send all candidates in their order; `on_sent` is told of each chunk that is safe on the server.

    Refused ones are not among what `on_sent` is told.
    """
    for chunk in _chunks(candidates):
        reply = client.command(b"ADOPT [" + b",".join(map(_element, chunk)) + b"]")
        try:
            answer = _decode_answer(reply if isinstance(reply, bytes) else b"")
        except DecodeError as error:
            raise PeerError(f"the server's reply is not the JSON that it should be: {error}") from None
        tally.adopted += answer.adopted
        tally.known += len(answer.known)
        for position, why in answer.refused.items():
            tally.refuse(chunk[position].jid, why)
        on_sent([one for position, one in enumerate(chunk) if position not in answer.refused])


def _chunks(candidates: Iterable[Candidate]) -> Iterator[list[Candidate]]:
    chunk: list[Candidate] = []
    size = 0
    for candidate in candidates:
        if chunk and (len(chunk) == CHUNK or size + len(candidate.job) > CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(candidate)
        size += len(candidate.job)
    if chunk:
        yield chunk


def _element(candidate: Candidate) -> bytes:
    at = b"" if candidate.at is None else b',"at":' + msgspec_json.encode(candidate.at)
    job = candidate.job
    if b"\n" in job or b"\r" in job:
        # A command is one line; inside of strings JSON knows no line breaks, so these are only layout.
        job = msgspec_json.format(job, indent=-1)
    return b'{"place":"%b","job":%b%b}' % (candidate.place.encode(), job, at)
