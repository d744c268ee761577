r"""Replies, in the part of RESP2 that the protocol uses: bytes out on the server's side, values in on the client's.

+text\r\n            str            :n\r\n                  int
-CODE message\r\n    ErrorReply     $len\r\n...len...\r\n   bytes, or None for `$-1\r\n`
"""

import re
from typing import Final, TypeAlias

from msgspec import Struct

from lineshaft.errors import PeerError, Refusal

__all__ = ["NULL", "OK", "ErrorReply", "Reply", "ReplyParser", "bulk", "error", "integer"]

OK: Final = b"+OK\r\n"
NULL: Final = b"$-1\r\n"

#: Enough for every text of the protocol; what a client sent may be quoted in it, and that may be megabytes.
MAX_ERROR_LENGTH: Final = 1000

#: A reply bigger than the largest line that a server takes is not one of ours; a job comes back with a little more.
MAX_REPLY_BYTES: Final = 64 << 20

#: Every reply but a bulk is one short line.
MAX_LINE_BYTES: Final = 64 << 10

_LINE_BREAKS: Final = str.maketrans("\r\n", "  ")
_CODED: Final = re.compile(r"([A-Z][A-Z0-9_]*)(?: (.*))?", re.DOTALL)
_LENGTH: Final = re.compile(rb"-1|[0-9]{1,18}")
_INTEGER: Final = re.compile(rb"-?[0-9]{1,18}")


def error(refusal: Refusal) -> bytes:
    """A refusal as one line: line breaks become spaces, a long message is cut, lone surrogates are replaced."""
    text = f"{refusal.code} {refusal}"[:MAX_ERROR_LENGTH].translate(_LINE_BREAKS)
    return b"-%b\r\n" % text.encode(errors="replace")


def bulk(data: bytes) -> bytes:
    """Any bytes, with their length in front."""
    return b"$%d\r\n%b\r\n" % (len(data), data)


def integer(number: int) -> bytes:
    """A number."""
    return b":%d\r\n" % number


class ErrorReply(Struct, frozen=True):
    """An error as it came over the wire: a code, such as ERR or NOTUNIQUE, and the text for people."""

    code: str
    message: str

    def refusal(self) -> Refusal:
        """The same as an exception."""
        return Refusal(self.message, self.code)


Reply: TypeAlias = str | bytes | int | ErrorReply | None
"""A simple string, a bulk, an integer, an error, or the null bulk."""


class ReplyParser:
    """Collects bytes from a server and gives out complete replies, however the network has chopped them.

    What is true after every call: nothing complete is held back, and what is held stays within `limit_bytes` (and
    what one call brought).
    """

    def __init__(self, limit_bytes: int = MAX_REPLY_BYTES) -> None:
        self._limit_bytes = limit_bytes
        #: What is not complete yet: the beginning of a line, or of a bulk. It grows in place.
        self._held = bytearray()
        #: Up to here that has been searched for a line's end.
        self._searched = 0
        #: The size of the bulk at hand, once its first line is through.
        self._bulk_bytes: int | None = None
        #: Why nothing more can be read; the replies before it have been returned.
        self.failure: PeerError | None = None

    def feed(self, data: bytes) -> list[Reply]:
        """Take bytes and return the replies that they complete.

        What is no reply sets `failure`. Raises it when there is no reply before it to return, and from then on.
        """
        if self.failure is not None:
            raise self.failure
        held = self._held
        if held:
            held += data
        replies: list[Reply] = []
        try:
            # Nearly always a call brings whole replies, which are cut out of it as it is.
            done = self._take_all(held or data, replies)
        except PeerError as failure:
            self.failure = failure
            held.clear()
            if not replies:
                raise
            return replies
        if held:
            del held[:done]
        elif done < len(data):
            held += data[done:]
        return replies

    def _take_all(self, data: bytes | bytearray, replies: list[Reply]) -> int:
        """Take what is complete; returns how far that goes. A worker's every job comes this way, so it is one loop."""
        at, size = 0, self._bulk_bytes
        while True:
            if size is not None:
                end = at + size
                if len(data) < end + 2:
                    break
                if data[end : end + 2] != b"\r\n":
                    raise PeerError("the server sent a reply that is longer than it says")
                replies.append(bytes(data[at:end]))
                at, size = end + 2, None
            elif data.startswith(OK, at):
                replies.append("OK")
                at += len(OK)
                self._searched = 0
            else:
                end = data.find(b"\n", at + self._searched)
                self._searched = 0
                if (len(data) if end < 0 else end) - at > MAX_LINE_BYTES:
                    raise PeerError("the server sent a line that is no reply: too long")
                if end < 0:
                    self._searched = len(data) - at
                    break
                size = self._take_line(bytes(data[at:end]).removesuffix(b"\r"), replies)
                at = end + 1
        self._bulk_bytes = size
        return at

    def _take_line(self, line: bytes, replies: list[Reply]) -> int | None:
        """One line; returns the size of the bulk that it begins, if it does."""
        kind, rest = line[:1], line[1:]
        if kind == b"$" and _LENGTH.fullmatch(rest):
            size = int(rest)
            if size > self._limit_bytes:
                raise PeerError(f"the server sent a reply of {size} bytes: the limit is {self._limit_bytes}")
            if size >= 0:
                return size
            replies.append(None)
        elif kind == b"+":
            replies.append(_text(rest))
        elif kind == b"-":
            replies.append(_error_reply(_text(rest)))
        elif kind == b":" and _INTEGER.fullmatch(rest):
            replies.append(int(rest))
        else:
            raise PeerError(f"the server sent a line that is no reply: {line[:50]!r}")
        return None


def _text(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise PeerError(f"the server sent a line that is no reply: {line[:50]!r}") from None


def _error_reply(text: str) -> ErrorReply:
    coded = _CODED.fullmatch(text)
    return ErrorReply(coded[1], coded[2] or "") if coded else ErrorReply("ERR", text)
