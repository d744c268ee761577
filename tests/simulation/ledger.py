"""The ledger: what the clients sent, what they were told, and what therefore must be, or must not be.

It knows nothing of the server but its replies, and one number: how many commits the disk had seen when a reply was
written. What a reply tells is *durable* when the protocol promises so; else it is true for as long as no crash takes
back the commits before it.

Every entry is careful: what may have ended a job counts as an end from the moment at which it was *sent*, by whomever,
answered or not. So each law that fails here is a broken promise, whatever else went wrong in the run.
"""

from collections.abc import Callable, Container, Iterable
from typing import Any

from simulation.entries import Answer, BatchEntry, Fetching, GivenBack, Hold, JobEntry
from simulation.fetch_laws import hold_fetch, hold_lane, hold_throttle
from simulation.world import SECOND, World

__all__ = ["ONE_LEAP_MS", "SURELY_THERE", "Broken", "Ledger"]

#: A worker that was heard of within this time has not vanished: that takes 60 s, and a leap of 30 may count as silence.
SURELY_THERE = 25 * SECOND

#: A leap of the clock as long as this may count as silence. A longer one is seen to be one; several short ones add up.
ONE_LEAP_MS = 30_000

#: The shortest reservation.
RESERVED_MS = 60_000


class Broken(AssertionError):
    """A promise was broken."""


