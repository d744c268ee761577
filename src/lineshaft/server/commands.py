"""The verbs: each parses its argument, calls the engine, returns its reply. All of them stand in one table at the end.

`session.durable = True` stands before every reply that promises, or reveals, a change that must survive a power
cut. FETCH, a plain BEAT and a plain ACK need none: at-least-once covers them.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from lineshaft.engine.features.batching import Wanted
from lineshaft.engine.retry import Report
from lineshaft.engine.search.filter import EVERYTHING, Filter
from lineshaft.errors import PeerError, Refusal
from lineshaft.fields import instant_of
from lineshaft.job import Job, decode_pushed, decode_pushed_list
from lineshaft.lifecycle import WorkerState
from lineshaft.protocol.admin import Filter as SentFilter
from lineshaft.protocol.admin import parse_cron, parse_mutate
from lineshaft.protocol.commands import (
    Batch,
    parse_ack,
    parse_batch,
    parse_beat,
    parse_cancel,
    parse_fail,
    parse_requeue,
    parse_track,
)
from lineshaft.protocol.handshake import parse_hello
from lineshaft.protocol.queues import parse_fetch, parse_queue
from lineshaft.protocol.resp import OK, bulk
from lineshaft.server.admin import adopt, backup, inspect, signal
from lineshaft.server.cluster import cluster
from lineshaft.server.delivery import await_chore, deliver, finish_chores, park
from lineshaft.server.info import info_of

if TYPE_CHECKING:
    from lineshaft.server.session import Session

__all__ = ["COMMANDS", "HANDSHAKE", "Verb", "push_all"]

Verb = Callable[["Session", bytes], bytes | None]
"""Session and argument to the reply; None when it comes later, or not at all."""

EMPTY_MAP: Final = bulk(b"{}")

#: A job up to this size is not counted towards its session's share of a turn: as many as one read can ask for fit.
SMALL_BYTES: Final = 1024


def hello(session: "Session", argument: bytes) -> bytes | None:
    """HELLO: who is there, and does it know the password. Anything else ends the connection."""
    server = session.server
    greeting = parse_hello(b"HELLO " + argument, server.settings.most_labels)
    if server.stopping:
        raise PeerError("shutdown in progress")
    session.rights = server.users.admit(session, greeting, server.settings)
    if greeting.wid:
        try:
            session.worker = server.engine.connect(
                greeting.wid, greeting.hostname or "", greeting.pid or 0, tuple(greeting.labels or ())
            )
        except Refusal as refusal:
            raise PeerError(str(refusal)) from None
        session.holder = greeting.wid
        server.join(session)
    session.learns_cancels = CANCEL_FEATURE in (greeting.features or ())
    session.verbs = server.verbs_of(session)
    session.lines.limit_bytes = server.settings.line_limit_bytes
    return OK


def push(session: "Session", argument: bytes) -> bytes | None:
    """PUSH {job}"""
    server = session.server
    engine = server.engine
    engine.push(decode_pushed(argument))
    session.durable = True
    if engine.state.arrivals:
        deliver(server)
    return OK


def push_bulk(session: "Session", argument: bytes) -> bytes | None:
    """PUSHB [{job},...]"""
    return push_all(session, decode_pushed_list(argument), {})


def push_all(session: "Session", jobs: list[Job], errors: dict[str, str]) -> bytes:
    """Push many, beside what is wrong with others already."""
    server = session.server
    errors |= server.engine.push_bulk(jobs)
    session.durable = True
    if server.engine.state.arrivals:
        deliver(server)
    return bulk(msgspec.json.encode(errors)) if errors else EMPTY_MAP


def fetch(session: "Session", argument: bytes) -> bytes | None:
    """FETCH q1 q2 ...: the next job, or a null after two seconds."""
    server = session.server
    if argument != session.fetch_argument:
        _name_queues(session, argument)
    worker = session.worker
    if worker is not None:
        worker.heard_at = server.engine.state.now
        if worker.state is not WorkerState.RUNNING:
            park(server, session, [])
            return None
    payload = server.engine.fetch(session.fetch_order, session.holder)
    if payload is None:
        park(server, session, session.fetch_names)
        return None
    size = len(payload)
    if size > SMALL_BYTES:
        session.count_unsent(size)
    return b"$%d\r\n%b\r\n" % (size, payload)


def _name_queues(session: "Session", argument: bytes) -> None:
    if not argument:
        raise Refusal("must call fetch with at least one queue")
    session.fetch_names, weights = parse_fetch(argument)
    session.fetch_order = session.fetch_names if weights is None else session.server.engine.weigh(weights)
    session.fetch_argument = argument


def ack(session: "Session", argument: bytes) -> bytes | None:
    """ACK {"jid"}: a job is done; an unknown one too."""
    message = parse_ack(argument)
    if message.result is msgspec.UNSET or bytes(message.result) == b"null":
        session.server.engine.ack(message.jid, session.holder)
    else:
        session.server.engine.ack_with_result(message.jid, session.holder, bytes(message.result))
        session.durable = True
    return OK


def fail(session: "Session", argument: bytes) -> bytes | None:
    """FAIL {"jid","errtype","message","backtrace"}"""
    failure = parse_fail(argument)
    report = Report(failure.errtype or "", failure.message or "", failure.backtrace or None, failure.retry_in)
    session.server.engine.fail(failure.jid, session.holder, report)
    session.durable = True
    return OK


def requeue(session: "Session", argument: bytes) -> bytes | None:
    """REQUEUE {"jid","in"}: a worker gives a job back, no retry burned."""
    message = parse_requeue(argument)
    session.server.engine.requeue(message.jid, session.holder, message.wait)
    session.durable = True
    deliver(session.server)
    return OK


def cancel(session: "Session", argument: bytes) -> bytes | None:
    """CANCEL {"jid"}: a job is not to run any more."""
    session.server.engine.cancel(parse_cancel(argument))
    session.durable = True
    return OK


def track(session: "Session", argument: bytes) -> bytes | None:
    """TRACK GET jid, or TRACK SET {"jid","percent","desc","reserve_until"}. Both replies are durable."""
    message = parse_track(argument)
    engine = session.server.engine
    session.durable = True
    if isinstance(message, str):
        reply = bulk(msgspec.json.encode(engine.track_get(message)))
        session.count_unsent(len(reply))
        return reply
    engine.track_set(
        message.jid,
        session.holder,
        percent=message.percent,
        desc=message.desc,
        reserve_until=message.reserve_until,
    )
    return OK


def batch(session: "Session", argument: bytes) -> bytes | None:
    """BATCH NEW {...}, or BATCH OPEN|COMMIT|STATUS bid. Every reply is durable: it promises, or it reveals."""
    subcommand, message = parse_batch(argument)
    engine = session.server.engine
    session.durable = True
    if isinstance(message, Batch):
        wanted = Wanted(message.parent_bid, message.description, message.complete, message.success, message.death)
        bid = engine.batch_new(wanted)
        deliver(session.server)
        return bulk(bid.encode())
    if subcommand == "STATUS":
        return bulk(msgspec.json.encode(engine.batch_status(message)))
    if subcommand == "OPEN":
        engine.batch_open(message)
        return bulk(message.encode())
    engine.batch_commit(message)
    deliver(session.server)
    return OK


def beat(session: "Session", argument: bytes) -> bytes | None:
    """BEAT {"wid","rss_kb","current_state","holding"}"""
    message = parse_beat(argument)
    if message.holding is not None and message.wid != session.holder:
        raise Refusal("a worker says for itself alone what it is holding")
    said = WORKER_STATES.get(message.current_state or "")
    engine = session.server.engine
    state = engine.beat(message.wid or "", message.rss_kb or 0, said)
    if message.holding is not None:
        _reconcile(session, message.holding)
    if session.learns_cancels and (jids := engine.cancelled(message.wid or "")):
        reply = bulk(msgspec.json.encode({"state": state.word, "cancelled": jids}))
        session.durable = True
        session.count_unsent(len(reply))
        return reply
    return OK if state is WorkerState.RUNNING else bulk(b'{"state":"%b"}' % state.word.encode())


def _reconcile(session: "Session", holding: list[str]) -> None:
    """What the worker held at the start and does not name goes back; the reply promises the first slice of it."""
    server = session.server
    server.engine.reconcile(session.holder, holding)
    session.durable = True
    deliver(server)
    server.timers.arm()


def info(session: "Session", argument: bytes) -> bytes | None:
    """INFO: the one short command with a long reply, so it counts towards a turn's share as a FETCH does."""
    reply = bulk(msgspec.json.encode(info_of(session.server)))
    session.count_unsent(len(reply))
    return reply


