"""The part of the load that uses what has rules of its own: limits, lanes, pauses, ends by time, and what operators do.

| actor | does |
| --- | --- |
| `produce` | pushes into the queues with lanes, strict lanes, a throttle, a pause; some jobs expire soon, some late |
| `work` | has several jobs in hand at once; ends, fails, gives back; lives on under its wid, and says what it holds |
| `operate` | cancels, mutates, removes, pauses and resumes, with jobs of its own, whose places it knows exactly |
| the server itself | pushes the runs of two periodic jobs |
"""

import json
import time
from collections.abc import Iterable
from random import Random
from threading import Event
from typing import Any

from faults.ledger import Ledger, Place
from wire_client import WireClient, WireError

__all__ = [
    "CONFIG",
    "DAY",
    "HISTORY",
    "LANE",
    "PER_SECONDS",
    "RATE",
    "THROTTLED",
    "instant",
    "operate",
    "produce",
    "work",
]

#: A loop of a thousand kills is longer than the half hour that a job is reserved for by default.
DAY = 86_400

#: How many jobs of the throttled queue, and of each lane of `lanes`, run at once.
THROTTLED, LANE = 2, 2
#: So many of the throttled queue begin in that time: fewer than would, so that it matters what a kill leaves of it.
RATE, PER_SECONDS = 16, 8

#: The workers say what they hold, and are away between two lives of the server, which may be long on a busy machine.
CONFIG = f"""
[workers]
recover_after = "1d"
[throttles]
narrow = {{ concurrency = {THROTTLED}, rate = {RATE}, per = "{PER_SECONDS}s" }}
[queues.lanes]
lane_by = "tenant"
lane_concurrency = {LANE}
[queues.strict]
lane_by = "tenant"
lane_order = "strict"
[[cron]]
name = "often"
schedule = "* * * * * *"
catch_up = "once"
[cron.job]
type = "Often"
queue = "often"
reserve_for = "1d"
[[cron]]
name = "halted"
schedule = "* * * * * *"
[cron.job]
type = "Often"
queue = "often"
reserve_for = "1d"
"""

#: In addition, for some lives: with it an ACK takes another way through the server.
HISTORY = '[history]\ncompleted = "20s"\n'

WORKED = "narrow:6 lanes:3 strict:3 paused:2 often:2"