class Ledger:
    """What all clients know, together."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.jobs: dict[str, JobEntry] = {}
        self.batches: dict[str, BatchEntry] = {}
        self.paused: dict[str, bool] = {}
        #: How many commands were sent that may end a pause.
        self.resumes = 0
        self.periodic = {what.name for what in world.rules.periodic}
        #: What was sent that takes jobs away, is not answered, and may still be carried out.
        self.dangers: list[tuple[str, Callable[[JobEntry], bool], Callable[[], bool]]] = []
        self.jumps = 0
        #: How far the clock was set forward in all.
        self.leapt = 0
        #: The lowest limit on dead jobs that may prune one.
        self.prunes = world.rules.dead_max < 1000
        #: Crashes: the number of the last reply before it, and how many commits were left.
        self.crashes: list[tuple[int, int]] = []
        # What the run has seen, for the report.
        self.seen: dict[str, int] = {}

    def count(self, what: str) -> None:
        """Note that something has happened."""
        self.seen[what] = self.seen.get(what, 0) + 1

    def broken(self, what: str) -> Broken:
        """A law does not hold."""
        return Broken(f"at {self.world.time / SECOND:.3f} s: {what}")

    # Pushes

    def pushing(self, fields: dict[str, Any]) -> JobEntry:
        """A job is sent."""
        jid, wall = fields["jid"], self.world.wall()
        entry = self.jobs.get(jid)
        if entry is None:
            entry = JobEntry(jid, fields.get("queue", "default"), fields, wall, wall, sent_at=self.world.time)
            self.jobs[jid] = entry
        entry.sent += 1
        if entry.sent > 1:
            entry.over = None
            if (follow_up := self.jobs.get(jid + "-next")) is not None:
                # There may be one more of it as well.
                follow_up.sent, follow_up.over = entry.sent, None
        self.dangers = [danger for danger in self.dangers if danger[2]()]
        entry.endings |= {name for name, concerns, _ in self.dangers if concerns(entry)}
        return entry

    def pushed(self, entry: JobEntry, error: str | None) -> None:
        """It was answered; `error` is the text of a refusal."""
        entry.low = min(entry.low, self.world.wall())
        if error is None:
            entry.kept += 1
            entry.kept_at = self.world.time
            self.count("pushed")
            self._hold_unique(entry)
        elif error.startswith("NOTUNIQUE"):
            entry.refused += 1
            self.count("not unique")
            self._explain_not_unique(entry)
        elif "exists already" in error:
            entry.refused += 1
            self.count("duplicate jid")
            if entry.sent == 1:
                raise self.broken(f"{entry.jid} was pushed once, and refused as there already")
            if entry.sent - entry.refused == 1:
                entry.kept = max(entry.kept, 1)
        elif "outcome is unknown" not in error and "storage failed" not in error:
            entry.refused += 1
            self.count("refused")

    def _hold_unique(self, entry: JobEntry) -> None:
        """No two that are alike may be there at one time."""
        for other in self._alike(entry):
            surely = other.kept and other.sent == 1 and not other.endings and other.over is None
            quiet = other.custom.get("unique_until") != "start" and "expires_in" not in other.custom
            quiet = quiet and "expires_at" not in other.custom and (other.retry > 20 or not self.may_have_failed(other))
            until = other.low + other.custom["unique_for"] * 1000
            # Of two that were on their way at one time, the one that was sent first need not have come first.
            came_first = other.kept_at is not None and other.kept_at < entry.sent_at
            if surely and quiet and came_first and self.high_of(other) < until:
                raise self.broken(f"{entry.jid} and {other.jid} are alike, and both were accepted")

    def _explain_not_unique(self, entry: JobEntry) -> None:
        """Somebody must have the lock; if only one can, it is there for good."""
        suspects = [
            other
            for other in self._alike(entry)
            if other.sent > other.refused and not (other.over is not None and other.over_at < entry.sent_at)
        ]
        if not suspects and entry.sent == entry.refused:
            raise self.broken(f"{entry.jid} is not unique, and nobody has its lock")
        if (
            len(suspects) == 1
            and entry.sent == entry.refused
            and suspects[0].kept == 0
            and suspects[0].sent - suspects[0].refused == 1
        ):
            self.count("revealed")
            suspects[0].kept = 1

    def _alike(self, entry: JobEntry) -> Iterable[JobEntry]:
        alike = entry.alike
        return [other for other in self.jobs.values() if other is not entry and alike and other.alike == alike]

    # Ends

    def endanger(
        self, name: str, concerns: Callable[[JobEntry], bool], is_possible: Callable[[], bool] | None = None
    ) -> None:
        """Something is sent that may end jobs; while it is possible, also those that are pushed meanwhile."""
        for entry in self.jobs.values():
            if concerns(entry):
                entry.endings.add(name)
        if is_possible is not None:
            self.dangers.append((name, concerns, is_possible))

    def may_have_failed(self, entry: JobEntry) -> bool:
        """A FAIL was sent, or a reservation or a worker may have ended."""
        waited = self.high_of(entry) - entry.low > RESERVED_MS - 5_000
        return bool(entry.fails_sent) or (waited or self.jumps > 0)

    def may_be_gone(self, entry: JobEntry) -> bool:
        """Whether there is an explanation for it not being there."""
        if entry.endings - {"early"} or entry.over is not None:
            return True
        if entry.retry == 0 and self.may_have_failed(entry):
            return True
        if self.prunes and entry.retry <= 3 and self.may_have_failed(entry):
            return True
        if self.prunes and "kill" in entry.endings:
            return True
        custom, high = entry.custom, self.high_of(entry)
        if "expires_in" in custom and high >= self._start_of(entry) + custom["expires_in"] * 1000:
            return True
        return "expires_ms" in entry.fields and high >= entry.fields["expires_ms"]

    def _start_of(self, entry: JobEntry) -> int:
        at: int = entry.fields.get("at_ms", 0)
        return max(entry.low, at)

    def high_of(self, entry: JobEntry) -> int:
        """The highest that the wall clock has stood since the push."""
        return max(entry.high, self.world.wall())

    def over(self, entry: JobEntry, position: int, *, for_good: bool = False) -> None:
        """It has certainly ended."""
        if entry.sent > 1:
            return
        entry.over = position if entry.over is None else min(position, entry.over)
        entry.over_at = self.world.time
        entry.over_for_good |= for_good

    # Work

    def fetched(
        self, payload: dict[str, Any], answer: Answer, asked: Fetching, is_there: Callable[[], bool]
    ) -> JobEntry:
        """A client was given a job."""
        jid = payload["jid"]
        entry = self.jobs.get(jid) or self._by_itself(payload)
        stale = answer.number < entry.newest
        entry.newest = max(entry.newest, answer.number)
        entry.fetches += 1
        self.count("fetched")
        # What others have sent of it since it was fetched the last time may have come after this was decided.
        is_meddled, entry.meddlers = bool(entry.meddlers), [possible for possible in entry.meddlers if possible()]
        if entry.by_itself == "" and entry.sent <= entry.refused:
            raise self.broken(f"{jid} was refused, and was fetched")
        if not stale:
            hold_fetch(self, entry, payload, asked, answer)
        wall = self.world.wall()
        reserved = max(int(payload.get("reserve_for") or 1800), 60) * 1000
        entry.hold = Hold(
            asked.holder, answer.position, answer.number, max(asked.wall, wall), min(asked.wall, wall) + reserved,
            is_there, len(answer.body or b"") > 1000, void=stale or is_meddled or self.is_taken_back(answer),
        )  # fmt: skip
        hold_throttle(self, entry)
        hold_lane(self, entry)
        return entry

    def _by_itself(self, payload: dict[str, Any]) -> JobEntry:
        """A job that no client has pushed: it must have a reason."""
        jid: str = payload["jid"]
        bid = (payload.get("custom") or {}).get("_bid", "")
        wall = self.world.wall()
        if jid.endswith("-next"):
            origin = self.jobs.get(jid.removesuffix("-next"))
            if origin is None or "ack" not in origin.endings:
                raise self.broken(f"{jid} follows a job that nobody has acknowledged")
        elif jid.startswith("cron-"):
            # Its jid says for which due time it is, so the laws of any job say that it is there once.
            if jid.split("-")[1] not in self.periodic:
                raise self.broken(f"{jid} is of no periodic job")
            self.count("periodic")
        elif not bid:
            raise self.broken(f"{jid} was fetched, and nobody has pushed it")
        sent = 1
        if jid.endswith("-next"):
            sent = self.jobs[jid.removesuffix("-next")].sent
        entry = JobEntry(jid, payload["queue"], payload, wall, wall, sent=sent, kept=1, sent_at=self.world.time)
        entry.by_itself = bid or ("cron" if jid.startswith("cron-") else "follow")
        # What removes jobs may have met it before anybody knew of it.
        self.jobs[jid] = entry
        return entry

    def letting_go(self, jid: str, ending: str, is_possible: Callable[[], bool]) -> None:
        """Somebody has sent an ACK, FAIL or REQUEUE of a job."""
        entry = self.jobs.get(jid)
        if entry is None:
            return
        entry.meddlers.append(is_possible)
        if entry.hold is not None:
            entry.hold.released = True
        if ending == "ack":
            entry.endings.add("ack")
        elif entry.hold is not None:
            entry.hold.void = True
        if ending == "fail":
            entry.fails_sent += 1
            if entry.retry == 0:
                entry.endings.add("discard")
        if "cancel" in entry.endings and ending != "ack":
            entry.endings.add("cancelled")

    def names(self, holder: str, jids: Container[str]) -> None:
        """Somebody says which jobs it has: what else it held may be another's from now on."""
        self.count("holdings named")
        for jid, entry in self.jobs.items():
            if entry.hold is not None and entry.hold.holder == holder and jid not in jids:
                entry.hold.void = True

    def is_surely_held(self, entry: JobEntry, hold: Hold | None) -> bool:
        """Whether a client has a job beyond doubt."""
        if hold is None or hold is not entry.hold or hold.void:
            return False
        in_time = max(hold.high, self.world.wall()) < hold.until - 1000
        return in_time and hold.is_there()

    def acked(self, entry: JobEntry, hold: Hold | None, answer: Answer, *, surely: bool) -> None:
        """An ACK was answered; `surely` says whether its sender had the job when it was sent."""
        self.count("acked")
        if surely and self.is_surely_held(entry, hold) and not self.is_taken_back(answer):
            self.over(entry, answer.position)
            entry.following = not jid_follows(entry.jid)

    def failed(self, entry: JobEntry, answer: Answer) -> None:
        """A FAIL was answered +OK, and is on disk."""
        self.count("failed")
        entry.fails_told.append(answer.number)

    def gave_back(self, entry: JobEntry, given: GivenBack) -> None:
        """A REQUEUE was answered +OK, and is on disk."""
        self.count("given back")
        entry.given_back.append(given)

    # What the world does

    def is_taken_back(self, answer: Answer) -> bool:
        """Whether a crash since the reply was written has taken what it told of; it may come in late."""
        return any(last >= answer.number and kept < answer.position for last, kept in self.crashes)

    def crashed(self, kept: int) -> None:
        """Only `kept` commits are left."""
        self.crashes.append((self.world.writes, kept))
        for entry in self.jobs.values():
            if entry.hold is not None and entry.hold.position > kept:
                entry.hold.void = True
            if entry.over is not None and entry.over > kept and not entry.over_for_good:
                entry.over = None

    def clock_set(self, before: int, after: int) -> None:
        """The wall clock was set."""
        self.jumps += 1
        self.leapt += max(after - before, 0)
        for entry in self.jobs.values():
            entry.high = max(entry.high, before)
            if entry.kept + entry.refused < entry.sent:
                entry.low = min(entry.low, after)
            if entry.hold is not None:
                entry.hold.high = max(entry.hold.high, before)


def jid_follows(jid: str) -> bool:
    """Whether a job is a plugin's follow-up, which has none itself."""
    return jid.endswith("-next")
