"""Load on a cluster, through whichever node answers, and the account of what must be true of it afterwards.

Producers take steps (a push, say), each again and again until it is answered, as a client with retries does: a push
whose connection broke is pushed again under the same jid, which may make two jobs of it, and that is counted apart.
Workers fetch, note whose job it is, and acknowledge.

What is held against them at the end: every jid that was answered `+OK` was fetched and done; no job was handed out
again after the `+OK` of its ACK, unless it had been pushed twice; and no job had two holders at a time. A job whose
FETCH was carried out and never answered comes back when its worker is gone for the cluster's `recover_after`: so a
worker whose connection broke and who holds nothing comes again under another name.
"""

import contextlib
import json
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from cluster.real import NodeProcess, RealCluster
from wire_client import WireClient, WireError

__all__ = ["Held", "Load", "Step"]

TROUBLE = (OSError, EOFError, WireError, AssertionError)

#: With so many jobs that are not done the producers wait: many rounds should not end with a long wait for the rest.
BACKLOG = 500
#: With so many a rest is due, so that a round which begins has room for some work; and so few end the rest.
TIRED = BACKLOG // 2
RESTED = BACKLOG // 10
#: A rest that is longer means that jobs do not come back, and is a failure. Most take half a minute: `recover_after`,
#: and then the throttled jobs that have piled up meanwhile, two at a time.
REST_SECONDS = 120.0

#: Something that a producer does until it is answered.
Step = Callable[[WireClient], None]


class Held(NamedTuple):
    """A job, and who was given it."""

    wid: str
    job: dict[str, Any]


