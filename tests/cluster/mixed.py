"""Jobs of every kind as a load on a cluster, and what must be exact whatever was killed meanwhile.

| kind | what is held against it |
| --- | --- |
| plain | done, see `load` |
| fails | fails once, comes back, is done; the server's count of failures lies between those answered and those sent |
| scheduled | is handed out at its time and not before |
| limited | of its queue two at most run at once, and sometimes two do |
| unique | while one has the lock no other is accepted; when none has it any more, the next one is |
| batch of three | "complete" comes when all have ended or failed, "success" when all and it are acknowledged |

At the end the server must have counted as many jobs done as there were, and have none left.
"""

import json
import time
from collections import defaultdict
from functools import partial
from typing import Any

from cluster.load import Load, Step
from cluster.real import RealCluster
from wire_client import WireClient, WireError

__all__ = ["RULES", "MixedLoad"]

#: How many jobs of the queue `limited` may run at once.
LIMIT = 2

#: What the nodes' configuration must say.
RULES = f"[workers]\nrecover_after = 15\n[throttles]\nlimited = {{ concurrency = {LIMIT} }}\n"

#: How long a limited job takes, so that others would like to run beside it.
WORK_SECONDS = 0.02
#: How long scheduled jobs wait.
LATER_SECONDS = 1.5


