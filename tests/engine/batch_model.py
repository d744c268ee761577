"""What batches do, for the model: sets of jobs and their states, looked at whole; no counters."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

ROLES = {"death": "d", "complete": "c", "success": "s"}


@dataclass
class ModelBatch:
    bid: str
    parent: str
    slots: dict[str, str]
    touched: int
    until: int
    committed: bool = False
    died: bool = False
    #: By seq: pending, failing, dead, done, lost.
    states: dict[int, str] = field(default_factory=dict)
    told: str = "open"
    #: What children had told when they were forgotten.
    gone: list[str] = field(default_factory=list)

    def over(self, children: list[str]) -> bool:
        return "pending" not in self.states.values() and "open" not in children

    def succeeded(self, children: list[str]) -> bool:
        done = set(self.states.values()) <= {"done"} and set(children) <= {"succeeded"}
        return done and self.slots["complete"] in {"none", "done"}

    def spoilt(self, children: list[str]) -> bool:
        bad = {"dead", "lost"}
        return bool(bad & set(self.states.values())) or "hopeless" in children or self.slots["complete"] in bad

    def standing(self, children: list[str]) -> str:
        slots, spoilt = self.slots, self.spoilt(children)
        waits = slots["complete"] == "waiting" or (slots["success"] == "waiting" and not spoilt)
        if not self.committed or not self.over(children) or waits or "enqueued" in slots.values():
            return "open" if self.told == "open" else "over"
        if spoilt or slots["success"] in {"dead", "lost"}:
            return "hopeless"
        return "succeeded" if self.succeeded(children) else "over"

    def due(self, children: list[str]) -> str | None:
        if not self.committed:
            return None
        if self.slots["death"] == "waiting" and self.died:
            return "death"
        if self.slots["complete"] == "waiting" and self.over(children):
            return "complete"
        if self.slots["success"] == "waiting" and self.succeeded(children):
            return "success"
        return None

    def finished(self, children: list[str]) -> bool:
        settled = set(self.states.values()) <= {"done", "lost"} and set(children) <= {"hopeless", "succeeded"}
        idle = not {"enqueued", "dead"} & set(self.slots.values())
        return settled and idle and self.standing(children) in {"hopeless", "succeeded"}


@dataclass
class ModelBatches:
    """All batches; `call` enqueues a callback, given bid and role."""

    keep: int = 500_000
    open: int = 100_000
    by_bid: dict[str, ModelBatch] = field(default_factory=dict)

    def pick(self, number: int | None) -> str:
        """The bid of one of them; empty for none, or one that nobody knows."""
        bids = sorted(self.by_bid)
        return "" if number is None else bids[number % len(bids)] if bids else "b-unknown"

    def children(self, bid: str) -> list[str]:
        return [batch.told for batch in self.by_bid.values() if batch.parent == bid] + self.by_bid[bid].gone

    def follow(self, bid: str, now: int, call: Callable[[str, str], None]) -> None:
        """Something of this batch has changed."""
        while (batch := self.by_bid.get(bid)) is not None:
            batch.touched = now
            children = self.children(bid)
            while (role := batch.due(children)) is not None:
                batch.slots[role] = "enqueued"
                call(bid, role)
            before, batch.told = batch.told, batch.standing(children)
            if batch.finished(children):
                batch.until = batch.until or now + self.keep
            elif batch.committed:
                batch.until = 0
            if before == batch.told:
                return
            bid = batch.parent

    def commit(self, bid: str) -> None:
        """Its callbacks may be enqueued; how long it may stay open does not matter any more."""
        batch = self.by_bid[bid]
        if not batch.committed:
            batch.committed, batch.until = True, 0

    def due(self, now: int) -> Iterator[tuple[int, str]]:
        """The batches to look at."""
        return iter([(batch.until, batch.bid) for batch in self.by_bid.values() if 0 < batch.until <= now])

    def look(self, bid: str, now: int, call: Callable[[str, str], None]) -> None:
        """Its time has come."""
        batch = self.by_bid.get(bid)
        if batch is None or not 0 < batch.until <= now:
            return
        if not batch.committed and batch.touched + self.open > now:
            batch.until = batch.touched + self.open
            return
        del self.by_bid[bid]
        if batch.parent in self.by_bid:
            self.by_bid[batch.parent].gone.append(batch.told if batch.committed else "hopeless")
            if not batch.committed:
                self.follow(batch.parent, now, call)

    def shown(self, bid: str) -> dict[str, object]:
        """What BATCH STATUS says, as far as the model knows."""
        batch = self.by_bid[bid]
        words = {"none": "", "waiting": "", "enqueued": "1", "dead": "1", "done": "2", "lost": "1"}
        states = list(batch.states.values())
        return {
            "total": len(states),
            "pending": states.count("pending"),
            "failed": len(states) - states.count("pending") - states.count("done"),
            "complete_st": words[batch.slots["complete"]],
            "success_st": words[batch.slots["success"]],
            "committed": batch.committed,
            "finished": batch.finished(self.children(bid)),
        }