class Load:
    """Some producers and workers, each in a thread."""

    #: What workers ask for.
    queues: tuple[str, ...] = ("default",)

    def __init__(
        self, cluster: RealCluster | None, *, producers: int = 2, workers: int = 2, pace: float = 0.002
    ) -> None:
        """Without a cluster it is the account alone."""
        self.cluster = cluster
        self.pace = pace
        self.stopping = threading.Event()
        self.draining = threading.Event()
        self.resting = threading.Event()
        self.lock = threading.Lock()
        self.accepted: set[str] = set()
        #: The steps of each producer that are not answered yet.
        self.open: dict[int, deque[Step]] = {}
        #: How often a push was sent, whatever came of it.
        self.sent: Counter[str] = Counter()
        self.fetched: Counter[str] = Counter()
        self.acked: Counter[str] = Counter()
        self.after_ack: list[str] = []
        self.held: dict[str, Held] = {}
        self.twice_held: list[str] = []
        self.errors: Counter[str] = Counter()
        #: How long nobody was answered, while there was something to say; at the end, or at rest, the workers wait for
        #: the jobs of those that are gone, which takes `recover_after`, and is no silence of the cluster's.
        self.longest_silence = 0.0
        self._last_ok = time.monotonic()
        self._count = 0
        #: What each worker is called now.
        self._names: dict[int, str] = {}
        self.producers = [self._thread(self._produce, number) for number in range(producers)]
        self.workers = [self._thread(self._work, number) for number in range(workers)]

    def _thread(self, run: Callable[[int], None], number: int) -> threading.Thread:
        return threading.Thread(target=self._guard, args=(run, number), daemon=True)

    def start(self) -> None:
        #: What the leader counted before: others may have left jobs there.
        self.before = self.info()
        for thread in (*self.producers, *self.workers):
            thread.start()

    def finish(self, within: float = 240.0) -> None:
        """No more pushes; the workers go on until nothing is left.

        A job whose workers have gone three times fails, and is tried again a minute later or so.
        """
        self.stopping.set()
        end = time.monotonic() + within
        for thread in self.producers:
            thread.join(max(end - time.monotonic(), 0))
        while time.monotonic() < end and not (self.is_done() and self.is_drained()):
            time.sleep(0.1)
        self.draining.set()
        for thread in (*self.producers, *self.workers):
            thread.join(20)

    def breathe(self, within: float = REST_SECONDS) -> float:
        """When much is left undone, wait until the jobs come back that were given out and never heard of.

        Each node that comes to lead gives the workers their time anew, so while one is killed every few seconds nobody
        is given up; and those jobs hold what is limited. Returns the seconds of rest, 0 when none was due.
        """
        if self.undone <= TIRED:
            return 0.0
        self.resting.set()
        began = time.monotonic()
        while self.undone > RESTED:
            rested = time.monotonic() - began
            assert rested < within, f"{self.undone} jobs are not done after {rested:.0f} s without a fault"
            time.sleep(0.1)
        with self.lock:
            self._last_ok = time.monotonic()
        self.resting.clear()
        return self._last_ok - began

    @property
    def undone(self) -> int:
        """How many jobs were accepted, and are not done."""
        return len(self.accepted) - len(self.acked)

    def is_done(self) -> bool:
        """Whether every accepted job was acknowledged."""
        with self.lock:
            return not self.accepted - self.acked.keys()

    def is_drained(self) -> bool:
        """Whether the cluster has none of these jobs any more, second copies included."""
        try:
            found = self.info()
        except TROUBLE:
            return False
        places = [(found[kind], self.before[kind]) for kind in ("queues", "sets")]
        return all(size <= before.get(name, 0) for now, before in places for name, size in now.items())

    def info(self) -> dict[str, Any]:
        """What the leader counts."""
        assert self.cluster is not None
        found: dict[str, Any] = json.loads(self.cluster.leader().say("INFO"))["faktory"]
        return found

    @property
    def twice(self) -> int:
        """How many jobs were done more often than once."""
        return self.acked.total() - len(self.acked)

    def check(self) -> None:
        """Everything that must be true."""
        lost = self.accepted - self.fetched.keys()
        undone = self.accepted - self.acked.keys()
        assert not lost, f"{len(lost)} acknowledged pushes lost: {sorted(lost)[:5]}"
        assert not undone, f"{len(undone)} jobs were never done: {sorted(undone)[:5]}"
        assert not self.after_ack, f"handed out again after their ACK: {self.after_ack[:5]}"
        assert not self.twice_held, f"held by two at once: {self.twice_held[:5]}"
        assert not self.open, "the producers did not come to an end"

    # Producers

    def _guard(self, run: Callable[[int], None], number: int) -> None:
        while not self.draining.is_set():
            try:
                run(number)
                return
            except TROUBLE as trouble:
                with self.lock:
                    self.errors[type(trouble).__name__] += 1
                time.sleep(0.05)

    def _connect(self, hello: dict[str, object]) -> WireClient:
        assert self.cluster is not None
        nodes = [node for node in self.cluster.nodes.values() if node.is_running]
        if not nodes:
            raise EOFError("all nodes are away")
        node: NodeProcess = random.choice(nodes)
        return WireClient(node.port, {"v": 2, **hello}, timeout=8, host=node.host)

    def _produce(self, number: int) -> None:
        client = self._connect({})
        with contextlib.closing(client):
            while number in self.open or not self.stopping.is_set():
                if number not in self.open:
                    is_too_much = self.undone > BACKLOG or self.resting.is_set()
                    if is_too_much and not self.stopping.is_set():
                        time.sleep(0.05)
                        continue
                    with self.lock:
                        self._count += 1
                        name = f"{number}-{self._count:08}"
                    self.open[number] = deque(self.plan(number, name))
                steps = self.open[number]
                while steps:
                    steps[0](client)
                    steps.popleft()
                    self._note_ok()
                del self.open[number]
                time.sleep(self.pace)

    def plan(self, number: int, name: str) -> list[Step]:  # noqa: ARG002 - others ask who it is
        """What a producer does next; no other steps have this name."""
        return [partial(self.push, name, {})]

    def push(self, jid: str, fields: dict[str, Any], client: WireClient) -> None:
        """A step: one push."""
        with self.lock:
            self.sent[jid] += 1
        assert client.push(jid, **{"reserve_for": 600, **fields}) == "OK"
        with self.lock:
            self.accepted.add(jid)

    # Workers

    def _work(self, number: int) -> None:
        with self.lock:
            mine = [held for held in self.held.values() if held.wid == self._names.get(number)]
            if not mine:
                # What it was given and never heard of comes back when nobody goes by its name any more.
                self._count += 1
                self._names[number] = f"worker-{number}-{self._count}"
            wid = self._names[number]
        ending = self.stopping.is_set() and not mine
        client = self._connect({"wid": wid, "hostname": "h", "pid": 1, "labels": []})
        with contextlib.closing(client):
            for held in mine:
                # Its ACK was not answered: it may have been done, and then this one changes nothing.
                self.perform(client, held.job)
            beat_at = 0.0
            while not self.draining.is_set():
                if self.stopping.is_set() and not ending:
                    raise EOFError("come again under another name")
                if time.monotonic() > beat_at:
                    client.command(b"BEAT " + json.dumps({"wid": wid}).encode())
                    beat_at = time.monotonic() + 5
                job = client.fetch(*self.queues)
                if job is not None:
                    self.took(wid, job)
                    self.perform(client, job)

    def took(self, wid: str, job: dict[str, Any]) -> None:
        """A worker was given a job."""
        jid = job["jid"]
        with self.lock:
            self.fetched[jid] += 1
            if self.acked[jid] >= self.sent[jid]:
                self.after_ack.append(jid)
            if jid in self.held and self.held[jid].wid != wid and self.sent[jid] == 1:
                self.twice_held.append(jid)
            self.held[jid] = Held(wid, job)

    def perform(self, client: WireClient, job: dict[str, Any]) -> None:
        """Do a job, and say so."""
        self.acknowledge(client, job["jid"])

    def acknowledge(self, client: WireClient, jid: str) -> None:
        """ACK."""
        assert client.ack(jid) == "OK"
        with self.lock:
            self.acked[jid] += 1
            self.held.pop(jid, None)
        self._note_ok()

    def _note_ok(self) -> None:
        now = time.monotonic()
        with self.lock:
            if not self.stopping.is_set() and not self.resting.is_set():
                self.longest_silence = max(self.longest_silence, now - self._last_ok)
            self._last_ok = now
