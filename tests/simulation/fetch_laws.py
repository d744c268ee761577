"""The laws of a FETCH: who may be given which job, and how many at once. Held with each that is answered."""

from typing import TYPE_CHECKING, Any

from simulation.entries import Answer, Fetching, JobEntry

if TYPE_CHECKING:
    from simulation.ledger import Ledger

__all__ = ["hold_fetch", "hold_lane", "hold_throttle"]


def hold_fetch(ledger: "Ledger", entry: JobEntry, payload: dict[str, Any], asked: Fetching, answer: Answer) -> None:
    """It may be given out, to this client, as it came."""
    jid, wall = entry.jid, ledger.world.wall()
    if entry.over is not None:
        raise ledger.broken(f"{jid} had ended, and was fetched again")
    # A push that is sent again, since its answer was lost, is another job of that name.
    if entry.success_shown and entry.sent == 1:
        raise ledger.broken(f"TRACK GET said that {jid} had succeeded, and it was fetched again")
    hold = entry.hold
    is_held = hold is not None and not hold.void and not hold.large and entry.sent == 1
    if is_held and hold and max(hold.high, wall) < hold.until and hold.is_there():
        raise ledger.broken(f"{jid} was given to {asked.holder} while {hold.holder} holds it")
    if entry.queue not in asked.queues:
        raise ledger.broken(f"{jid} of {entry.queue} came from {asked.queues}")
    if not entry.by_itself and payload["args"] != entry.fields["args"]:
        raise ledger.broken(f"{jid} came with other arguments: {payload['args']}")
    # It may have been resumed meanwhile, and paused again.
    is_same_pause = asked.resumes == ledger.resumes
    if is_same_pause and asked.paused.get(entry.queue) and ledger.paused.get(entry.queue):
        raise ledger.broken(f"{jid} came from {entry.queue}, which is paused")
    due, expires = entry.fields.get("at_ms", 0), entry.fields.get("expires_ms", 1 << 62)
    if ledger.high_of(entry) < due and not entry.endings & {"early", "mutate"}:
        raise ledger.broken(f"{jid} came before its time")
    if asked.jumps == ledger.jumps and asked.wall > expires + 1:
        raise ledger.broken(f"{jid} had expired, and was fetched")
    failures = payload["failure"]["retry_count"] + 1 if payload.get("failure") else 0
    told = sum(number < answer.number for number in entry.fails_told)
    if entry.sent == 1 and failures < told:
        raise ledger.broken(f"{jid} has failed {failures} times, and {told} FAILs were answered")


def hold_lane(ledger: "Ledger", entry: JobEntry) -> None:
    """No more jobs of a lane run at once than its queue lets."""
    limits = ledger.world.rules.queues.get(entry.queue)
    if limits is None or limits.lanes is None or limits.lanes.concurrency is None:
        return
    lane = entry.custom.get(limits.lanes.by)
    held = [
        other.jid
        for other in ledger.jobs.values()
        if other.queue == entry.queue and other.hold and not other.hold.released
        if other.custom.get(limits.lanes.by) == lane and not other.by_itself
        # A queue that was removed begins anew: what was held before does not count in its lanes.
        if not other.endings & {"remove", "flush"}
        if other.sent == 1 and not other.hold.large and ledger.is_surely_held(other, other.hold)
    ]  # fmt: skip
    ledger.count("laned")
    if len(held) > limits.lanes.concurrency:
        raise ledger.broken(f"{held} of {entry.queue} run at once, and are of the lane {lane}")


def hold_throttle(ledger: "Ledger", entry: JobEntry) -> None:
    """No more jobs of a queue run at once than its throttle lets."""
    limits = ledger.world.rules.throttles.get(entry.queue)
    if limits is None or limits.timeout is not None or not (limits.concurrency or limits.worker):
        return
    held = [
        (other.jid, other.hold)
        for other in ledger.jobs.values()
        if other.queue == entry.queue and other.hold and not other.hold.released
        if other.sent == 1 and not other.hold.large and ledger.is_surely_held(other, other.hold)
    ]  # fmt: skip
    ledger.count("throttled")
    if limits.concurrency and len(held) > limits.concurrency:
        raise ledger.broken(f"{len(held)} jobs of {entry.queue} run at once: {held}")
    mine = [jid for jid, hold in held if entry.hold and hold.holder == entry.hold.holder]
    if limits.worker and len(mine) > limits.worker:
        raise ledger.broken(f"{len(mine)} jobs of {entry.queue} run at once for one worker: {mine}")
