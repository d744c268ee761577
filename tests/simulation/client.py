"""A simulated client: a connection that comes and goes, and commands whose replies are awaited in their order.

The parser and the book-keeping are written here once more, so that nothing of the server's own code vouches for it.
Each reply is given to whoever asked; when the connection goes, everybody who still waits hears that there is none.
"""

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from simulation.entries import Answer
from simulation.ledger import Broken, Ledger
from simulation.network import Link, Piece
from simulation.world import World

__all__ = ["Asked", "Client", "Habits"]


@dataclass(slots=True)
class Asked:
    """A command that was sent."""

    line: bytes
    then: Callable[[Answer], None]
    link: Link
    answered: bool = False

    def is_possible(self) -> bool:
        """Whether it may still be carried out."""
        return not self.answered and not self.link.finished


@dataclass(slots=True)
class Habits:
    """How a client treats its connection."""

    latency: int = 2_000  #: microseconds
    slowness: int = 0  #: microseconds to read a piece
    breaks: float = 0.01  #: the chance that it breaks, at each thing it does
    most_waiting: int = 4  #: commands without a reply


class Client:
    """One program that talks to the server."""

    def __init__(self, world: World, ledger: Ledger, name: str, seed: str, habits: Habits) -> None:
        self.world, self.ledger, self.name, self.habits = world, ledger, name, habits
        self.chance = Random(f"{seed}/{name}")
        self.link: Link | None = None
        self.greeted = self.ready = False
        self.ends = False
        self.waiting: deque[Asked] = deque()
        self._received = b""
        #: Connections so far.
        self.connections = 0

    def hello(self) -> dict[str, Any]:
        """What it says of itself."""
        return {"v": 2}

    # The connection

    def connect(self) -> None:
        """Open a connection, if the server is there."""
        link = Link(self.world, self, latency=self.habits.latency, slowness=self.habits.slowness)
        self.greeted = self.ready = self.ends = False
        self._received = b""
        self.link = link
        if not link.open():
            self.link = None
            return
        self.connections += 1

    def drop(self) -> None:
        """The connection breaks."""
        link = self.link
        if link is not None:
            link.reset()

    def vanish(self) -> None:
        """The client is gone, and the server is not told."""
        link = self.link
        if link is not None and not link.left:
            link.half_open()
            self.disconnected()

    def disconnected(self) -> None:
        """There is no connection any more."""
        self.link = None
        self.ready = False
        waiting, self.waiting = self.waiting, deque()
        for asked in waiting:
            asked.then(Answer("lost"))
        self.left_alone()

    def left_alone(self) -> None:
        """For subclasses: the connection is gone, and everybody has been told."""

    # Commands

    def can_ask(self) -> bool:
        """Whether it can send something now."""
        return self.ready and not self.ends and len(self.waiting) < self.habits.most_waiting

    def ask(self, line: str | bytes, then: Callable[[Answer], None]) -> Asked:
        """Send a command; `then` hears what came of it."""
        assert self.link is not None
        data = line.encode() if isinstance(line, str) else line
        asked = Asked(data, then, self.link)
        self.waiting.append(asked)
        self.link.send(data + b"\r\n")
        return asked

    def hear(self, piece: Piece) -> None:
        """Bytes from the server."""
        self._received += piece.data
        while self.link is not None and (parsed := _parse(self._received)) is not None:
            answer, self._received = parsed
            answer.position, answer.number = piece.position, piece.number
            self._take(answer)

    def _take(self, answer: Answer) -> None:
        if not self.greeted:
            self.greeted = True
            if answer.text.startswith("too many"):
                return
            if not answer.text.startswith("HI "):
                raise Broken(f"{self.name} was greeted with {answer}")
            self.ask("HELLO " + json.dumps(self.hello()), self._joined)
            return
        if not self.waiting:
            raise Broken(f"{self.name} asked nothing, and was told {answer}")
        asked = self.waiting.popleft()
        asked.answered = True
        if answer.kind == "-" and "internal error" in answer.text:
            raise Broken(f"{asked.line[:200]!r} was answered {answer.text}")
        asked.then(answer)

    def _joined(self, answer: Answer) -> None:
        self.ready = answer.kind == "+"

    # Acting

    def act(self) -> None:
        """Do one thing."""
        if self.link is None:
            self.connect()
        elif not self.ready:
            if self.chance.random() < 0.05:
                self.drop()
        elif self.chance.random() < self.habits.breaks:
            self.chance.choice([self.drop, self.drop, self.vanish, self._half_close])()
        elif self.can_ask():
            self.do()

    def _half_close(self) -> None:
        assert self.link is not None
        if self.chance.random() < 0.5:
            self.ask("END", lambda _: None)
            # No reply comes to an END.
        else:
            self.link.half_close()
        self.ends = True

    def do(self) -> None:
        """For subclasses: do something with a connection that is ready."""


def _parse(data: bytes) -> tuple[Answer, bytes] | None:
    """The first reply in some bytes, and the rest; None when there is no whole one."""
    line, found, rest = data.partition(b"\r\n")
    if not found:
        return None
    kind, text = line[:1].decode(), line[1:].decode()
    if kind == "$":
        size = int(text)
        if size < 0:
            return Answer("$", "null"), rest
        if len(rest) < size + 2:
            return None
        if rest[size : size + 2] != b"\r\n":
            raise Broken(f"a bulk string does not end where it says: {data[:200]!r}")
        return Answer("$", "", rest[:size]), rest[size + 2 :]
    if kind not in {"+", "-", ":"}:
        raise Broken(f"this is no reply: {line[:200]!r}")
    return Answer(kind, text), rest
