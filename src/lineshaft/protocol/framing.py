r"""Bytes to lines: what a peer sends, cut at `\n` or `\r\n`, however the network has chopped it.

What is true after every call: the lines returned so far and the rest are exactly the bytes fed, terminators aside,
whatever the chunks were; the rest holds no `\n`; no line longer than the limit has been returned, and no more than
the limit (and what one call brought) has been held.
"""

__all__ = ["LineBuffer"]


class LineBuffer:
    """Collects bytes and gives out complete lines.

    A line longer than `limit_bytes`, its terminator not counted, sets `overflowed`: the lines before it are still
    returned, all that follows is dropped, and the connection can only be closed.
    """

    __slots__ = ("limit_bytes", "overflowed", "rest")

    def __init__(self, limit_bytes: int) -> None:
        #: A line may be this long; the handshake allows less than what follows it.
        self.limit_bytes = limit_bytes
        #: An unfinished line. A bytearray grows in place: a long line in many chunks is copied out once, and a peer
        #: that sends single bytes cannot make us hold an object for each.
        self.rest = bytearray()
        #: A line was too long; nothing more comes out.
        self.overflowed = False

    @property
    def pending_bytes(self) -> int:
        """How much of an unfinished line is held."""
        return len(self.rest)

    def feed(self, data: bytes) -> list[bytes]:
        r"""Take bytes and return the lines that they complete, without `\n` or `\r\n`."""
        if self.rest or self.overflowed:
            return self._feed_on(data)
        size = len(data)
        lines = data.replace(b"\r\n", b"\n").split(b"\n")
        rest = lines.pop()
        if size > self.limit_bytes:
            lines = self._within_limit(lines)
        if rest and not self.overflowed:
            self._keep(rest)
        return lines

    def _feed_on(self, data: bytes) -> list[bytes]:
        """Go on with an unfinished line, touching only what is new."""
        if self.overflowed:
            return []
        end = data.find(b"\n")
        if end < 0:
            self._keep(data)
            return []
        self._keep(data[:end])
        if self.overflowed:
            return []
        line = bytes(self.rest).removesuffix(b"\r")
        self.rest = bytearray()
        lines = self._within_limit([line])
        lines += self.feed(data[end + 1 :])
        return lines

    def _keep(self, data: bytes) -> None:
        size = len(self.rest) + len(data)
        # One more may be the carriage return of a terminator that is still on its way.
        if size > self.limit_bytes and not (size == self.limit_bytes + 1 and data[-1:] in (b"\r", b"")):
            self._overflow()
        else:
            self.rest += data

    def _within_limit(self, lines: list[bytes]) -> list[bytes]:
        for index, line in enumerate(lines):
            if len(line) > self.limit_bytes:
                self._overflow()
                return lines[:index]
        return lines

    def _overflow(self) -> None:
        self.overflowed = True
        self.rest = bytearray()

    def close(self) -> bytes | None:
        """The peer sends no more: its last line, if it left one without a terminator (some end with a bare `END`)."""
        rest, self.rest = bytes(self.rest), bytearray()
        return rest.removesuffix(b"\r") or None
