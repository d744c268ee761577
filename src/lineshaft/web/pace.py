"""Pace: how the making of pages shares the loop with the commands of clients.

A page is made in pieces, and between any two of them whoever makes it says so (`rest`). Whether the others have their
turn then depends on how long this one has gone on. To give a turn away costs a whole round of the loop, which on a busy
server is some milliseconds, once in a while tens of them: a page that gave one away after each of its pieces would take
ten times as long as it takes. So what the pages may have of a round grows with what the others took of the one before:

    | commands, 8 ms | pages, 4 ms | commands, 5 ms | pages, 2.5 ms | commands ...
    | pages, 0.5 ms | a look for commands | pages, 0.5 ms | ...                 where hardly anything else is to do

Who has used up what a round gives, and has more to do, stands at the end of a line and comes on in a later round; in
each, those who stand in it come on in order, as long as there is something left. So ten pages make a round no longer
than MOST_SECONDS, nor does a long export, and a short page does not wait for a long one.

Those in the line are woken in every round, which costs a few microseconds each, but not always in the order of the
line: who has just had his turn is woken first and stands last. So each notes that he was woken, and comes on when all
before him were. What is true after every call: `_line` holds those who wait, each once, and while it is not empty a
round is awaited. Where no page is made, nothing here runs.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import takewhile
from time import perf_counter
from typing import Final

__all__ = ["Pace"]

#: What the pages have of a round at most; and each that waits in any case: as long as about ten commands take.
MOST_SECONDS: Final = 0.004
LEAST_SECONDS: Final = 0.0005
#: Between the two, this part of what the others took in the round before.
SHARE: Final = 0.5


class _Waiting:
    """One who stands in the line."""

    woken_in = -1  #: the last round in which he could not come on


class Pace:
    """The rounds of one loop, as far as pages are made in them. Everything here belongs to that loop."""

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        #: Until then pages may be made in this round.
        self._until = 0.0
        #: Since when pages are made in this round.
        self._began_at = 0.0
        #: One who stood in the line has come on in this round: one does, however late the others let him.
        self._came_on = False
        #: Since when the others have their turn, as far as it is known.
        self._left_at = 0.0
        #: Pages have had something of this round, so that the next is awaited.
        self._awaits_round = False
        self._round = 0
        self._line: deque[_Waiting] = deque()

    async def begin(self) -> None:
        """Begin with a page: at once, unless others are at theirs in this round."""
        now = self._clock()
        if self._line or (self._awaits_round and now >= self._until):
            await self._next_turn()
        else:
            if not self._awaits_round:
                self._began_at = now
            self._await_round()
            self._until = max(self._until, min(now + LEAST_SECONDS, self._began_at + MOST_SECONDS))

    async def rest(self) -> None:
        """Between two pieces: let the others have their turn, if it is time for that."""
        if self._clock() >= self._until:
            await self._next_turn()

    async def _next_turn(self) -> None:
        me = _Waiting()
        self._line.append(me)
        try:
            while True:
                self._await_round()
                await asyncio.sleep(0)
                now = self._clock()
                if self._is_next(me) and (now < self._until or not self._came_on):
                    if now >= self._until:
                        self._until = now + LEAST_SECONDS
                    self._came_on = True
                    return
                me.woken_in = self._round
        finally:
            # Whoever asked for it may have gone meanwhile.
            self._line.remove(me)

    def _is_next(self, me: _Waiting) -> bool:
        return all(other.woken_in == self._round for other in takewhile(lambda other: other is not me, self._line))

    def _await_round(self) -> None:
        self._left_at = self._clock()
        if not self._awaits_round:
            self._awaits_round = True
            # What is called soon is called in order: this before any page that waits from now on.
            asyncio.get_running_loop().call_soon(self._begin_round)

    def _begin_round(self) -> None:
        now = self._clock()
        self._awaits_round = self._came_on = False
        self._began_at = now
        self._round += 1
        least = LEAST_SECONDS * max(len(self._line), 1)
        self._until = now + min(max((now - self._left_at) * SHARE, least), MOST_SECONDS)
