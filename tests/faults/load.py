"""A mixed load on a real server: jobs of every kind, batches, workers of every habit, operators.

Who uses limits, lanes, pauses, ends by time and the verbs of operators is in `features`; what all of them were told is
in the `ledger`; and the `laws` hold it against the server's files when it has died.
"""

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from faults.features import DAY, instant, operate, produce, work
from faults.ledger import Ledger
from wire_client import WireClient, WireError

__all__ = ["Load"]

PRODUCERS = WORKERS = 3
QUEUES = ("q0", "q1", "q2")


class Load:
    """Clients that run until they are stopped or the server is gone; `life` names their jobs."""

    def __init__(self, port: int, life: int, ledger: Ledger, *, keeps_history: bool = False) -> None:
        self.port, self.ledger = port, ledger
        self.stop = threading.Event()
        self.errors: list[BaseException] = []
        ledger.begin(keeps_history=keeps_history)
        targets: list[Callable[[], None]] = [partial(self._produce, f"r{life}p{n}") for n in range(PRODUCERS)]
        targets += [partial(self._work, f"r{life}w{n}") for n in range(WORKERS)]
        featured = [(produce, f"r{life}f"), (operate, f"r{life}o"), (work, "limited-0"), (work, "limited-1")]
        targets += [partial(actor, port, self.stop, ledger, name) for actor, name in featured]
        self.threads = [threading.Thread(target=self._run, args=(each,)) for each in targets]

    def start(self) -> None:
        """Let all clients begin."""
        for thread in self.threads:
            thread.start()

    def wait_for_pushes(self, count: int) -> None:
        """Let so many more jobs be pushed: a busy machine may take its time before the load is under way."""
        wanted, end = len(self.ledger.pushed) + count, time.monotonic() + 60
        while len(self.ledger.pushed) < wanted:
            assert time.monotonic() < end, "the load hardly runs"
            time.sleep(0.001)

    def join(self) -> None:
        """Let all clients end. Raises what went wrong in one of them."""
        self.stop.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()
        if self.errors:
            raise self.errors[0]

    def _run(self, target: Callable[[], None]) -> None:
        try:
            # The server was killed, perhaps in the middle of a reply,
            with suppress(OSError, EOFError, ValueError):
                target()
        except BaseException as error:
            # or told to stop, and refuses what comes now.
            if not isinstance(error, WireError) or "shutdown in progress" not in str(error):
                self.errors.append(error)

    def _produce(self, name: str) -> None:
        ledger, count, bid = self.ledger, 0, ""
        with WireClient(self.port) as client:
            while not self.stop.is_set():
                count += 1
                jid = f"{name}-{count:06d}"
                if count % 40 == 1:
                    callback = {"jobtype": "C", "args": [], "queue": "q0", "reserve_for": DAY}
                    wanted = {role: {"jid": f"{jid}-{role}", **callback} for role in ("success", "complete")}
                    bid = client.command(b"BATCH NEW " + json.dumps(wanted).encode()).decode()
                if count % 40 == 30:
                    assert client.command(b"BATCH COMMIT " + bid.encode()) == "OK"
                    ledger.committed.add(bid)
                self._push(client, jid, count, bid)
                if count % 40 == 35:
                    shown = json.loads(client.command(b"BATCH STATUS " + bid.encode()))
                    ledger.totals[bid] = max(shown["total"], ledger.totals.get(bid, 0))

    def _push(self, client: WireClient, jid: str, count: int, bid: str) -> None:
        custom: dict[str, object] = {}
        fields: dict[str, object] = {"queue": QUEUES[count % 3], "priority": 1 + count % 9, "reserve_for": DAY}
        fields["args"] = ["x" * (count % 300)]
        if count % 4 == 0:
            custom["bid"] = bid
        if count % 5 == 0:
            custom["track"] = 1
        if count % 7 == 0:
            custom["unique_for"], fields["args"] = 600, [count % 3]
        if count % 11 == 0:
            fields["at"] = instant(time.time() + (count % 5) * 0.05)
        if custom:
            fields["custom"] = custom
        try:
            client.push(jid, **fields)
        except WireError as error:
            if not str(error).startswith("NOTUNIQUE"):
                raise
            self.ledger.refused += 1
        else:
            self.ledger.pushed.add(jid)

    def _work(self, name: str) -> None:
        ledger, count = self.ledger, 0
        with WireClient(self.port, {"v": 2, "wid": name, "hostname": "h", "pid": 1, "labels": []}) as client:
            while not self.stop.is_set():
                job = client.fetch(*QUEUES)
                if job is None:
                    continue
                jid = job["jid"]
                ledger.fetched.add(jid)
                count += 1
                if count % 10 == 0:
                    continue  # this one stays leased
                ledger.let_go.add(jid)
                if count % 13 == 0:
                    client.fail(jid, errtype="E", message="m", retry_in=count % 2)
                elif count % 17 == 0:
                    client.command(b"REQUEUE " + json.dumps({"jid": jid}).encode())
                else:
                    result = {"result": count} if count % 3 == 0 else {}
                    sent = time.monotonic()
                    client.command(b"ACK " + json.dumps({"jid": jid, **result}).encode())
                    ledger.acknowledged(jid, sent)
