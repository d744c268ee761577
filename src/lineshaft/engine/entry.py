"""Entry: an unleased job in a window (see `line`)."""

from typing import Final

from msgspec import Struct

from lineshaft.engine import keys
from lineshaft.engine.stats.outcomes import MOST_LETTERS
from lineshaft.engine.value import Extras, decode_head

__all__ = ["LARGE_PAYLOAD_BYTES", "Entry", "make_entry"]

#: Payloads above this stay on disk until their FETCH: a window of them would not fit in memory.
LARGE_PAYLOAD_BYTES: Final = 4096


class Entry(Struct, gc=False):
    """An unleased job in a window: all that a FETCH needs."""

    order: int
    key: bytes
    seq: int
    jid: str
    payload: bytes | None  #: None for a large one, which is read when it is fetched
    reserve_for: int | None
    special: Extras | None  #: its Extras, of a job that uses a feature
    jobtype: str = ""  #: its beginning (see `outcomes`)


def make_entry(key: bytes, seq: int, extras: Extras, payload: bytes) -> Entry:
    """An entry for a job that lies under `key`."""
    head = decode_head(payload)
    kept = payload if len(payload) <= LARGE_PAYLOAD_BYTES else None
    special = extras if extras.uses else None
    return Entry(
        keys.ready_order(key), key, seq, head.jid, kept, head.reserve_for, special, head.jobtype[:MOST_LETTERS]
    )
