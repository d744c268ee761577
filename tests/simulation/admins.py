"""Admins: they pause, resume, look, move and drop jobs, and once in a while remove a queue or flush everything."""

import json
from collections.abc import Callable
from typing import Any

from simulation.client import Asked, Client, Habits
from simulation.entries import Answer, JobEntry
from simulation.ledger import Ledger
from simulation.producers import QUEUES
from simulation.world import World

__all__ = ["Admin"]


class Admin(Client):
    """It administers; `rash` is how often it removes and flushes."""

    def __init__(self, world: World, ledger: Ledger, name: str, seed: str, habits: Habits, *, rash: float) -> None:
        super().__init__(world, ledger, name, seed, habits)
        self.rash = rash

    def do(self) -> None:
        """One command."""
        draw = self.chance.random()
        if draw < self.rash:
            self.chance.choice([self._remove, self._mutate, self._mutate, self._flush])()
        else:
            self.chance.choice(
                [self._pause, self._resume, self._cancel, self._look, self._look, self._requeue, self._cron]
            )()

    # Looking

    def _look(self) -> None:
        draw = self.chance.random()
        jids = sorted(self.ledger.jobs)
        if draw < 0.2:
            self.ask("INFO", self._looked)
        elif draw < 0.3:
            self.ask("QUEUE LATENCY " + " ".join(QUEUES), self._looked)
        elif jids:
            entry = self.ledger.jobs[self.chance.choice(jids)]
            succeeded = entry.success_shown
            self.ask(f"TRACK GET {entry.jid}", lambda answer: self._tracked(entry, succeeded, answer))

    def _looked(self, answer: Answer) -> None:
        if answer.kind == "$":
            found = answer.json()
            counts = found.get("faktory", {}).get("queues", {}).values()
            if any(count < 0 for count in counts):
                raise self.ledger.broken(f"a queue has fewer jobs than none: {found}")

    def _tracked(self, entry: JobEntry, succeeded: bool, answer: Answer) -> None:
        if answer.kind != "$" or entry.sent > 1:
            return
        shown: dict[str, Any] = answer.json()
        self.ledger.count("tracks")
        state = shown["state"]
        if state == "success" and "ack" not in entry.endings:
            raise self.ledger.broken(f"{entry.jid} is shown as a success, and nobody has acknowledged it")
        if succeeded and state not in {"success", "unknown"}:
            raise self.ledger.broken(f"{entry.jid} was shown as a success, and then as {state}")
        if "percent" in shown and shown["percent"] not in entry.percents:
            raise self.ledger.broken(f"{entry.jid} is shown at {shown['percent']} %, which nobody said")
        if "result" in shown and shown["result"] != {"of": entry.jid}:
            raise self.ledger.broken(f"{entry.jid} has another's result: {shown}")
        if state == "success" and "flush" not in entry.endings:
            entry.success_shown = True
            self.ledger.over(entry, 0, for_good=True)

    # Changing

    def _change(self, name: str, line: str, concerns: Callable[[JobEntry], bool]) -> Asked:
        """Send something that may end jobs."""
        self.ledger.resumes += 1
        self.ledger.count(name)
        asked = self.ask(line, lambda _: None)
        self.ledger.endanger(name, concerns, asked.is_possible)
        return asked

    def _pause(self) -> None:
        queue = self.chance.choice(QUEUES)
        # What is on its way now may come before it or after it, whichever is answered first.
        if not self._may_be_undone(queue):
            resumes = self.ledger.resumes
            self.ask(f"QUEUE PAUSE {queue}", lambda answer: self._paused(queue, resumes, answer))

    def _may_be_undone(self, queue: str) -> bool:
        blockers = {f"resume {queue}", "remove", "flush"}
        return any(name in blockers and is_possible() for name, _, is_possible in self.ledger.dangers)

    def _paused(self, queue: str, resumes: int, answer: Answer) -> None:
        if answer.ok and resumes == self.ledger.resumes and not self._may_be_undone(queue):
            self.ledger.paused[queue] = True

    def _resume(self) -> None:
        queue = self.chance.choice(QUEUES)
        self.ledger.resumes += 1
        self.ledger.paused[queue] = False
        asked = self.ask(f"QUEUE RESUME {queue}", lambda _: None)
        self.ledger.endanger(f"resume {queue}", lambda _: False, asked.is_possible)

    def _cron(self) -> None:
        """Have a periodic job run now, or pause it, or let it go on."""
        periodic = self.world.rules.periodic
        if not periodic:
            return
        subcommand = self.chance.choice(["RUN", "RUN", "PAUSE", "RESUME", "LIST"])
        name = "" if subcommand == "LIST" else " " + self.chance.choice(periodic).name
        self.ask(f"CRON {subcommand}{name}", lambda _: None)

    def _cancel(self) -> None:
        jids = sorted(self.ledger.jobs)
        if jids:
            jid = self.chance.choice(jids)
            self._change("cancel", "CANCEL " + json.dumps({"jid": jid}), lambda entry: entry.jid == jid)

    def _requeue(self) -> None:
        target = self.chance.choice(["scheduled", "retries", "dead"])
        line = "MUTATE " + json.dumps({"cmd": "requeue", "target": target})
        asked = self.ask(line, lambda _: None)
        if target == "scheduled":
            # They may run before their time now.
            self.ledger.endanger("early", lambda _: True, asked.is_possible)

    def _mutate(self) -> None:
        command = self.chance.choice(["clear", "kill", "discard"])
        target = self.chance.choice(["scheduled", "retries", "dead", f"queue:{self.chance.choice(QUEUES)}"])
        order: dict[str, Any] = {"cmd": command, "target": target}
        jids = sorted(self.ledger.jobs)
        if jids and self.chance.random() < 0.6:
            named = set(self.chance.sample(jids, min(5, len(jids))))
            order["filter"] = {"jids": sorted(named)}
            self._change("mutate", "MUTATE " + json.dumps(order), lambda entry: entry.jid in named)
        else:
            self._change("mutate", "MUTATE " + json.dumps(order), lambda _: True)

    def _remove(self) -> None:
        queue = self.chance.choice(QUEUES)
        self.ledger.paused[queue] = False
        self._change("remove", f"QUEUE REMOVE {queue}", lambda entry: entry.queue == queue)

    def _flush(self) -> None:
        if self.chance.random() < 0.3:
            self.ledger.paused.clear()
            for batch in self.ledger.batches.values():
                batch.flushed = True
            for entry in self.ledger.jobs.values():
                if entry.hold is not None:
                    entry.hold.void = True
            self._change("flush", "FLUSH", lambda _: True)
