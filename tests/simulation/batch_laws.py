"""The laws of batches, as clients see them: what BATCH STATUS has shown does not come undone."""

from typing import Any

from simulation.ledger import Ledger

__all__ = ["hold_status"]


def hold_status(ledger: Ledger, bid: str, known: dict[str, int], shown: dict[str, Any]) -> None:
    """BATCH STATUS was answered; `known` is what had been shown when it was asked. Raises Broken."""
    entry = ledger.batches.get(bid)
    succeeded = shown["total"] - shown["pending"] - shown["failed"]
    now = {"total": shown["total"], "succeeded": succeeded}
    now |= {role: int(shown.get(f"{role}_st") or 0) for role in ("complete", "success", "death")}
    for name, least in known.items():
        if now[name] < least:
            raise ledger.broken(f"{bid}: {name} was shown as {least}, and then as {now[name]}")
    if min(shown["pending"], shown["failed"], succeeded) < 0:
        raise ledger.broken(f"{bid}: impossible counts: {shown}")
    if entry is not None:
        for name, value in now.items():
            entry.shown[name] = max(entry.shown.get(name, 0), value)
        if (now["complete"] or now["success"]) and not entry.commit_sent:
            raise ledger.broken(f"{bid}: called back without a COMMIT: {shown}")
