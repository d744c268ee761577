"""What a server tells about jobs and batches, typed, and the errors that it can mean for whoever waits for them."""

from typing import Any

from msgspec import UNSET, Struct, UnsetType

from lineshaft.errors import LineshaftError

__all__ = ["BatchStatus", "JobFailed", "Track"]


class Track(Struct, frozen=True, omit_defaults=True):
    """Where a job is, and how far. What the server did not say is None, `result` UNSET."""

    jid: str
    state: str  #: enqueued, working, success, failed, dead, or unknown
    updated_at: str = ""  #: RFC 3339
    percent: int | None = None
    desc: str | None = None
    result: Any | UnsetType = UNSET
    cancelled: bool = False


class BatchStatus(Struct, frozen=True):
    """A batch, counted: its own jobs, without those of its children."""

    bid: str
    description: str = ""
    parent_bid: str | None = None
    created_at: str = ""
    total: int = 0
    pending: int = 0  #: neither ended nor failed once
    failed: int = 0  #: failed, and not succeeded since
    complete_st: str = ""  #: of the callback: "" pending, "1" enqueued, "2" finished
    success_st: str = ""
    death_st: str = ""


class JobFailed(LineshaftError):
    """A job that somebody waits for will not succeed; `track` is what the server last said of it."""

    def __init__(self, track: Track) -> None:
        super().__init__(f"job {track.jid} was cancelled" if track.cancelled else f"job {track.jid} is {track.state}")
        self.track = track
