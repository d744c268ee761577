"""Throttles and those who wait: everyone who could have a job has it at once, and nobody is looked at for nothing."""

import json
from random import Random
from typing import Any

import pytest

from harness import Harness, Peer
from invariants import check_memory, check_store
from lineshaft.engine.settings import Settings, Throttle


def serving(**throttles: Throttle) -> Harness:
    return Harness(rules=Settings(throttles=throttles))


def push(peer: Peer, *jids: str, queue: str = "q") -> None:
    jobs = [{"jid": f"job-{jid}", "jobtype": "A", "args": [], "queue": queue} for jid in jids]
    assert peer.ask("PUSHB " + json.dumps(jobs)) == b"$2\r\n{}\r\n"


def job_in(reply: bytes) -> str | None:
    if not reply or reply == b"$-1\r\n":
        return None
    jid: str = json.loads(reply.partition(b"\r\n")[2])["jid"]
    return jid.removeprefix("job-")


class Counting:
    """How often the engine was asked for a job."""

    def __init__(self, harness: Harness) -> None:
        self.count = 0
        self.fetch = harness.server.engine.fetch
        harness.server.engine.fetch = self

    def __call__(self, names: Any, holder: str) -> bytes | None:
        self.count += 1
        return self.fetch(names, holder)


def test_a_crowd_whose_worker_is_at_its_limit_costs_an_arrival_nothing() -> None:
    harness = serving(q=Throttle(worker=1))
    producer = harness.connect()
    crowd = [harness.worker("w1", beats=False) for _ in range(300)]
    push(producer, "00001")
    assert job_in(crowd[0].ask("FETCH q")) == "00001"
    for peer in crowd:
        peer.send(b"FETCH q\r\n")
    other = harness.worker("w2", beats=False)
    asked = Counting(harness)
    push(producer, "00002")
    assert asked.count == 300, "each steps aside once"
    other.send(b"FETCH q\r\n")
    assert job_in(other.take()) == "00002"
    asked.count = 0
    for number in range(10, 20):
        push(producer, f"000{number}")
    assert asked.count <= 10, "and is then left alone"
    for number in range(10, 15):
        # The order in which they came, one for each slot that goes.
        producer.ask('ACK {"jid":"job-%s"}' % ("00001" if number == 10 else f"000{number - 1}"))
        assert job_in(crowd[number - 10].take()) == f"000{number}"
    assert asked.count <= 30


def test_a_slot_s_end_wakes_those_aside() -> None:
    harness = serving(q=Throttle(worker=1, timeout=900))
    producer, one, two = harness.connect(), harness.worker("w1"), harness.worker("w1")
    push(producer, "00001")
    assert job_in(one.ask("FETCH q")) == "00001"
    one.send(b"FETCH q\r\n")
    two.send(b"FETCH q\r\n")
    push(producer, "00002", "00003")
    harness.advance(0.899)
    assert (one.take(), two.take()) == (b"", b"")
    harness.advance(0.001)
    assert (job_in(one.take()), job_in(two.take())) == ("00002", None)
    harness.advance(0.9)
    assert job_in(two.take()) == "00003"


def test_slots_that_end_while_the_queue_is_empty_are_noticed() -> None:
    harness = serving(q=Throttle(worker=1, timeout=500))
    producer, one, two = harness.connect(), harness.worker("w1"), harness.worker("w2")
    push(producer, "00001", "00002")
    assert job_in(one.ask("FETCH q")) == "00001"
    harness.advance(0.1)
    assert job_in(two.ask("FETCH q")) == "00002"
    one.send(b"FETCH q\r\n")
    two.send(b"FETCH q\r\n")
    push(producer, "00003")
    three = harness.connect()
    assert job_in(three.ask("FETCH q")) == "00003"
    assert len(harness.server.waiters.aside["q"]) == 2
    harness.advance(0.45)
    one.leave()
    harness.advance(0.05)
    push(producer, "00004")
    assert job_in(two.take()) == "00004"


