"""Search: going through the jobs of a place for those that match.

A short way is gone in the loop, in slices between which it serves others; what lies further is left to the search
process, and the loop only looks whether a job that was found is still there. Where there is no such process (jobs in
memory), the loop goes all the way.

Nobody waits for the end: a page and the API are answered after a moment with what was found by then, and a cursor from
which a link goes on; a browser with JavaScript has the rest as it is found (`pages.streams`).
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from functools import partial
from typing import Final

from msgspec import Struct

from lineshaft.engine import keys
from lineshaft.engine.engine import Engine
from lineshaft.engine.search.filter import EVERYTHING, Filter
from lineshaft.engine.search.scan import Sought
from lineshaft.engine.timed import SetName
from lineshaft.engine.views.views import JobView, Slice
from lineshaft.web.language import Language
from lineshaft.web.lists.rows import PAGE
from lineshaft.web.site import Site

__all__ = ["Count", "Found", "Place", "count", "count_on", "look_through", "looked", "search"]

#: Rows that one slice in the loop looks at: about half a millisecond.
SLICE: Final = 100
#: So many are looked at in the loop before the search process is asked: often that is all there is.
NEAR: Final = 1000
#: So long a page waits for what is found; of a tenth of a second the rest is for writing it while others work.
SEARCH_SECONDS: Final = 0.04
#: Jobs that were found are looked at again so many at a time.
CONFIRMED: Final = 25
#: A look that only counts tells no keys.
COUNT_ONLY: Final = 0


class Place(Struct, frozen=True):
    """Where to look, and for what."""

    filter: Filter
    set: SetName | None = None
    queue: str = ""  #: where it is no set
    newest: bool = False

    def slice(self, engine: Engine, cursor: str, rows: int) -> Slice:
        """One look in the loop. Raises Refusal, StoreError."""
        views = engine.views
        if self.set is None:
            return views.enqueued(self.queue, cursor=cursor, limit=rows, filter=self.filter)
        return views.timed(self.set, cursor=cursor, limit=rows, filter=self.filter, newest=self.newest)

    def sought(self, engine: Engine, cursor: str, limit: int) -> Sought:
        """What the search process is to look for. Raises Refusal."""
        views = engine.views
        if self.set is None:
            return views.sought_in_queue(self.queue, cursor=cursor, limit=limit, filter=self.filter)
        return views.sought_in_set(self.set, cursor=cursor, limit=limit, filter=self.filter, newest=self.newest)

    def size(self, engine: Engine) -> int:
        """How many jobs are there."""
        if self.set is not None:
            return engine.state.sets[self.set].size
        queue = engine.views.queue(self.queue)
        return 0 if queue is None else queue.size


class Found(Struct, frozen=True):
    """What a search has found."""

    jobs: list[JobView]
    cursor: str  #: where it goes on; empty at the end
    looked_at: int
    unreadable: int = 0


class Count(Struct, frozen=True):
    """How many match, as far as was looked."""

    count: int
    cursor: str
    looked_at: int

    def and_then(self, part: "Count") -> "Count":
        """Both together; the other one went on where this stopped."""
        return Count(self.count + part.count, part.cursor, self.looked_at + part.looked_at)


async def search(
    site: Site, place: Place, cursor: str, *, limit: int = PAGE, share: float = 1.0, patient: bool = False
) -> Found:
    """Jobs that match, a page of them at most, from `cursor` on, as far as one gets in a moment, or a share of it.

    Who is `patient` waits for a look that has begun: a program that follows a cursor comes on with each answer, however
    many search beside it. Raises Refusal for a bad cursor, Unavailable, StoreError.
    """
    jobs: list[JobView] = []
    looked_at = unreadable = 0
    moment = SEARCH_SECONDS * share
    end = asyncio.get_running_loop().time() + moment
    with suppress(TimeoutError):
        async with (
            asyncio.timeout(None if patient else moment),
            aclosing(look_through(site, place, cursor, limit)) as parts,
        ):
            async for part in parts:
                jobs += part.jobs
                cursor, looked_at = part.cursor, looked_at + part.looked_at
                unreadable += part.unreadable
                if asyncio.get_running_loop().time() >= end:
                    break
    return Found(jobs, cursor, looked_at, unreadable)


async def look_through(site: Site, place: Place, cursor: str, limit: int) -> AsyncGenerator[Found, None]:
    """The same in parts, as they are found, up to the end or `limit` jobs."""
    if place.filter == EVERYTHING:
        yield _cut(site.look(lambda engine: place.slice(engine, cursor, limit)), limit, place)
        return
    found = looked_at = 0
    # Whatever was there when the search began is found.
    fresh = True
    while True:
        seen = await _far(site, place, cursor, limit - found, fresh=fresh) if looked_at >= NEAR else None
        fresh = seen is None
        if seen is None:
            part = _cut(site.look(partial(place.slice, cursor=cursor, rows=SLICE)), limit - found, place)
        else:
            part = seen
        found, looked_at, cursor = found + len(part.jobs), looked_at + part.looked_at, part.cursor
        yield part
        if not cursor or found >= limit:
            return
        await site.pace.rest()


async def count(site: Site, place: Place, cursor: str) -> AsyncGenerator[Count, None]:
    """How many jobs match, in parts, up to the end."""
    looked_at = 0
    fresh = True
    while True:
        seen = None
        if looked_at >= NEAR:
            wanted = site.look(partial(place.sought, cursor=cursor, limit=COUNT_ONLY))
            seen = await site.backend.seek(wanted, fresh=fresh)
            fresh = False
        if seen is not None:
            part = Count(seen.count, seen.cursor.hex(), seen.looked_at)
        else:
            here = site.look(partial(place.slice, cursor=cursor, rows=SLICE))
            part = Count(len(here.jobs), here.cursor, here.looked_at)
        looked_at, cursor = looked_at + part.looked_at, part.cursor
        yield part
        if not cursor:
            return
        await site.pace.rest()


async def count_on(site: Site, place: Place, before: Count, *, share: float = 1.0) -> Count:
    """Go on counting, for a moment or a share of it. Raises as `search`."""
    so_far = before
    with suppress(TimeoutError):
        async with asyncio.timeout(SEARCH_SECONDS * share):
            async for part in count(site, place, before.cursor):
                so_far = so_far.and_then(part)
    return so_far


def looked(language: Language, looked_at: int, total: int) -> str:
    """How far a search came; jobs that came meanwhile may make it more than there were."""
    told = language.gettext("Looked at {count} of {total}")
    return told.format(count=language.number(looked_at), total=language.number(max(total, looked_at)))


async def _far(site: Site, place: Place, cursor: str, limit: int, *, fresh: bool) -> Found | None:
    """A look of the search process, confirmed; None where there is no such process."""
    seen = await site.backend.seek(site.look(lambda engine: place.sought(engine, cursor, limit)), fresh=fresh)
    if seen is None:
        return None
    jobs: list[JobView] = []
    for first in range(0, len(seen.hits), CONFIRMED):
        some = seen.hits[first : first + CONFIRMED]
        jobs += site.look(partial(_confirmed, some, place.filter))
        await site.pace.rest()
    return Found(jobs, seen.cursor.hex(), seen.looked_at)


def _confirmed(found: list[bytes], wanted: Filter, engine: Engine) -> list[JobView]:
    return engine.views.confirm(found, wanted)


def _cut(part: Slice, limit: int, place: Place) -> Found:
    """A slice, of which no more than so many jobs are taken."""
    if len(part.jobs) <= limit:
        return Found(part.jobs, part.cursor, part.looked_at, part.unreadable)
    last = part.jobs[limit - 1].key
    cursor = (last if place.newest else keys.after(last)).hex()
    return Found(part.jobs[:limit], cursor, part.looked_at, part.unreadable)
