"""The jid index: from what clients know of a job to where it lies."""

from typing import Final

from lineshaft.engine import keys
from lineshaft.engine.state import State
from lineshaft.job import MAX_JID_LENGTH

__all__ = ["find", "is_live"]

_LAST_SEQ: Final = b"\xff" * 8

#: More live jobs than this with one jid are not looked at: only a client that reuses one jid makes them.
MOST_TWINS: Final = 1000


def find(state: State, jid: str, limit: int = MOST_TWINS) -> list[tuple[int, bytes]]:
    """The live jobs with this jid, the oldest first: seq, and the key under which the job lies.

    Empty without an index. Raises StoreError.
    """
    if not state.has_index or len(jid) > MAX_JID_LENGTH:
        return []
    prefix = keys.where_prefix(jid)
    rows = state.turn.scan(prefix, keys.after(prefix + _LAST_SEQ), limit=limit)
    return [(keys.where_seq(key), value) for key, value in rows]


def is_live(state: State, jid: str) -> bool:
    """Whether a job with this jid is in the server. Raises StoreError."""
    return bool(find(state, jid, limit=1))
