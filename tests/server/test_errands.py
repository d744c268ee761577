"""What is asked of the server without a connection: told when it is on disk, or why it is not."""

from typing import Any

import pytest

from harness import Harness
from lineshaft.errors import Refusal, StoreError, Unavailable
from lineshaft.server.errands import look, run
from lineshaft.server.settings import ServerSettings, SyncMode


class Told(list[Any]):
    """What an errand was answered with."""

    def __call__(self, result: Any, error: Exception | None) -> None:
        self.append(result if error is None else error)


def test_it_is_told_after_the_sync() -> None:
    box, told = Harness(), Told()
    box.hold_syncs = True
    run(box.server, lambda engine: engine.pause(["mail"]), told)
    box.settle()
    assert told == []
    box.finish_sync()
    assert told == [None]
    assert box.store.unsynced == 0


def test_without_that_promise_it_is_told_after_the_commit() -> None:
    box, told = Harness(settings=ServerSettings(sync=SyncMode.NEVER)), Told()
    box.hold_syncs = True
    run(box.server, lambda engine: engine.pause(["mail"]), told)
    assert told == []
    box.settle()
    assert told == [None]


def test_a_refusal_is_told_at_once() -> None:
    box, told = Harness(), Told()
    run(box.server, lambda engine: engine.cancel("no such job"), told)
    assert [str(error) for error in told] == ["Job not found no such job"]
    assert isinstance(told[0], Refusal)


def test_a_job_that_it_makes_available_goes_to_who_waits() -> None:
    box, told = Harness(), Told()
    box.connect().ask('PUSH {"jid":"12345678","jobtype":"t","args":[]}')
    box.server.engine.pause(["default"])
    waiting = box.worker("w1")
    waiting.send(b"FETCH default\r\n")
    assert waiting.take() == b""
    run(box.server, lambda engine: engine.resume(["default"]), told)
    box.settle()
    assert b"12345678" in waiting.take()
    assert told == [None]


@pytest.mark.parametrize("when", ["commit", "sync"])
def test_a_storage_that_fails_leaves_the_outcome_unknown(when: str) -> None:
    box, told = Harness(), Told()
    run(box.server, lambda engine: engine.pause(["mail"]), told)
    if when == "commit":
        box.store.fail_commit(box.store.commits + 1, applied=False)
    else:
        box.store.fail_sync(box.store.syncs + 1)
    box.settle()
    (error,) = told
    assert isinstance(error, StoreError)
    assert "unknown" in str(error)


def test_nothing_is_done_while_the_server_is_away() -> None:
    box, told = Harness(), Told()
    box.server.stop()
    run(box.server, lambda engine: engine.pause(["mail"]), told)
    assert isinstance(told[0], Unavailable)
    assert look(box.server, lambda engine: engine.views.overview().paused) == 0, "a look harms nobody"


def test_a_look_reads_the_present() -> None:
    box = Harness()
    box.clock.advance(seconds=5)
    assert look(box.server, lambda engine: engine.views.overview().now) == box.clock()
