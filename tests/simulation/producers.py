"""Producers: they push jobs of every kind, alone and in bulk, and fill batches, nested ones too.

Most jids are new; a producer whose push got no answer pushes the same job again, as real ones do.
"""

import json
from random import Random
from typing import Any

from lineshaft.clock import format_instant
from simulation.batch_laws import hold_status
from simulation.client import Client, Habits
from simulation.entries import Answer, BatchEntry, JobEntry
from simulation.ledger import Ledger
from simulation.world import World

__all__ = ["QUEUES", "Kinds", "Producer"]

QUEUES = ["a", "b", "c", "default"]

#: What a run's jobs may ask for.
Kinds = frozenset[str]


def a_job(chance: Random, jid: str, kinds: Kinds, wall: int) -> dict[str, Any]:
    """A job as chance has it, as the ledger keeps it: with `at_ms` and `expires_ms` beside what is sent."""
    custom: dict[str, Any] = {}
    fields: dict[str, Any] = {"jid": jid, "jobtype": chance.choice("TU"), "args": [jid], "queue": chance.choice(QUEUES)}
    if chance.random() < 0.3:
        fields["retry"] = chance.choice([0, 0, -1, 1, 2, 25])
    if chance.random() < 0.2:
        fields["priority"] = chance.randint(1, 9)
    if chance.random() < 0.3:
        fields["reserve_for"] = chance.choice([60, 90, 600])
    if chance.random() < 0.05:
        fields["args"] = [jid, "x" * chance.choice([1100, 5000, 20_000])]
    if "scheduled" in kinds and chance.random() < 0.15:
        fields["at_ms"] = wall + chance.choice([50, 1_000, 20_000, 300_000, 3_600_000])
        fields["at"] = format_instant(fields["at_ms"])
    if "unique" in kinds and chance.random() < 0.3:
        fields["args"] = [chance.randint(1, 3)]
        custom["unique_for"] = chance.choice([1, 30, 600])
        if chance.random() < 0.3:
            custom["unique_until"] = "start"
    if "expiring" in kinds and chance.random() < 0.15:
        if chance.random() < 0.5:
            custom["expires_in"] = chance.choice([1, 20, 3600])
        else:
            fields["expires_ms"] = wall + chance.choice([500, 20_000, 3_600_000])
            custom["expires_at"] = format_instant(fields["expires_ms"])
    if "tracked" in kinds and chance.random() < 0.3:
        custom["track"] = 1
    if "laned" in kinds and chance.random() < 0.7:
        custom["tenant"] = chance.choice(["x", "y", "z"])
    if chance.random() < 0.1:
        custom["backoff"] = chance.choice(["fixed:1", "linear:5", "exponential:2:1:60~20"])
    if custom:
        fields["custom"] = custom
    return fields


def sent(fields: dict[str, Any]) -> dict[str, Any]:
    """The same as it is sent."""
    return {name: value for name, value in fields.items() if not name.endswith("_ms")}


