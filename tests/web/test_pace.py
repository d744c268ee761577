"""Pages share the loop: others have their turn, no page waits for each of its pieces, and none for a long one."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from lineshaft.web.pace import LEAST_SECONDS, MOST_SECONDS, SHARE, Pace

PIECE_SECONDS = LEAST_SECONDS / 5


class Rounds:
    """A loop whose rounds are counted, and in each of which others take some time; time passes only where it is said.

    `made` has the names of the pieces that were made in each round.
    """

    def __init__(self, others_seconds: float = 0.0) -> None:
        self.now = 100.0
        self.others_seconds = others_seconds
        self.made: list[list[str]] = [[]]
        self.pace = Pace(lambda: self.now)

    def play(self, *pages: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Until all pages are made, which begin in the same round."""
        asyncio.run(self._play(pages))

    async def _play(self, pages: tuple[Callable[[], Coroutine[Any, Any, None]], ...]) -> None:
        self._begin_round()
        await asyncio.gather(*(page() for page in pages))

    def _begin_round(self) -> None:
        self.now += self.others_seconds
        self.made.append([])
        asyncio.get_running_loop().call_soon(self._begin_round)

    def page(self, name: str, pieces: int) -> Callable[[], Coroutine[Any, Any, None]]:
        """A page that is made in so many pieces."""

        async def make() -> None:
            await self.pace.begin()
            for _ in range(pieces):
                self.piece(name)
                await self.pace.rest()

        return make

    def piece(self, name: str) -> None:
        """A piece is made."""
        self.now += PIECE_SECONDS
        self.made[-1].append(name)

    def sizes(self) -> list[int]:
        """How many pieces were made in each round in which any were."""
        return [len(made) for made in self.made if made]


def test_where_little_else_is_to_do_a_page_gives_way_after_each_short_while() -> None:
    rounds = Rounds()
    rounds.play(rounds.page("one", 20))
    assert rounds.sizes() == [5, 5, 5, 5]


def test_a_page_goes_on_for_a_part_of_what_the_others_took() -> None:
    rounds = Rounds(others_seconds=0.004)
    rounds.play(rounds.page("one", 45))
    share = round(0.004 * SHARE / PIECE_SECONDS)
    assert rounds.sizes() == [5, share, share]


def test_but_never_for_longer_than_a_client_would_notice() -> None:
    rounds = Rounds(others_seconds=1.0)
    rounds.play(rounds.page("one", 85))
    most = round(MOST_SECONDS / PIECE_SECONDS)
    assert rounds.sizes() == [5, most, most]


def test_ten_that_begin_at_once_make_no_round_longer() -> None:
    rounds = Rounds(others_seconds=0.004)
    rounds.play(*(rounds.page(str(number), 8) for number in range(10)))
    assert sum(rounds.sizes()) == 80
    assert max(rounds.sizes()) <= round(MOST_SECONDS / PIECE_SECONDS)


def test_what_one_leaves_of_a_round_is_for_the_next() -> None:
    rounds = Rounds(others_seconds=0.004)
    rounds.play(*(rounds.page(str(number), 8) for number in range(4)))
    first, second, *_ = [made for made in rounds.made if made]
    assert first == ["0"] * 5
    assert second == [*["0"] * 3, *["1"] * 8, *["2"] * 8, "3"]


def test_a_short_page_does_not_wait_for_a_long_one() -> None:
    rounds = Rounds(others_seconds=0.004)
    ended: list[str] = []

    def noted(name: str, page: Callable[[], Awaitable[None]]) -> Callable[[], Coroutine[Any, Any, None]]:
        async def make() -> None:
            await page()
            ended.append(name)

        return make

    rounds.play(noted("long", rounds.page("long", 500)), noted("short", rounds.page("short", 30)))
    assert ended == ["short", "long"]
    assert [set(made) for made in rounds.made if made][:5] == [{"long"}, {"long"}, {"short"}, {"long"}, {"short"}]


def test_one_that_has_begun_comes_on_whoever_comes_anew() -> None:
    rounds = Rounds(others_seconds=0.004)

    async def visitors() -> None:
        for number in range(20):
            await rounds.page(f"new {number}", 1)()

    rounds.play(rounds.page("one", 60), visitors)
    with_one = [made for made in rounds.made if "one" in made]
    assert len(with_one) == 4


def test_who_goes_while_it_waits_keeps_nobody_waiting() -> None:
    rounds = Rounds(others_seconds=0.004)

    async def gone() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(0):
                await rounds.page("gone", 500)()

    rounds.play(gone, rounds.page("one", 30))
    assert sum(made.count("one") for made in rounds.made) == 30
    assert not rounds.pace._line


@pytest.mark.parametrize("pieces", [0, 1])
def test_a_page_that_takes_no_time_waits_for_nobody(pieces: int) -> None:
    rounds = Rounds(others_seconds=0.004)
    rounds.play(rounds.page("one", pieces))
    assert sum(bool(made) for made in rounds.made) == pieces


def test_one_comes_on_in_each_round_though_others_are_woken_late() -> None:
    # Two pages, between whose wake-ups others take long: the first in the line is woken when all of the time is over.
    rounds = Rounds()

    async def others() -> None:
        for _ in range(400):
            rounds.now += 0.002
            await asyncio.sleep(0)

    done: list[str] = []

    def finishing(name: str) -> Callable[[], Coroutine[Any, Any, None]]:
        async def make() -> None:
            await rounds.page(name, 20)()
            done.append(name)

        return make

    async def late() -> None:
        await others()
        done.append("others")

    rounds.play(finishing("one"), late, finishing("two"))
    assert done[-1] == "others"


def test_short_pages_that_begin_together_make_a_round_no_longer_than_that() -> None:
    rounds = Rounds()
    rounds.play(*(rounds.page(str(number), 1) for number in range(300)))
    assert max(rounds.sizes()) * PIECE_SECONDS <= MOST_SECONDS + LEAST_SECONDS