def flush(session: "Session", argument: bytes) -> bytes | None:
    """FLUSH"""
    session.server.engine.flush()
    session.durable = True
    finish_chores(session.server)
    return OK


def queue(session: "Session", argument: bytes) -> bytes | None:
    """QUEUE PAUSE|RESUME|REMOVE|LATENCY name..."""
    subcommand, names = parse_queue(argument)
    engine = session.server.engine
    if subcommand == "LATENCY":
        return bulk(_latencies(engine.latency(names)))
    {"PAUSE": engine.pause, "RESUME": engine.resume, "REMOVE": engine.remove}[subcommand](names)
    session.durable = True
    deliver(session.server)
    return OK


def _latencies(latencies: dict[str, float]) -> bytes:
    # Written by hand, since a client wants at least four digits after the point.
    pairs = (b"%s:%.4f" % (msgspec.json.encode(name), seconds) for name, seconds in latencies.items())
    return b"{%s}" % b",".join(pairs)


def cron(session: "Session", argument: bytes) -> bytes | None:
    """CRON LIST, or CRON RUN|PAUSE|RESUME name: the periodic jobs."""
    subcommand, name = parse_cron(argument)
    engine = session.server.engine
    session.durable = True
    if subcommand == "LIST":
        reply = bulk(msgspec.json.encode(engine.cron_list()))
        session.count_unsent(len(reply))
        return reply
    {"RUN": engine.cron_run, "PAUSE": engine.cron_pause, "RESUME": engine.cron_resume}[subcommand](name)
    deliver(session.server)
    return OK


