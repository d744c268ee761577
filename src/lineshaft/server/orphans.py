"""Orphans: jobs that were fetched, and whose replies never reached anybody.

Their connection was lost before they had left, or the store failed before they could go out. They return to the head of
their queues with the end of the turn, rather than wait for their reservation to run out.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from lineshaft.engine.value import decode_head
from lineshaft.errors import StoreError
from lineshaft.job import UNREADABLE

if TYPE_CHECKING:
    from lineshaft.server.server import Server

__all__ = ["Orphan", "fetched_in", "give_back"]

Orphan = tuple[str, str]
"""A jid, and who was to have the job."""


def fetched_in(replies: Iterable[bytes], holder: str) -> list[Orphan]:
    """The jobs among replies that were meant for a holder."""
    jids = [_fetched_jid(reply) for reply in replies if reply[:1] == b"$"]
    return [(jid, holder) for jid in jids if jid is not None]


def _fetched_jid(reply: bytes) -> str | None:
    """The jid of the job in a bulk reply, if it is one."""
    try:
        return decode_head(reply.partition(b"\r\n")[2]).jid
    except UNREADABLE:
        return None


def give_back(server: "Server") -> None:
    """Return the server's orphans to their queues.

    Raises StoreError; the others are orphans again then, since what was given back in this turn is lost with it. The
    one that cannot be read waits for its reservation.
    """
    orphans, server.orphans, given = server.orphans, [], 0
    try:
        for given, (jid, holder) in enumerate(orphans):  # noqa: B007 - tells how far it came
            server.engine.give_back(jid, holder)
    except StoreError:
        server.orphans += orphans[:given] + orphans[given + 1 :]
        raise