def test_waiting_for_a_token_costs_one_look() -> None:
    harness = serving(q=Throttle(rate=1, per=1500))
    producer, one, two = harness.connect(), harness.connect(), harness.connect()
    push(producer, "00001", "00002", "00003")
    assert job_in(one.ask("FETCH q")) == "00001"
    one.send(b"FETCH q\r\n")
    two.send(b"FETCH q\r\n")
    # By then all that was said is synced.
    harness.advance(1.2)
    asked, woken = Counting(harness), []
    wake = harness.server.wake
    harness.server.wake = lambda: (woken.append(harness.clock()), wake())  # type: ignore[method-assign]
    began = harness.clock()
    harness.advance(0.299)
    assert (asked.count, woken) == (0, [])
    harness.advance(0.001)
    assert job_in(one.take()) == "00002"
    assert (asked.count, woken) == (2, [began + 300]), "who got the token, and the next, who learns when there is one"
    harness.advance(0.499)
    assert (asked.count, len(woken)) == (2, 1)


def test_the_clock_is_set_back_while_somebody_waits() -> None:
    harness = serving(slots=Throttle(concurrency=1, timeout=1800), rate=Throttle(rate=1, per=1800))
    producer, one, two = harness.connect(), harness.connect(), harness.connect()
    for queue in ("slots", "rate"):
        push(producer, f"{queue}-1", f"{queue}-2", queue=queue)
    assert job_in(one.ask("FETCH slots")) == "slots-1"
    assert job_in(two.ask("FETCH rate")) == "rate-1"
    harness.advance(0.5)
    one.send(b"FETCH slots\r\n")
    two.send(b"FETCH rate\r\n")
    harness.advance(0.5)
    # An hour back; the shell sleeps on by a clock of its own, as the kernel's timers do.
    harness.clock.advance(seconds=-3600)
    assert harness.wake_at is not None
    harness.wake_at -= 3_600_000
    producer.ask("INFO")
    harness.advance(0.799)
    assert (one.take(), two.take()) == (b"", b"")
    harness.advance(0.001)
    assert (job_in(one.take()), job_in(two.take())) == ("slots-2", "rate-2")


def test_a_reload_wakes_those_who_wait() -> None:
    harness = serving(q=Throttle(worker=1), r=Throttle(rate=1, per=3_600_000))
    producer, one, two, three = harness.connect(), harness.worker("w1"), harness.worker("w1"), harness.connect()
    push(producer, "00001")
    push(producer, "00003", "00004", queue="r")
    assert job_in(one.ask("FETCH q")) == "00001"
    assert job_in(three.ask("FETCH r")) == "00003"
    two.send(b"FETCH q\r\n")
    three.send(b"FETCH r\r\n")
    push(producer, "00002")
    assert two.take() == b""
    assert "q" in harness.server.waiters.aside
    # As the daemon does on SIGHUP.
    harness.server.begin_turn()
    harness.server.engine.apply(Settings(throttles={"q": Throttle(worker=2)}))
    harness.server.need_turn()
    harness.settle()
    assert (job_in(two.take()), job_in(three.take())) == ("00002", "00004")


def test_a_flush_lets_those_aside_in_again() -> None:
    harness = serving(q=Throttle(worker=1))
    producer, one, two = harness.connect(), harness.worker("w1"), harness.worker("w1")
    push(producer, "00001", "00002")
    assert job_in(one.ask("FETCH q")) == "00001"
    two.send(b"FETCH q\r\n")
    push(producer, "00003")
    assert producer.ask("FLUSH") == b"+OK\r\n"
    push(producer, "00004")
    assert job_in(two.take()) == "00004"


def test_a_store_that_fails_takes_the_lease_and_its_slot_with_it() -> None:
    harness = serving(q=Throttle(worker=1, rate=2, per=3_600_000))
    producer, one, two = harness.connect(), harness.worker("w1"), harness.worker("w1")
    push(producer, "00001")
    assert job_in(one.ask("FETCH q")) == "00001"
    one.send(b"FETCH q\r\n")
    two.send(b"FETCH q\r\n")
    push(producer, "00002")
    assert "q" in harness.server.waiters.aside
    harness.store.fail_commit(harness.store.commits + 1, applied=False)
    assert producer.ask('ACK {"jid":"job-00001"}').startswith(b"-ERR storage failed")
    # The first in line had the job at once, and lost it again with the ACK that had freed its slot and its token.
    assert one.take().startswith(b"-ERR storage failed")
    assert two.take() == b""
    shown = next(harness.server.engine.views.throttles())
    assert (shown["held"], shown["tokens"]) == (1, 1)
    assert producer.ask('ACK {"jid":"job-00001"}') == b"+OK\r\n"
    assert job_in(two.take()) == "00002"


