"""Windows: exactly the unleased jobs before the tail, in order, whatever is pushed, fetched, returned and dropped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineshaft.engine import keys
from lineshaft.engine.entry import LARGE_PAYLOAD_BYTES, Entry, make_entry
from lineshaft.engine.line import Window
from lineshaft.engine.ready import WINDOW_LEAST, WINDOW_MOST, Queues, window_bound
from lineshaft.engine.turn import Turn
from lineshaft.engine.value import NO_EXTRAS, Extras, join_value
from lineshaft.errors import StoreCorrupt, StoreError
from lineshaft.store.faulty import FaultyStore

BOUND = 3


def entry(order: int) -> Entry:
    return Entry(order, b"key", order, f"job-{order:04}", b"{}", None, False)


def orders(window: Window) -> list[int]:
    return [each.order for each in window.entries]


def window_of(*held: int, tail: int = 0, more: bool = False) -> Window:
    window = Window(5, b"prefix", tail=tail, more=more)
    window.entries.extend(map(entry, held))
    return window


def test_pushes_enter_until_it_is_full() -> None:
    window = window_of()
    for order in (1, 2, 3):
        window.append(entry(order), BOUND)
    assert (orders(window), window.more) == ([1, 2, 3], False)
    window.append(entry(4), BOUND)
    assert (orders(window), window.more, window.tail) == ([1, 2, 3], True, 4)


def test_a_push_never_overtakes_what_lies_on_disk() -> None:
    window = window_of(1, tail=4, more=True)
    window.append(entry(9), BOUND)
    assert (orders(window), window.tail) == ([1], 4)
    window.entries.clear()
    window.append(entry(10), BOUND)
    assert orders(window) == []


@pytest.mark.parametrize(("returning", "held"), [(1, [1, 3, 5]), (4, [3, 4, 5]), (6, [3, 5, 6])])
def test_a_job_returns_to_its_place(returning: int, held: list[int]) -> None:
    window = window_of(3, 5, tail=8, more=True)
    window.put_back(entry(returning), BOUND)
    assert orders(window) == held


@pytest.mark.parametrize("returning", [8, 9, 100])
def test_a_job_from_beyond_the_tail_waits_for_the_next_refill(returning: int) -> None:
    window = window_of(3, 5, tail=8, more=True)
    window.put_back(entry(returning), BOUND)
    assert orders(window) == [3, 5]


def test_without_a_tail_every_job_returns() -> None:
    window = window_of(3)
    window.put_back(entry(100), BOUND)
    window.put_back(entry(1), BOUND)
    assert orders(window) == [1, 3, 100]


def test_thousands_that_return_are_left_to_the_disk_again() -> None:
    window = window_of(tail=100, more=True)
    for order in range(50, 0, -1):
        window.put_back(entry(order), BOUND)
    assert BOUND <= len(window.entries) <= 2 * BOUND
    assert orders(window) == list(range(1, len(window.entries) + 1))
    assert (window.more, window.tail) == (True, len(window.entries) + 1)


def test_dropped_jobs_are_forgotten() -> None:
    window = window_of(1, 2, 3, tail=4, more=True)
    window.drop({2, 7})
    assert orders(window) == [1, 3]
    window.drop({8})
    assert orders(window) == [1, 3]


def test_nothing_stands_before_the_cursor() -> None:
    assert window_of(3, 5, tail=8, more=True).cursor(99) == 3
    assert window_of(tail=8, more=True).cursor(99) == 8
    assert window_of(tail=8).cursor(99) == 99


@pytest.mark.parametrize(("queues", "bound"), [(0, WINDOW_MOST), (1, WINDOW_MOST), (100, 500), (100_000, WINDOW_LEAST)])
def test_many_queues_have_small_windows(queues: int, bound: int) -> None:
    assert window_bound(queues) == bound


class Model:
    """One priority of one queue, against the plain list of what lies on disk."""

    def __init__(self) -> None:
        self.leased: set[int] = set()
        self.store = FaultyStore()
        self.turn = Turn(self.store)
        self.queues = Queues(self.turn, self.leased.__contains__)
        self.queue = self.queues.add("q", 1, 0)
        self.queues.bound = BOUND
        self.window = self.queue.window(5)
        self.disk: list[int] = []
        self.order = 0

    def payload(self, order: int) -> bytes:
        return b'{"args":[],"jid":"job-%04d"}' % order

    def key(self, order: int) -> bytes:
        return self.window.prefix + order.to_bytes(8)

    def push(self) -> None:
        self.order += 1
        self.turn.changes[self.key(self.order)] = self.payload(self.order)
        self.window.append(make_entry(self.key(self.order), self.order, NO_EXTRAS, self.payload(self.order)), BOUND)
        self.disk.append(self.order)

    def fetch(self) -> None:
        free = [order for order in self.disk if order not in self.leased]
        if not self.window.entries and self.window.more:
            self.queues.refill(self.window)
        if not free:
            assert not self.window.entries
            assert not self.window.more
            return
        taken = self.window.entries.popleft().order
        assert taken == free[0], "the oldest first"
        self.leased.add(taken)

    def end(self, choice: int) -> None:
        if self.leased:
            order = sorted(self.leased)[choice % len(self.leased)]
            self.leased.remove(order)
            self.disk.remove(order)
            self.turn.changes[self.key(order)] = None

    def give_back(self, choice: int) -> None:
        if self.leased:
            order = sorted(self.leased)[choice % len(self.leased)]
            self.leased.remove(order)
            self.window.put_back(make_entry(self.key(order), order, NO_EXTRAS, self.payload(order)), BOUND)

    def drop(self, choice: int) -> None:
        free = [order for order in self.disk if order not in self.leased]
        if free:
            order = free[choice % len(free)]
            self.window.drop({order})
            self.disk.remove(order)
            self.turn.changes[self.key(order)] = None

    def restart(self) -> None:
        cursor = self.window.cursor(self.order + 1)
        self.window.entries.clear()
        self.window.tail, self.window.more = cursor, True

    def check(self) -> None:
        window = self.window
        free = [order for order in self.disk if order not in self.leased]
        assert orders(window) == [order for order in free if not window.more or order < window.tail]
        assert len(window.entries) <= 2 * BOUND
        assert all(order >= window.cursor(self.order + 1) for order in free)


STEPS = st.tuples(
    st.sampled_from(["push", "push", "fetch", "fetch", "end", "give_back", "drop", "restart", "commit"]),
    st.integers(0, 9),
)


@given(st.lists(STEPS, max_size=60))
def test_any_course_of_events(steps: list[tuple[str, int]]) -> None:
    model = Model()
    for name, choice in steps:
        if name == "commit":
            model.turn.commit()
        elif name in {"push", "fetch", "restart"}:
            getattr(model, name)()
        else:
            getattr(model, name)(choice)
        model.check()


def test_a_refill_reads_a_slice_and_not_the_backlog() -> None:
    model = Model()
    for _ in range(1000):
        model.push()
    model.turn.commit()
    model.window.entries.clear()
    model.store.gets = model.store.scans = 0
    model.queues.refill(model.window)
    assert orders(model.window) == [4, 5, 6], "what was in the window before is the caller's"
    assert model.store.scans == 1


def test_a_refill_passes_over_leased_jobs() -> None:
    model = Model()
    for _ in range(20):
        model.push()
    model.restart()
    model.window.tail = 0
    model.leased |= set(range(1, 18))
    model.queues.refill(model.window)
    assert orders(model.window) == [18]


def test_a_refill_that_fails_leaves_the_window_usable() -> None:
    model = Model()
    for _ in range(10):
        model.push()
    model.turn.commit()
    model.restart()
    model.store.fail_scan(model.store.scans + 1)
    with pytest.raises(StoreError):
        model.queues.refill(model.window)
    model.check()
    model.fetch()
    model.check()


def test_large_payloads_stay_on_disk() -> None:
    model = Model()
    payload = b'{"args":["%s"],"jid":"job-0001"}' % (b"x" * LARGE_PAYLOAD_BYTES)
    made = make_entry(model.key(1), 1, NO_EXTRAS, payload)
    assert made.payload is None
    model.turn.changes[model.key(1)] = join_value(Extras(recoveries=1), payload)
    assert model.queues.read_payload(made) == payload
    model.turn.changes[model.key(1)] = None
    with pytest.raises(StoreCorrupt, match="lineshaft check"):
        model.queues.read_payload(made)


def test_a_queue_keeps_its_priorities_in_order() -> None:
    queue = Model().queue
    for priority in (1, 9, 5, 7):
        assert queue.window(priority).prefix == keys.ready_prefix("q", 1, priority)
    assert [window.priority for window in queue.windows] == [9, 7, 5, 1]
    assert queue.window(9) is queue.windows[0]
