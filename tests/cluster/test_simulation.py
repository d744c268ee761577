"""A cluster on a simulated network: whatever is cut, paused, killed, late or lost, what was acknowledged is kept.

Each seed is one play on three nodes with whole servers, one log and one clock. A request to the log may be lost, may
arrive and never be answered, may arrive long after its node gave up on it, in any order, and after the log has
forgotten which requests it has seen. So two nodes often think that they lead, and late appends meet sequences that
somebody else's have made right again. `LINESHAFT_CLUSTER_SEEDS` says how many seeds are played.
"""

import json
import os
import random
from collections import Counter

import pytest

from cluster.box import Box, NodeBox
from cluster.test_node import rows
from harness import Peer
from invariants import check_store
from lineshaft.cluster.fold import Fold, Verdict
from lineshaft.cluster.group import LogGroup
from lineshaft.cluster.node import Node
from lineshaft.cluster.presence import Role
from lineshaft.cluster.record import Record
from lineshaft.engine.keys import POSITION_KEY
from lineshaft.store.memory import MemoryStore

SEEDS = int(os.environ.get("LINESHAFT_CLUSTER_SEEDS", "20"))
STEPS = 120


class Client:
    """A connection that says one thing at a time, and what it has been promised."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.peer: Peer | None = None
        self.asked: tuple[str, str] | None = None


class Play:
    """One seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.box = Box(limit_bytes=self.chance.choice([3000, 1 << 20]))
        self.clients = [Client(f"client-{number}") for number in range(4)]
        self.count = 0
        self.sent: Counter[str] = Counter()
        self.accepted: set[str] = set()
        self.fetched: Counter[str] = Counter()
        self.acked: set[str] = set()
        #: Its ACK was answered, or may have been carried out.
        self.perhaps_acked: set[str] = set()
        self.held: dict[str, str] = {}

    def step(self) -> None:
        """Something happens."""
        node = self.chance.choice(list(self.box.nodes.values()))
        what = self.chance.choices(
            ["say", "pass", "long", "cut", "mend", "deaf", "late", "pause", "wake", "kill", "start", "forget", "hand"],
            [40, 20, 3, 3, 6, 2, 6, 2, 5, 2, 5, 1, 1],
        )[0]
        if what == "say":
            for client in self.clients:
                self.say(client)
            self.settle()
        elif what == "pass":
            self.pass_time(self.chance.choice([0.1, 0.3, 1.0]))
        elif what == "long":
            self.pass_time(4)
        elif what == "cut":
            node.is_cut = True
        elif what == "mend":
            node.is_cut = node.is_deaf = node.is_dead
        elif what == "deaf":
            node.is_deaf = True
        elif what == "late" and node.late:
            self.chance.shuffle(node.late)
            for _ in range(self.chance.randint(1, len(node.late))):
                node.late.pop().arrive()
        elif what == "pause":
            node.is_paused = True
        elif what == "wake" and not node.is_dead:
            node.is_paused = False
        elif what == "kill":
            self.kill(node)
        elif what == "start" and node.is_dead:
            late = node.late
            fresh = MemoryStore() if self.chance.random() < 0.2 else None
            self.box.start(node.name, fresh).late = late
        elif what == "forget":
            self.box.log.forget_identities()
        elif what == "hand" and node.node.role is Role.LEADER:
            node.node.hand_over(self.chance.choice("abc"))

    def kill(self, node: NodeBox) -> None:
        """The process is gone. What it had asked of the log may still arrive."""
        node.late += node.link.requests + node.board.requests
        node.link.requests.clear()
        node.board.requests.clear()
        self.box.kill(node.name)
        node.is_dead = True
        for client in self.clients:
            if client.peer is not None and client.peer.harness is node:
                self.broken(client)

    def say(self, client: Client) -> None:
        """The next command, or a new connection."""
        if client.asked is not None:
            return
        if client.peer is None or client.peer.closed:
            leaders = [one for one in self.box.nodes.values() if one.node.role is Role.LEADER and not one.is_paused]
            if not leaders:
                return
            node = self.chance.choice(leaders)
            client.peer = Peer(node)
            client.peer.session = node.server.accept(client.peer)
            hello = {"v": 2, "wid": client.name, "hostname": "h", "pid": 1, "labels": []}
            client.asked = ("HELLO", "")
            client.peer.send(b"HELLO " + json.dumps(hello).encode() + b"\r\n")
            return
        mine = [jid for jid, holder in self.held.items() if holder == client.name]
        if mine and self.chance.random() < 0.7:
            self.perhaps_acked.add(mine[0])
            self.ask(client, "ACK", mine[0], json.dumps({"jid": mine[0]}))
        elif self.chance.random() < 0.5:
            self.ask(client, "FETCH", "", "default")
        else:
            self.count += 1
            jid = f"job-{self.count:06}"
            self.sent[jid] += 1
            size = self.chance.choice([1, 1, 1, 5000])
            job = {"jid": jid, "jobtype": "T", "args": ["x" * size], "reserve_for": 600}
            if self.chance.random() < 0.2:
                job["custom"] = {"unique_for": 100, "unique_until": "start"}
            self.ask(client, "PUSH", jid, json.dumps(job))

    def ask(self, client: Client, verb: str, jid: str, argument: str) -> None:
        """Say it; the reply comes when it comes."""
        assert client.peer is not None
        client.asked = (verb, jid)
        client.peer.send(f"{verb} {argument}\r\n".encode())

    def settle(self) -> None:
        """Let everything happen that can happen now, and hear what came of it."""
        self.box.settle()
        for client in self.clients:
            self.hear(client)

    def pass_time(self, seconds: float) -> None:
        """Time passes; the clients hear what comes meanwhile."""
        self.box.advance(seconds)
        for client in self.clients:
            self.hear(client)

    def hear(self, client: Client) -> None:
        """What came back."""
        peer = client.peer
        if peer is None:
            return
        received = peer.take()
        if received.startswith(b"+HI"):
            received = received.partition(b"\r\n")[2]
        if client.asked is not None and received:
            verb, jid = client.asked
            client.asked = None
            self.heard(client, verb, jid, received)
        if peer.closed:
            self.broken(client)

    def heard(self, client: Client, verb: str, jid: str, reply: bytes) -> None:
        """A command was answered: hold it against all that were answered before."""
        if reply.startswith(b"-"):
            return
        if verb == "PUSH":
            assert reply == b"+OK\r\n"
            self.accepted.add(jid)
        elif verb == "ACK":
            assert reply == b"+OK\r\n"
            self.acked.add(jid)
            self.held.pop(jid, None)
        elif verb == "FETCH" and reply.startswith(b"$") and not reply.startswith(b"$-1"):
            jid = json.loads(reply.partition(b"\r\n")[2])["jid"]
            assert jid in self.sent
            assert jid not in self.acked, f"{jid} was handed out after its ACK was answered"
            assert self.held.get(jid, client.name) == client.name, f"{jid} is in two hands"
            self.fetched[jid] += 1
            self.held[jid] = client.name

    def broken(self, client: Client) -> None:
        """The connection is gone."""
        client.peer, client.asked = None, None

    def end(self) -> None:
        """Everything is mended: what is left is done, and all that must hold is looked at."""
        box = self.box
        for node in list(box.nodes.values()):
            node.is_cut = node.is_deaf = node.is_paused = False
            if node.is_dead:
                late = node.late
                box.start(node.name).late = late
        self.pass_time(12)
        for node in box.nodes.values():
            for request in node.late:
                request.arrive()
            assert not node.failures, node.failures
        self.pass_time(12)
        leader = box.leader()
        # Reservations and locks end, and so do the retries that follow; those who held them are gone.
        self.held.clear()
        box.clock.now += 3_600_000
        self.pass_time(90)
        leader = box.leader()
        self.drain(leader)
        lost = self.accepted - self.fetched.keys() - self.perhaps_acked
        assert not lost, f"acknowledged and lost: {sorted(lost)}"
        box.advance(3)
        found = [
            {key: value for key, value in rows(node).items() if key != POSITION_KEY} for node in box.nodes.values()
        ]
        assert all(one == found[0] for one in found)
        check_store(leader.server.store)

    def drain(self, leader: NodeBox) -> None:
        """Fetch and acknowledge until nothing is left."""
        peer = leader.connect('{"v":2,"wid":"the-last","hostname":"h","pid":1,"labels":[]}')
        for _ in range(10_000):
            peer.ask("FETCH default")
            self.box.settle()
            reply = peer.take()
            if not reply:
                break
            self.heard(Client("the-last"), "FETCH", "", reply)
            jid = next(iter(self.held))
            peer.ask("ACK " + json.dumps({"jid": jid}))
            self.box.settle()
            self.heard(Client("the-last"), "ACK", jid, peer.take())


