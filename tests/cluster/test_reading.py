"""Reading: what was asked for, and what is missing in it."""

import pytest

from lineshaft.clock import ManualClock
from lineshaft.cluster.memory_log import MemoryLink, MemoryLog
from lineshaft.cluster.port import Bounds
from lineshaft.cluster.reading import Reading
from lineshaft.errors import StoreError
from lineshaft.store.memory import MemoryStore


def test_a_gap_in_what_was_asked_for_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    failures: list[StoreError] = []
    reading = Reading(MemoryStore(), MemoryLink(MemoryLog()), ManualClock(), lambda *_: None, failures.append)
    assert reading.meet(Bounds(1, 0, "log"))
    reading.catch_up(3, [b"x", b"y", b"z"])
    assert [record.getMessage() for record in caplog.records] == [
        "the log goes on at 3, and this node has read up to 0"
    ]
    assert not reading.follows, "the next look at the bounds begins anew"
    assert reading.end == 5
    assert not reading.is_at_end()
    assert not failures