class Producer(Client):
    """It pushes."""

    def __init__(self, world: World, ledger: Ledger, name: str, seed: str, habits: Habits, kinds: Kinds) -> None:
        super().__init__(world, ledger, name, seed, habits)
        self.kinds = kinds
        self.count = 0
        #: Jobs whose push had no answer, to be pushed again.
        self.again: list[dict[str, Any]] = []
        #: Batches that it fills.
        self.bids: list[str] = []

    def do(self) -> None:
        """Push, or see to a batch."""
        draw = self.chance.random()
        if self.again and draw < 0.5:
            self._push(self.again.pop())
        elif "batches" in self.kinds and draw > 0.8:
            self._see_to_batches()
        elif draw > 0.7:
            self._push_bulk([self._next() for _ in range(self.chance.choice([1, 2, 5, 30]))])
        else:
            self._push(self._next())

    def _next(self) -> dict[str, Any]:
        self.count += 1
        fields = a_job(self.chance, f"{self.name}-{self.count:05}", self.kinds, self.world.wall())
        if self.bids and self.chance.random() < 0.5:
            fields.setdefault("custom", {})["bid"] = self.chance.choice(self.bids)
        return fields

    def _push(self, fields: dict[str, Any]) -> None:
        entry = self.ledger.pushing(fields)
        self.ask("PUSH " + json.dumps(sent(fields)), lambda answer: self._pushed(entry, answer))

    def _pushed(self, entry: JobEntry, answer: Answer) -> None:
        if answer.kind == "lost":
            if self.chance.random() < 0.5:
                self.again.append(entry.fields)
            return
        self.ledger.pushed(entry, None if answer.ok else answer.text.removeprefix("ERR "))

    def _push_bulk(self, jobs: list[dict[str, Any]]) -> None:
        entries = [self.ledger.pushing(fields) for fields in jobs]
        line = "PUSHB " + json.dumps([sent(fields) for fields in jobs])
        self.ask(line, lambda answer: self._pushed_bulk(entries, answer))

    def _pushed_bulk(self, entries: list[JobEntry], answer: Answer) -> None:
        if answer.kind == "lost":
            return
        errors = answer.json() if answer.ok else dict.fromkeys((one.jid for one in entries), answer.text)
        for entry in entries:
            self.ledger.pushed(entry, errors.get(entry.jid))

    # Batches

    def _see_to_batches(self) -> None:
        draw = self.chance.random()
        if not self.bids or draw < 0.2:
            self._new_batch()
            return
        bid = self.chance.choice(self.bids)
        entry = self.ledger.batches[bid]
        if draw < 0.5:
            entry.commit_sent = True
            self.ask(f"BATCH COMMIT {bid}", lambda answer: self._committed(entry, answer))
        elif draw < 0.6:
            self.ask(f"BATCH OPEN {bid}", lambda answer: self._asked_of(entry, answer))
        else:
            known = dict(entry.shown)
            self.ask(f"BATCH STATUS {bid}", lambda answer: self._shown(entry, known, answer))

    def _new_batch(self) -> None:
        self.count += 1
        roles = [role for role in ("complete", "success", "death") if self.chance.random() < 0.6] or ["success"]
        wanted: dict[str, Any] = {}
        jids = {}
        for role in roles:
            jids[role] = f"{self.name}-{self.count:05}-{role}"
            fields: dict[str, Any] = {
                "jid": jids[role],
                "jobtype": "C",
                "args": [],
                "queue": self.chance.choice(QUEUES),
            }
            if self.chance.random() < 0.2:
                fields["retry"] = self.chance.choice([0, 1, -1])
            wanted[role] = fields
        parent = self.chance.choice(self.bids) if self.bids and self.chance.random() < 0.4 else ""
        if parent:
            wanted["parent_bid"] = parent
        fragile = any(wanted[role].get("retry", 25) < 5 for role in roles)
        self.ask("BATCH NEW " + json.dumps(wanted), lambda answer: self._begun(parent, jids, fragile, answer))

    def _begun(self, parent: str, jids: dict[str, str], fragile: bool, answer: Answer) -> None:
        if answer.kind != "$":
            return
        bid = (answer.body or b"").decode()
        if bid in self.ledger.batches:
            raise self.ledger.broken(f"the bid {bid} was given twice")
        self.ledger.count("batches")
        flushed = any(name == "flush" and is_possible() for name, _, is_possible in self.ledger.dangers)
        self.ledger.batches[bid] = BatchEntry(bid, parent, jids, flushed=flushed, fragile=fragile)
        self.bids = [*self.bids[-3:], bid]

    def _committed(self, entry: BatchEntry, answer: Answer) -> None:
        if answer.kind == "+":
            entry.committed = True
        self._asked_of(entry, answer)

    def _asked_of(self, entry: BatchEntry, answer: Answer) -> None:
        if answer.kind == "-" and "no such batch" in answer.text:
            # Flushed, or forgotten.
            entry.flushed = True
            self.bids = [bid for bid in self.bids if bid != entry.bid]

    def _shown(self, entry: BatchEntry, known: dict[str, int], answer: Answer) -> None:
        if answer.kind == "$":
            self.ledger.count("statuses")
            hold_status(self.ledger, entry.bid, known, answer.json())
        self._asked_of(entry, answer)