class MixedLoad(Load):
    """Producers and workers of all of them."""

    queues = ("callbacks", "limited", "fails", "unique", "scheduled", "default")

    def __init__(self, cluster: RealCluster | None, *, workers: int = 4, **options: Any) -> None:
        super().__init__(cluster, workers=workers, **options)
        #: What was said to the server: from then on it may take a job for ended, or failed.
        self.ack_sent: set[str] = set()
        self.fail_sent: list[str] = []
        self.fail_answered: list[str] = []
        #: Jobs that the server took for failed since their workers had gone three times.
        self.worker_lost: set[str] = set()
        #: Limited jobs that run, and the most that did.
        self.running: set[str] = set()
        self.most_running = 0
        #: When scheduled jobs may be handed out.
        self.due: dict[str, float] = {}
        #: Of each batch its id, and its jobs.
        self.bids: dict[str, str] = {}
        self.members: dict[str, list[str]] = {}
        #: The jobs that each producer has pushed with its lock.
        self.locked: defaultdict[int, list[str]] = defaultdict(list)
        self.not_unique = 0
        #: What was wrong, in words.
        self.faults: list[str] = []

    def check(self) -> None:
        """As `Load.check`, and everything that this module's table says."""
        super().check()
        assert not self.faults, f"{len(self.faults)} faults: {self.faults[:5]}"

    def check_kinds(self) -> None:
        """That every kind was there: else the laws say nothing."""
        assert self.most_running == LIMIT, f"{self.most_running} limited jobs ran at once"
        assert self.not_unique > 0, "no lock was ever met"
        assert self.fail_answered
        assert self.members
        assert self.due

    def check_counts(self) -> None:
        """What the leader counted since the start. A push that was sent again may have made a job more."""
        info, before = self.info(), self.before
        failures = info["total_failures"] - before["total_failures"]
        done = info["total_processed"] - before["total_processed"] - failures
        least, most = len(self.acked), sum(self.sent[jid] for jid in self.acked)
        assert least <= done <= most, f"{done} jobs were counted as done, and there were {least} to {most}"
        most_failures = len(self.fail_sent) + len(self.worker_lost)
        assert len(self.fail_answered) <= failures <= most_failures, f"{failures} failures counted"

    # Producers

    def plan(self, number: int, name: str) -> list[Step]:
        """One kind after the other."""
        if name.endswith(("1", "7")):
            return [self._one(f"fails-{name}", "fails")]
        if name.endswith("2"):
            return [partial(self._schedule, f"scheduled-{name}")]
        if name.endswith(("3", "8")):
            # So few that one of the two places suffices, should a job have the other whose FETCH was never answered.
            return [self._one(f"limited-{name}", "limited")]
        if name.endswith("5"):
            return [partial(self._push_unique, number, f"unique-{name}-{each}") for each in (1, 2)]
        if name.endswith("6"):
            return self._plan_batch(name)
        return [self._one(f"plain-{name}", "default")]

    def _one(self, jid: str, queue: str, **fields: Any) -> Step:
        return partial(self.push, jid, {"queue": queue, **fields})

    def _schedule(self, jid: str, client: WireClient) -> None:
        at = self.due.setdefault(jid, round(time.time() + LATER_SECONDS, 3))
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{round(at * 1000) % 1000:03}Z"
        self.push(jid, {"queue": "scheduled", "at": text}, client)

    def _plan_batch(self, name: str) -> list[Step]:
        members = [f"member-{name}-1", f"member-{name}-2", f"fails-{name}-3"]
        self.members[name] = members
        pushes = [partial(self._join, name, jid) for jid in members]
        return [partial(self._begin, name), *pushes, partial(self._commit, name)]

    def _begin(self, name: str, client: WireClient) -> None:
        """When it is not answered there is a batch that nobody commits, and so no callback."""
        wanted = {
            role: {"jid": f"{role}-{name}", "jobtype": "C", "args": [], "queue": "callbacks", "reserve_for": 600}
            for role in ("complete", "success")
        }
        self.bids[name] = client.command(b"BATCH NEW " + json.dumps(wanted).encode()).decode()

    def _join(self, name: str, jid: str, client: WireClient) -> None:
        queue = "fails" if jid.startswith("fails") else "default"
        self.push(jid, {"queue": queue, "custom": {"bid": self.bids[name]}}, client)

    def _commit(self, name: str, client: WireClient) -> None:
        callbacks = {f"complete-{name}", f"success-{name}"}
        with self.lock:
            self.sent.update(dict.fromkeys(callbacks - self.sent.keys(), 1))
        assert client.command(f"BATCH COMMIT {self.bids[name]}".encode()) == "OK"
        with self.lock:
            self.accepted |= callbacks

    def _push_unique(self, number: int, jid: str, client: WireClient) -> None:
        """Push with this producer's lock; nobody else asks for it."""
        mates = self.locked[number]
        with self.lock:
            is_first = not self.sent[jid]
            is_free = is_first and all(self.acked[mate] >= self.sent[mate] for mate in mates)
        fields = {"queue": "unique", "args": [number], "custom": {"unique_for": 3600}}
        try:
            self.push(jid, fields, client)
        except WireError as error:
            if not str(error).startswith("NOTUNIQUE"):
                raise
            self.refused(jid, mates, is_free=is_free, is_first=is_first)
        else:
            self.got_lock(jid, mates)

    def refused(self, jid: str, mates: list[str], *, is_free: bool, is_first: bool) -> None:
        """Another has the lock; or this one, whose first push was carried out and never answered."""
        with self.lock:
            self.not_unique += 1
            if is_free:
                self.faults.append(f"{jid} did not get a lock that nobody has")
            if is_first:
                del self.sent[jid]
            else:
                mates.append(jid)

    def got_lock(self, jid: str, mates: list[str]) -> None:
        """It is accepted."""
        with self.lock:
            holders = [mate for mate in mates if mate in self.accepted and mate not in self.ack_sent]
            if holders:
                self.faults.append(f"{jid} got a lock that {holders[0]} has")
            mates.append(jid)

    # Workers

    def took(self, wid: str, job: dict[str, Any]) -> None:
        """As `Load.took`; and was it its turn?"""
        super().took(wid, job)
        jid = job["jid"]
        kind, _, name = jid.partition("-")
        with self.lock:
            if job.get("failure", {}).get("errtype") == "WorkerLost":
                self.worker_lost.add(jid)
            if kind == "limited":
                self.running.add(jid)
                self.most_running = max(self.most_running, len(self.running))
                if len(self.running) > LIMIT:
                    self.faults.append(f"{len(self.running)} limited jobs run at once")
            if kind == "scheduled" and time.time() < self.due[jid] - 0.002:
                self.faults.append(f"{jid} came before its time")
            if kind in ("complete", "success"):
                self._check_callback(kind, name)

    def _check_callback(self, kind: str, name: str) -> None:
        wanted = set(self.members[name]) | ({f"complete-{name}"} if kind == "success" else set())
        ended = self.ack_sent if kind == "success" else self.ack_sent.union(self.fail_sent)
        if not wanted <= ended:
            self.faults.append(f"{kind}-{name} came before {sorted(wanted - ended)[0]} had ended")

    def perform(self, client: WireClient, job: dict[str, Any]) -> None:
        """As `Load.perform`; some fail the first time."""
        jid = job["jid"]
        if jid.startswith("fails") and "failure" not in job:
            self.fail(client, jid)
            return
        if jid.startswith("limited"):
            time.sleep(WORK_SECONDS)
        self.says_done(jid)
        self.acknowledge(client, jid)

    def says_done(self, jid: str) -> None:
        """From now on the server may take a job for done."""
        with self.lock:
            self.ack_sent.add(jid)
            self.running.discard(jid)

    def fail(self, client: WireClient, jid: str) -> None:
        """FAIL, once: unanswered, it may have been carried out, and somebody else may have the job soon."""
        with self.lock:
            self.fail_sent.append(jid)
            self.held.pop(jid, None)
        assert client.fail(jid, errtype="E", message="m", retry_in=1) == "OK"
        with self.lock:
            self.fail_answered.append(jid)
