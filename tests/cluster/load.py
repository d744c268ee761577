"""Load on a cluster, through whichever node answers, and the account of what must be true of it afterwards.

Producers push jobs with jids of their own until each was answered `+OK`, as a client with retries does: a push whose
connection broke is pushed again under the same jid, which may make two jobs of it, and that is counted apart. Workers
fetch, note whose job it is, and acknowledge.

What is held against them at the end: every jid that was answered `+OK` was fetched and done; no job was handed out
again after the `+OK` of its ACK, unless it had been pushed twice; and no job had two holders at a time. A job whose
FETCH was carried out and never answered comes back when its worker is gone for the cluster's `recover_after`: so at the
end the workers come again under other names.
"""

import contextlib
import json
import random
import threading
import time
from collections import Counter

from cluster.real import NodeProcess, RealCluster
from wire_client import WireClient, WireError

__all__ = ["Load"]

TROUBLE = (OSError, EOFError, WireError, AssertionError)


class Load:
    """Some producers and workers, each in a thread."""

    def __init__(self, cluster: RealCluster, *, producers: int = 2, workers: int = 2, pace: float = 0.002) -> None:
        self.cluster = cluster
        self.pace = pace
        self.stopping = threading.Event()
        self.draining = threading.Event()
        self.lock = threading.Lock()
        self.accepted: set[str] = set()
        #: The push of each producer that is not answered yet.
        self.open: dict[int, str] = {}
        #: How often a push was sent, whatever came of it.
        self.sent: Counter[str] = Counter()
        self.fetched: Counter[str] = Counter()
        self.acked: Counter[str] = Counter()
        self.after_ack: list[str] = []
        self.held: dict[str, str] = {}
        self.twice_held: list[str] = []
        self.errors: Counter[str] = Counter()
        #: How long nobody was answered, while there was something to say; at the end the workers wait for the jobs of
        #: those that are gone, which takes `recover_after`, and is no silence of the cluster's.
        self.longest_silence = 0.0
        self._last_ok = time.monotonic()
        self.threads = [
            threading.Thread(target=self._guard, args=(run, number), daemon=True)
            for run, count in ((self._produce, producers), (self._work, workers))
            for number in range(count)
        ]

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def finish(self, within: float = 60.0) -> None:
        """No more pushes; the workers go on until nothing is left."""
        self.stopping.set()
        end = time.monotonic() + within
        while time.monotonic() < end:
            with self.lock:
                missing = self.accepted - self.acked.keys()
            if not missing:
                break
            time.sleep(0.1)
        self.draining.set()
        for thread in self.threads:
            thread.join(20)

    def check(self) -> None:
        """Everything that must be true."""
        lost = self.accepted - self.fetched.keys()
        undone = self.accepted - self.acked.keys()
        assert not lost, f"{len(lost)} acknowledged pushes lost: {sorted(lost)[:5]}"
        assert not undone, f"{len(undone)} jobs were never done: {sorted(undone)[:5]}"
        assert not self.after_ack, f"handed out again after their ACK: {self.after_ack[:5]}"
        assert not self.twice_held, f"held by two at once: {self.twice_held[:5]}"

    # Threads

    def _guard(self, run: object, number: int) -> None:
        while not self.draining.is_set():
            try:
                run(number)  # type: ignore[operator]
                return
            except TROUBLE as trouble:
                with self.lock:
                    self.errors[type(trouble).__name__] += 1
                time.sleep(0.05)

    def _connect(self, hello: dict[str, object]) -> WireClient:
        nodes = [node for node in self.cluster.nodes.values() if node.is_running]
        node: NodeProcess = random.choice(nodes)
        return WireClient(node.port, {"v": 2, **hello}, timeout=8, host=node.host)

    def _produce(self, number: int) -> None:
        client = self._connect({})
        with contextlib.closing(client):
            while not self.stopping.is_set():
                jid = self.open.setdefault(number, f"{number}-{self.sent.total():08}")
                with self.lock:
                    self.sent[jid] += 1
                assert client.push(jid, reserve_for=600) == "OK"
                with self.lock:
                    self.accepted.add(jid)
                del self.open[number]
                self._note_ok()
                time.sleep(self.pace)

    def _work(self, number: int) -> None:
        # Under its other name only when it holds nothing any more: what it has is acknowledged by who fetched it.
        with self.lock:
            holds = f"worker-{number}" in self.held.values()
        ending = self.stopping.is_set() and not holds
        wid = f"last-{number}" if ending else f"worker-{number}"
        client = self._connect({"wid": wid, "hostname": "h", "pid": 1, "labels": []})
        with contextlib.closing(client):
            with self.lock:
                mine = [jid for jid, holder in self.held.items() if holder == wid]
            for jid in mine:
                # Its ACK was not answered: it may have been done, and then this one changes nothing.
                self._acknowledge(client, jid)
            beat_at = 0.0
            while not self.draining.is_set():
                if self.stopping.is_set() and not ending:
                    raise EOFError("come again under another name")
                if time.monotonic() > beat_at:
                    client.command(b"BEAT " + json.dumps({"wid": wid}).encode())
                    beat_at = time.monotonic() + 5
                job = client.fetch("default")
                if job is None:
                    continue
                jid = job["jid"]
                with self.lock:
                    self.fetched[jid] += 1
                    if self.acked[jid] >= self.sent[jid]:
                        self.after_ack.append(jid)
                    if self.held.get(jid, wid) != wid and self.sent[jid] == 1:
                        self.twice_held.append(jid)
                    self.held[jid] = wid
                self._acknowledge(client, jid)

    def _acknowledge(self, client: WireClient, jid: str) -> None:
        assert client.command(b"ACK " + json.dumps({"jid": jid}).encode()) == "OK"
        with self.lock:
            self.acked[jid] += 1
            self.held.pop(jid, None)
        self._note_ok()

    def _note_ok(self) -> None:
        now = time.monotonic()
        with self.lock:
            if not self.stopping.is_set():
                self.longest_silence = max(self.longest_silence, now - self._last_ok)
            self._last_ok = now
