"""Batches: jobs that belong together, and the jobs that follow when all of them have run or succeeded.

A batch is made when its `with` begins and committed when that ends; its jobs run meanwhile, its callbacks not before.
A `with` that ends in an exception commits nothing: callbacks never fire, and the server forgets the batch in half an
hour. Its jobs run all the same.
"""

from typing import Any, TypedDict

import msgspec

from lineshaft.client.commands import Pusher
from lineshaft.client.job import AnyJob, Job, as_job
from lineshaft.client.lines import decoded
from lineshaft.client.records import BatchStatus
from lineshaft.client.talk import Talk
from lineshaft.client.verb import verb
from lineshaft.errors import UsageError

__all__ = ["BatchCommands", "Plan", "new_batch", "open_batch"]


class BatchCommands(Pusher):
    """What batches of both kinds can do. `bid` is None until it is made."""

    def __init__(self, pusher: Pusher, beginning: bytes, bid: str | None = None) -> None:
        self._talker = pusher._talker
        self._clock = pusher._clock
        self._on_push = pusher._on_push
        self._beginning = beginning
        self.bid = bid

    @verb
    def status(self) -> Talk[BatchStatus]:
        """The batch, counted."""
        reply = yield from self._command(b"BATCH STATUS " + self._bid(), again=True)
        status: BatchStatus = decoded(reply, BatchStatus)
        return status

    @verb
    def begin(self) -> Talk[None]:
        """Make the batch, or open it again; `with` does this."""
        reply = yield from self._command(self._beginning, again=False)
        self.bid = (reply if isinstance(reply, bytes) else str(reply).encode()).decode()

    @verb
    def commit(self) -> Talk[None]:
        """From now on its callbacks may fire; `with` does this. More jobs may join all the same."""
        yield from self._command(b"BATCH COMMIT " + self._bid(), again=True)

    def _ready(self, job: AnyJob) -> Job[Any]:
        return super()._ready(as_job(job).using(custom={"bid": self._bid().decode()}))

    def _bid(self) -> bytes:
        if self.bid is None:
            raise UsageError("the batch is not made yet: `with client.batch(...) as batch:` does it")
        return self.bid.encode()


class Plan(TypedDict, total=False):
    """What a batch is made with: one callback at least."""

    success: AnyJob  #: pushed when all of its jobs have succeeded
    complete: AnyJob  #: pushed when each of its jobs has run once, whatever came of it
    death: AnyJob  #: pushed when the first of its jobs has died
    parent: "BatchCommands | str"  #: the batch (or its bid) whose callbacks wait for this one's


def new_batch(pusher: Pusher, description: str, plan: Plan) -> bytes:
    """The command that makes a batch. Raises UsageError without a callback."""
    if not plan.keys() & {"success", "complete", "death"}:
        raise UsageError("a batch needs a callback: a job for success, complete or death")
    message: dict[str, Any] = {"description": description}
    parent = plan.get("parent")
    if parent is not None:
        message["parent_bid"] = parent if isinstance(parent, str) else parent.bid
    now = pusher._clock()
    for name in ("success", "complete", "death"):
        job: AnyJob | None = plan.get(name)  # type: ignore[assignment]  # the name is one of a job
        if job is not None:
            message[name] = msgspec.Raw(as_job(job).encode(now))
    return b"BATCH NEW " + msgspec.json.encode(message)


def open_batch(bid: str) -> bytes:
    """The command that opens a batch again."""
    return b"BATCH OPEN " + bid.encode()