def test_a_job_whose_worker_has_gone_before_its_reply_frees_its_slot() -> None:
    harness = serving(q=Throttle(concurrency=1))
    producer, one, two = harness.connect(), harness.connect(), harness.connect()
    push(producer, "00001")
    two.send(b"FETCH none\r\n")
    assert one.session is not None
    one.session.receive(b"FETCH q\r\n")
    one.leave()
    assert job_in(producer.ask("FETCH q")) == "00001"
    check_store(harness.store)
    check_memory(harness.server.engine)


THROTTLES = {
    "many": Throttle(concurrency=3),
    "each": Throttle(worker=1),
    "slow": Throttle(rate=2, per=3000),
    "all": Throttle(concurrency=4, worker=2, timeout=2500, rate=5, per=4000),
}
QUEUES = [*THROTTLES, "free"]


@pytest.mark.parametrize("seed", range(12))
def test_nobody_waits_who_could_have_a_job(seed: int) -> None:
    """Random conversations: after each step no parked FETCH names a queue that would give it a job."""
    random = Random(seed)
    harness = serving(**THROTTLES)
    producer, jobs = harness.connect(), 0
    peers = [harness.worker(f"w{n % 3}") if n < 9 else harness.connect() for n in range(12)]
    held: list[tuple[Peer, str]] = []
    served = 0
    for _ in range(500):
        step = random.random()
        if step < 0.3:
            count = random.choice([1, 1, 1, 4])
            push(producer, *(f"{jobs + n:05d}" for n in range(count)), queue=random.choice(QUEUES))
            jobs += count
        elif step < 0.65:
            peer = random.choice(peers)
            assert peer.session is not None
            if peer.session.parked is None:
                names = random.sample(QUEUES, random.randint(1, 3))
                weighted = random.random() < 0.3
                said = " ".join(f"{name}:{random.randint(1, 9)}" if weighted else name for name in names)
                peer.send(f"FETCH {said}\r\n".encode())
        elif step < 0.85 and held:
            peer, jid = held.pop(random.randrange(len(held)))
            verb = random.choice(["ACK", "ACK", "FAIL", "REQUEUE"])
            producer.ask(f'{verb} {{"jid":"job-{jid}"}}')
        elif step < 0.88:
            index = random.randrange(9, 12)
            peers[index].leave()
            held = [(peer, jid) for peer, jid in held if peer is not peers[index]]
            peers[index] = harness.connect()
        elif step < 0.9:
            name = random.choice(QUEUES)
            producer.ask(f"QUEUE PAUSE {name}")
            producer.ask(f"QUEUE RESUME {name}")
        elif step < 0.91:
            producer.ask(f"QUEUE REMOVE {random.choice(QUEUES)}")
        else:
            harness.advance(random.choice([0.001, 0.3, 1.0, 1.9]))
        for peer in peers:
            while peer.received:
                reply, _, rest = peer.received.partition(b"\r\n")
                if reply != b"$-1":
                    reply, _, rest = peer.received.partition(b"}\r\n")
                    held.append((peer, job_in(reply + b"}") or ""))
                    served += 1
                peer.received = rest
        nobody_could_have_a_job(harness)
    assert served > 80
    check_store(harness.store)
    check_memory(harness.server.engine)


def nobody_could_have_a_job(harness: Harness) -> None:
    state = harness.server.engine.state
    waiters = harness.server.waiters
    for session in waiters.all():
        for name in session.parked or ():
            queue = state.queues.by_name.get(name)
            if queue is not None and queue.size and not queue.paused:
                gate = queue.gate
                assert gate is not None, f"{session.holder!r} waits for {name}, which is open"
                open_to = not gate.is_full() and not gate.holds_back(session.holder)
                assert not (open_to and (gate.bucket is None or gate.bucket.has_token(state.now))), name
    for name, lines in waiters.aside.items():
        gate = state.throttles.gates[name]
        for holder in lines:
            in_line = any(session.holder == holder for session in waiters.by_queue.get(name, ()))
            # What has eased is only looked at when there is a job to hand out.
            eased = (name, holder) in state.throttles.eased
            assert gate.holds_back(holder) or in_line or eased, f"{holder} stands aside of {name} for nothing"
    for gate in state.throttles.gates.values():
        assert len(gate.slots) <= (gate.limits.concurrency or 1 << 30)
        assert all(count <= (gate.limits.worker or 1 << 30) for count in gate.by_holder.values())