@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
def test_whatever_happens_nothing_acknowledged_is_lost(seed: int) -> None:
    play = Play(seed)
    play.box.leader()
    for _ in range(STEPS):
        play.step()
    play.end()


def counts_everything(self: Fold, sequence: int, record: Record | None) -> Verdict:
    """As if the expected sequence alone kept a former leader out."""
    self.sequence = sequence
    if record is None:
        return Verdict.SKIPPED
    if record.number == 0:
        self.epoch, self.number, self.parts = record.epoch, 0, []
        return Verdict.EPOCH
    self.parts.append(record.body)
    return Verdict.PART if record.more else Verdict.WHOLE


def counts_any_number(self: Fold, sequence: int, record: Record | None) -> Verdict:
    """As if the expected sequence alone kept the entries of an epoch in order."""
    self.sequence = sequence
    if record is None or record.epoch < self.epoch or (record.number == 0 and record.epoch == self.epoch):
        return Verdict.SKIPPED
    if record.number == 0:
        self.epoch, self.number, self.parts = record.epoch, 0, []
        return Verdict.EPOCH
    self.number = record.number
    self.parts.append(record.body)
    return Verdict.PART if record.more else Verdict.WHOLE


DEFECTS: dict[str, tuple[type, str, object]] = {
    "entries of a former leader count": (Fold, "take", counts_everything),
    "numbers mean nothing": (Fold, "take", counts_any_number),
    "replies do not wait for the log": (LogGroup, "owes", lambda _: False),
    "a leader without a majority goes on for ever": (Node, "step_down", lambda *_: None),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_found(defect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*DEFECTS[defect])
    for seed in range(1, 80):
        play = Play(seed)
        try:
            play.box.leader()
            for _ in range(STEPS):
                play.step()
            play.end()
        except Exception:
            return
    pytest.fail("nobody noticed")
