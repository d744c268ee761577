"""The laws of the disk: what lies there is what clients were told. Held every so often, and after each crash."""

from typing import TYPE_CHECKING

from invariants import leases_in
from lineshaft.engine.value import split_value
from lineshaft.job import decode_stored
from simulation.entries import JobEntry

if TYPE_CHECKING:
    from simulation.ledger import Ledger

__all__ = ["hold_rows"]


def hold_rows(ledger: "Ledger", rows: dict[bytes, bytes]) -> None:
    """Hold what is on disk against what clients were told."""
    _hold_given_back(ledger, rows)
    live: dict[str, int] = {}
    for key, value in rows.items():
        if key[:1] in {b"R", b"T", b"V"}:
            jid = decode_stored(split_value(value)[1]).jid
            live[jid] = live.get(jid, 0) + 1
    for jid, entry in ledger.jobs.items():
        if entry.kept and jid not in live and not ledger.may_be_gone(entry) and not entry.by_itself:
            raise ledger.broken(f"{jid} was accepted, and is nowhere: {entry}")
        if entry.over is not None and jid in live:
            raise ledger.broken(f"{jid} had ended, and is there again: {entry}")
        if not entry.by_itself and live.get(jid, 0) > entry.sent - entry.refused:
            raise ledger.broken(f"{jid} was pushed {entry.sent} times, and is there {live[jid]} times")
        if entry.over is not None and entry.following and ledger.world.hooks is not None:
            after = ledger.jobs.get(jid + "-next")
            gone = after is not None and ledger.may_be_gone(after)
            if jid + "-next" not in live and not gone and not _taken_unseen(ledger, entry):
                raise ledger.broken(f"{jid} was acknowledged, and its follow-up is nowhere")


def _hold_given_back(ledger: "Ledger", rows: dict[bytes, bytes]) -> None:
    """Who has given a job back, and was told so, has it no more; a lease that began later is another one."""
    for lease in leases_in(rows).values():
        entry = ledger.jobs.get(lease.jid)
        for given in [] if entry is None or entry.sent > 1 else entry.given_back:
            is_known = given.jumps == ledger.jumps and not ledger.is_taken_back(given.answer)
            if is_known and lease.holder == given.holder and lease.since < given.sent_wall:
                raise ledger.broken(f"{lease.jid} was given back by {lease.holder}, and is leased to it still")


def _taken_unseen(ledger: "Ledger", entry: JobEntry) -> bool:
    """Whether a follow-up may have met a REMOVE, FLUSH or MUTATE before anybody fetched it."""
    return any(name in {"flush", "remove", "mutate"} for name in ledger.seen) or bool(entry.endings - {"ack"})