def mutate(session: "Session", argument: bytes) -> bytes | None:
    """MUTATE {"cmd","target","filter"}: answered when the last slice of the work is done."""
    message = parse_mutate(argument)
    chosen = message.filter
    number = session.server.engine.mutate(
        message.cmd or "",
        message.target or "",
        jids=chosen.jids if chosen else None,
        jobtype=chosen.jobtype if chosen else None,
        regexp=chosen.regexp if chosen else None,
        chosen=_chosen(chosen),
    )
    session.durable = True
    deliver(session.server)
    if number is None:
        return OK
    await_chore(session.server, session, number)
    return None


def _chosen(sent: SentFilter | None) -> Filter | None:
    """What a filter says beyond the protocol; None for nothing. Raises Refusal."""
    if sent is None:
        return None
    since, until = instant_of("since", sent.since), instant_of("until", sent.until)
    chosen = Filter("", sent.queue or "", sent.errtype or "", sent.text or "", since or 0, until or 0)
    return chosen if chosen != EVERYTHING else None


def end(session: "Session", argument: bytes) -> bytes | None:
    """END"""
    session.close()
    return None


#: What a worker names among the `features` of its HELLO to learn which of its jobs are cancelled.
CANCEL_FEATURE: Final = "cancel"

WORKER_STATES: Final = {state.word: state for state in WorkerState}

HANDSHAKE: Final[dict[bytes, Verb]] = {b"HELLO": hello}
"""What is legal before the handshake is through; anything else closes the connection."""

COMMANDS: Final[dict[bytes, Verb]] = {
    b"PUSH": push,
    b"PUSHB": push_bulk,
    b"FETCH": fetch,
    b"ACK": ack,
    b"FAIL": fail,
    b"REQUEUE": requeue,
    b"CANCEL": cancel,
    b"TRACK": track,
    b"BATCH": batch,
    b"BEAT": beat,
    b"INFO": info,
    b"FLUSH": flush,
    b"QUEUE": queue,
    b"MUTATE": mutate,
    b"BACKUP": backup,
    b"ADOPT": adopt,
    b"INSPECT": inspect,
    b"SIGNAL": signal,
    b"CRON": cron,
    b"CLUSTER": cluster,
    b"END": end,
}
"""Every verb after the handshake."""