def instant(moment: float) -> str:
    """Seconds since the epoch, as a job has them."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f".{int(moment * 1000) % 1000:03d}Z"


# Producers


def produce(port: int, stop: Event, ledger: Ledger, name: str) -> None:
    """Push until it is stopped."""
    count = 0
    with WireClient(port) as client:
        while not stop.is_set():
            count += 1
            jid = f"{name}-{count:06d}"
            custom: dict[str, Any] = {"tenant": "ab"[count % 2]}
            fields = {"queue": ("lanes", "narrow", "strict", "narrow", "paused")[count % 5], "reserve_for": DAY}
            if count % 7 == 0:
                custom["track"] = 1
            if count % 8 == 0:
                custom["expires_in"] = DAY
            if count % 6 == 0:
                moment = time.time() + (count % 4) * 0.05
                custom["expires_at"] = instant(moment)
                ledger.expires[jid] = moment
            client.push(jid, **fields, custom=custom)
            if jid not in ledger.expires:
                ledger.pushed.add(jid)


# Workers


def work(port: int, stop: Event, ledger: Ledger, name: str) -> None:
    """Fetch and end, with up to four jobs in hand; the name is the wid of all lives."""
    chance = Random(f"{name}/{len(ledger.fetched)}")
    with WireClient(port, {"v": 2, "wid": name, "hostname": "h", "pid": 1, "labels": []}) as client:
        hand, limited = _say_what_it_holds(client, ledger, name), set[str]()
        while not stop.is_set():
            if len(hand) >= chance.randint(3, 4):
                # Those that few may have at once are kept longer, so that their limits are often reached.
                others = [jid for jid in hand if jid not in limited]
                _end(client, ledger, hand, chance.choice(others if others and chance.random() < 0.7 else hand), chance)
            if (job := _fetch(client, ledger)) is not None:
                hand.append(job["jid"])
                ledger.fetched.add(job["jid"])
                if job["queue"] in {"narrow", "lanes"}:
                    limited.add(job["jid"])
            elif hand:
                _end(client, ledger, hand, hand[0], chance)


def _say_what_it_holds(client: WireClient, ledger: Ledger, name: str) -> list[str]:
    """All but one have been lost with it; and it never knew of those whose reply did not come."""
    hand = ledger.in_hand.setdefault(name, [])
    ledger.let_go.update(hand[1:])
    del hand[1:]
    said = int(time.time() * 1000)
    client.command(b"BEAT " + json.dumps({"wid": name, "holding": hand}).encode())
    ledger.named[name] = (said, frozenset(hand))
    ledger.seen["holding"] += 1
    return hand


def _fetch(client: WireClient, ledger: Ledger) -> dict[str, Any] | None:
    """Ask, and hold what comes against what is known of it."""
    # How often it was switched first: whatever comes between the two looks is seen as one more.
    asked, switches, was_paused = (time.time(), time.monotonic()), ledger.switches, ledger.is_paused
    job = client.fetch(*WORKED.split())
    if job is None:
        return None
    jid, queue = job["jid"], job["queue"]
    if queue == "narrow":
        ledger.starts.append((asked[1], time.monotonic()))
    if queue == "paused" and was_paused and switches == ledger.switches:
        ledger.faults.append(f"{jid} came from a paused queue")
    # The server's clock stands still in a turn.
    if ledger.expires.get(jid, asked[0]) < asked[0] - 0.1:
        ledger.faults.append(f"{jid} was fetched {asked[0] - ledger.expires[jid]:.3f} s after it had expired")
    ledger.seen[f"fetched from {queue}"] += 1
    return job


def _end(client: WireClient, ledger: Ledger, hand: list[str], jid: str, chance: Random) -> None:
    hand.remove(jid)
    ledger.let_go.add(jid)
    told, draw = json.dumps({"jid": jid}).encode(), chance.random()
    if draw < 0.1:
        client.fail(jid, errtype="E", message="m", retry_in=1)
    elif draw < 0.2:
        client.command(b"REQUEUE " + told)
    else:
        sent = time.monotonic()
        client.command(b"ACK " + told)
        ledger.acknowledged(jid, sent)


# Operators


def operate(port: int, stop: Event, ledger: Ledger, name: str) -> None:
    """One thing after the other, in another order each time, so that a kill falls into each."""
    chance = Random(name)
    with WireClient(port) as client:
        operator = Operator(client, ledger, name)
        operator.clear()
        acts = [operator.cancel, operator.cancel_held, operator.mutate, operator.remove, operator.pause, operator.halt]
        while not stop.is_set():
            for act in chance.sample(acts, len(acts)):
                act()
                ledger.seen[act.__name__] += 1


class Operator:
    """Its jobs lie in queues that nobody else works on: `kept`, `own` and `removed`."""

    def __init__(self, client: WireClient, ledger: Ledger, name: str) -> None:
        self.client, self.ledger, self.name = client, ledger, name
        self.count = 0

    def clear(self) -> None:
        """What those before it have left behind goes, wherever it is."""
        kept = [jid for jid in self.ledger.places if "-kept-" in jid]
        for target in ("scheduled", "dead"):
            self._mutate("clear", target, {"queue": "kept"}, kept, None)
        self._mutate("clear", "queue:kept", {}, kept, "gone")

    def cancel(self) -> None:
        """A job that waits."""
        later, ready = self._push("kept", 1, at=instant(time.time() + DAY)) + self._push("kept", 1)
        self._order(b"CANCEL " + json.dumps({"jid": later}).encode(), [later], "gone")
        self._order(b"CANCEL " + json.dumps({"jid": ready}).encode(), [ready], "gone")

    def cancel_held(self) -> None:
        """A job that it holds: it is flagged, and gone when it fails."""
        ledger = self.ledger
        self._push("own", 2)
        for fails in (False, True):
            # One of them, and which is not known before there is a reply.
            ledger.places |= dict.fromkeys(self._left("own"))
            job = self.client.fetch("own")
            assert job is not None
            jid = job["jid"]
            self._order(b"CANCEL " + json.dumps({"jid": jid}).encode(), [jid], "flagged")
            if fails:
                ledger.places[jid] = None
                self.client.fail(jid)
                ledger.places[jid] = "gone"

    def mutate(self) -> None:
        """Out of the set, into another, into the queue, and out of that."""
        jids = self._push("kept", 6, at=instant(time.time() + DAY))
        self._mutate("discard", "scheduled", {"jids": jids[:1]}, jids[:1], "gone")
        self._mutate("kill", "scheduled", {"jids": jids[1:3]}, jids[1:3], "dead")
        self._mutate("requeue", "scheduled", {"text": jids[3]}, jids[3:4], "ready")
        self._mutate("requeue", "dead", {"jids": jids[2:3]}, jids[2:3], "ready")
        self._mutate("clear", "queue:kept", {"regexp": f'*"{jids[2]}"*'}, jids[2:3], "gone")
        self._mutate("clear", "dead", {"jids": jids[1:2]}, jids[1:2], "gone")

    def remove(self) -> None:
        """A queue with jobs, which is there again with the next push."""
        jids = self._push("removed", 3)
        self._order(b"QUEUE REMOVE removed", [*jids, *self._left("removed")], "gone")

    def pause(self) -> None:
        """A queue, until the next time."""
        ledger, is_paused = self.ledger, not self.ledger.is_paused
        ledger.is_paused = None
        ledger.switches += 1
        self.client.command(f"QUEUE {'PAUSE' if is_paused else 'RESUME'} paused".encode())
        ledger.is_paused = is_paused

    def halt(self) -> None:
        """A periodic job, until the next time; and another runs now."""
        ledger, is_halted = self.ledger, not self.ledger.is_halted
        self.client.command(b"CRON RUN often")
        ledger.is_halted = None
        self.client.command(f"CRON {'PAUSE' if is_halted else 'RESUME'} halted".encode())
        ledger.is_halted = is_halted

    def _left(self, queue: str) -> list[str]:
        """Jobs of those before it that may still lie in this queue."""
        there = {None, "ready"}
        return [jid for jid, place in self.ledger.places.items() if f"-{queue}-" in jid and place in there]

    def _push(self, queue: str, count: int, **fields: Any) -> list[str]:
        jids = []
        for _ in range(count):
            self.count += 1
            jids.append(f"{self.name}-{queue}-{self.count:05d}")
            self.ledger.places[jids[-1]] = None
            self.client.push(jids[-1], queue=queue, reserve_for=DAY, **fields)
            self.ledger.places[jids[-1]] = "scheduled" if fields else "ready"
        return jids

    def _mutate(self, command: str, target: str, matching: dict[str, Any], jids: Iterable[str], place: Place) -> None:
        line = json.dumps({"cmd": command, "target": target, "filter": matching})
        self._order(f"MUTATE {line}".encode(), jids, place)

    def _order(self, line: bytes, jids: Iterable[str], place: Place) -> None:
        """Say what moves these jobs."""
        moved = list(jids)
        self.ledger.places |= dict.fromkeys(moved)
        reply = self.client.command(line)
        if reply != "OK":
            raise WireError(reply)
        self.ledger.places |= dict.fromkeys(moved, place)
