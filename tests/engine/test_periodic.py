"""Periodic jobs in the engine: when they are pushed, and that no due time ever is twice."""

from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from harness import Harness
from invariants import check_store, rows_of
from lineshaft.engine import keys
from lineshaft.engine import periodic as jobs
from lineshaft.engine.agenda.run import run_jid
from lineshaft.engine.engine import NEVER, Engine
from lineshaft.engine.hooks import Hooks, Verdict
from lineshaft.engine.periodic import UNKNOWN, SkippedRun
from lineshaft.engine.records import PeriodicRecord, decode_periodic
from lineshaft.engine.settings import Periodic, QueueLimits, Settings
from lineshaft.engine.value import split_value
from lineshaft.errors import Refusal, StoreError
from lineshaft.job import Job, decode_pushed, decode_stored
from lineshaft.schedule import Schedule
from lineshaft.store.faulty import FaultyStore
from lineshaft.store.memory import MemoryStore

HOUR = 3_600_000
MINUTE = 60_000
JOB = b'{"jobtype":"Report","queue":"q","args":[1]}'


def at(text: str, zone: str = "UTC") -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


NOON = at("2026-11-23 12:00")


def periodic(
    expression: str, zone: str = "UTC", *, name: str = "report", job: bytes = JOB, catch_up: bool = False
) -> Periodic:
    sent = decode_pushed(job)
    return Periodic(name, Schedule(expression, zone), sent.jobtype, sent.queue or "default", job, catch_up)


class Box:
    """An engine with periodic jobs, a clock that goes where it is told, and a disk."""

    def __init__(self, *entries: Periodic, now: int = NOON, store: FaultyStore | None = None, **rules: object) -> None:
        self.settings = Settings(periodic=entries, **rules)  # type: ignore[arg-type]
        self.store = store or FaultyStore()
        self.now = now
        self.seen: set[str] = set()
        self.start()

    def start(self) -> None:
        self.engine = Engine(self.store, self.settings, lambda: 0.5, self.now)
        self.engine.commit()

    def restart(self, now: int, *entries: Periodic) -> None:
        """Stop, let time pass, start."""
        self.engine.commit()
        self.store = self.store.crash(self.store.unsynced)
        self.now = now
        if entries:
            self.settings = Settings(periodic=entries)
        self.start()

    def at(self, now: int) -> list[str]:
        """Let it be that instant; returns the due times of the jobs that came."""
        self.now = now
        self.engine.advance(now)
        while self.engine.tick() <= now:
            pass
        self.engine.commit()
        check_store(self.store)
        return self.take()

    def until(self, end: int, step: int = 10 * MINUTE) -> list[str]:
        """Let time pass in steps."""
        came = []
        while self.now < end:
            came += self.at(min(self.now + step, end))
        return came

    def take(self) -> list[str]:
        """The due times of the jobs that are new in the store."""
        jids = set(self.jids())
        new, self.seen = sorted(jids - self.seen), jids
        return [jid.removeprefix("cron-report-") for jid in new]

    def jids(self) -> list[str]:
        rows = rows_of(self.store).items()
        return sorted(decode_stored(split_value(value)[1]).jid for key, value in rows if key[:1] in {b"R", b"T"})

    def records(self) -> dict[str, PeriodicRecord]:
        return {
            key[1:].decode(): decode_periodic(value) for key, value in rows_of(self.store).items() if key[:1] == b"J"
        }


# What is pushed


def test_a_run_is_a_job_like_any_other() -> None:
    job = (
        b'{"jobtype":"Report","queue":"mail","args":[{"a":1}],"retry":3,"priority":9,"reserve_for":90,"custom":{"t":1}}'
    )
    box = Box(periodic("*/5 * * * *", job=job))
    assert box.at(NOON + 5 * MINUTE - 1) == []
    assert box.at(NOON + 5 * MINUTE) == ["20261123T120500Z"]
    box.engine.connect("w", "h", 1, ())
    payload = box.engine.fetch(["mail"], "w")
    assert payload == (
        b'{"args":[{"a":1}],"jid":"cron-report-20261123T120500Z","queue":"mail","jobtype":"Report","retry":3,'
        b'"reserve_for":90,"created_at":"2026-11-23T12:05:00.000Z","enqueued_at":"2026-11-23T12:05:00.000Z",'
        b'"custom":{"t":1}}'
    )
    assert [key for key in rows_of(box.store) if key[:1] == b"R"] == [
        keys.ready_prefix("mail", 1, 9) + b"\0" * 7 + b"\2"
    ]


def test_jids_are_long_enough_and_never_the_same() -> None:
    assert len(run_jid("a", 0)) >= 8
    assert run_jid("a", 0) != run_jid("a", 1000) != run_jid("b", 1000)


def test_each_due_time_is_one_run() -> None:
    box = Box(periodic("*/5 * * * *"))
    assert box.until(NOON + HOUR, 20_000) == [f"20261123T12{minute:02}00Z" for minute in range(5, 60, 5)] + [
        "20261123T130000Z"
    ]
    assert box.engine.cron_list()[0]["runs"] == 12


def test_seconds() -> None:
    box = Box(periodic("*/20 * * * * *"))
    assert box.until(NOON + MINUTE, 1000) == ["20261123T120020Z", "20261123T120040Z", "20261123T120100Z"]


def test_the_engine_asks_to_be_woken_for_the_next_run() -> None:
    box = Box(periodic("*/5 * * * *"), periodic("* * * * *", name="often"))
    box.at(NOON)
    assert box.engine.deadline() == NOON + MINUTE
    assert box.engine.is_due_before(NOON + MINUTE + 1)
    assert not box.engine.is_due_before(NOON + MINUTE)
    box.at(NOON + MINUTE)
    assert box.engine.deadline() == NOON + 2 * MINUTE


def test_ten_thousand_that_are_due_at_once_come_a_few_at_a_time() -> None:
    hourly = Schedule("@hourly")
    many = tuple(Periodic(f"job-{number:04}", hourly, "Report", "q", JOB) for number in range(10_000))
    engine = Engine(MemoryStore(), Settings(periodic=many), lambda: 0.5, NOON)
    looks = 0
    while engine.deadline() <= NOON:
        # Their due times are searched for, which takes as long as the runs.
        assert engine.tick() <= NOON + HOUR
        looks += 1
    assert looks == 2000
    engine.advance(NOON + HOUR)
    sizes = [0]
    while engine.deadline() <= NOON + HOUR:
        engine.tick()
        engine.commit()
        sizes.append(engine.state.queues.by_name["q"].size)
    assert {after - before for before, after in pairwise(sizes)} == {5}
    assert sizes[-1] == 10_000
    assert len({shown["last_jid"] for shown in engine.cron_list()}) == 10_000


@pytest.mark.parametrize("zone", ["Europe/Madrid", "America/New_York"])
@pytest.mark.parametrize("step", [HOUR // 4, 7 * MINUTE])
def test_a_nightly_job_runs_once_a_day_all_year(zone: str, step: int) -> None:
    start = at("2026-03-01 12:00", zone)
    box = Box(periodic("30 2 * * *", zone, job=b'{"jobtype":"R","args":[],"queue":"q"}'), now=start)
    days = 40
    end = at("2026-04-10 12:00", zone)
    instants = list(range(start, end + 1, step))
    for instant in instants:
        box.engine.advance(instant)
        while box.engine.tick() <= instant:
            pass
    box.engine.commit()
    ran = [datetime.fromisoformat(jid.removeprefix("cron-report-")).astimezone(ZoneInfo(zone)) for jid in box.jids()]
    assert len(ran) == days
    assert len({run.date() for run in ran}) == days
    assert {f"{run:%H:%M}" for run in ran} == {"02:30", "03:00"}


def test_a_nightly_job_runs_once_on_the_night_that_is_longer() -> None:
    box = Box(periodic("30 2 * * *", "Europe/Madrid"), now=at("2026-10-24 12:00"))
    assert box.until(at("2026-10-26 12:00")) == ["20261025T003000Z", "20261026T013000Z"]


def test_a_leap_day() -> None:
    box = Box(periodic("0 12 29 2 *"), now=at("2026-11-23"))
    box.at(at("2026-11-23"))
    assert box.engine.deadline() <= at("2028-02-29 12:00")
    assert box.engine.state.periodic.next_due == at("2028-02-29 12:00")


# Late, and not at all


def test_when_the_server_was_held_up_the_latest_due_time_stands_for_all() -> None:
    box = Box(periodic("*/5 * * * *"))
    assert box.at(NOON + HOUR + MINUTE) == ["20261123T130000Z"]
    assert box.until(NOON + HOUR + 6 * MINUTE, MINUTE) == ["20261123T130500Z"]


def test_what_was_missed_while_the_server_was_down_is_skipped() -> None:
    box = Box(periodic("*/5 * * * *"))
    assert box.at(NOON + 5 * MINUTE) == ["20261123T120500Z"]
    box.restart(NOON + HOUR)
    assert box.at(NOON + HOUR) == []
    assert box.until(NOON + HOUR + 5 * MINUTE, MINUTE) == ["20261123T130500Z"]


def test_or_made_up_for_once() -> None:
    box = Box(periodic("*/5 * * * *", catch_up=True))
    assert box.at(NOON + 5 * MINUTE) == ["20261123T120500Z"]
    box.restart(NOON + HOUR + 1)
    assert box.at(NOON + HOUR + 1) == ["20261123T130000Z"]
    box.restart(NOON + HOUR + 2)
    assert box.at(NOON + HOUR + 2) == []
    assert box.until(NOON + HOUR + 5 * MINUTE, MINUTE) == ["20261123T130500Z"]


def test_a_reload_is_no_reason_to_make_up_for_what_was_left_out() -> None:
    box = Box(periodic("@hourly"))
    box.restart(NOON + 3 * HOUR + MINUTE)
    assert box.at(NOON + 3 * HOUR + MINUTE) == []
    box.engine.apply(Settings(periodic=(periodic("@hourly", catch_up=True),)))
    assert box.at(NOON + 3 * HOUR + 2 * MINUTE) == []
    assert box.at(NOON + 4 * HOUR) == ["20261123T160000Z"]


def test_also_the_first_run_of_all_can_be_missed() -> None:
    box = Box(periodic("@hourly", catch_up=True))
    box.restart(NOON + HOUR + MINUTE)
    assert box.at(NOON + HOUR + MINUTE) == ["20261123T130000Z"]


def test_nothing_is_made_up_for_from_before_the_job_was_there() -> None:
    box = Box(periodic("@hourly", catch_up=True, name="other"))
    box.restart(NOON + 3 * HOUR, periodic("@hourly", catch_up=True))
    assert box.at(NOON + 3 * HOUR) == []
    # Nor for a schedule that was another one until the restart.
    box.restart(NOON + 6 * HOUR, periodic("30 * * * *", catch_up=True))
    assert box.at(NOON + 6 * HOUR) == []


def test_a_week_of_missed_seconds_is_no_long_search() -> None:
    box = Box(periodic("* * * * * *", catch_up=True))
    box.restart(NOON + 7 * 24 * HOUR + 5)
    assert box.at(NOON + 7 * 24 * HOUR + 5) == ["20261130T120000Z"]


# The clock steps back


def test_a_clock_that_steps_back_an_hour_runs_nothing_twice() -> None:
    box = Box(periodic("*/15 * * * *"))
    assert len(box.until(NOON + HOUR, MINUTE)) == 4
    box.at(NOON)
    assert box.until(NOON + HOUR, MINUTE) == []
    assert box.until(NOON + 2 * HOUR, MINUTE) == [
        "20261123T131500Z",
        "20261123T133000Z",
        "20261123T134500Z",
        "20261123T140000Z",
    ]


@pytest.mark.parametrize("catch_up", [False, True])
def test_nor_when_it_steps_back_over_a_restart(catch_up: bool) -> None:
    box = Box(periodic("*/15 * * * *", catch_up=catch_up))
    assert len(box.until(NOON + HOUR, MINUTE)) == 4
    box.restart(NOON)
    assert box.until(NOON + HOUR, MINUTE) == []
    assert box.until(NOON + HOUR + 15 * MINUTE, MINUTE) == ["20261123T131500Z"]


@pytest.mark.parametrize("catch_up", [False, True])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_server_that_was_started_by_a_wrong_clock_does_not_rest_until_then(catch_up: bool, restarted: bool) -> None:
    box = Box(periodic("@hourly", catch_up=catch_up), now=at("2036-01-01 00:30"))
    if restarted:
        box.restart(NOON)
    else:
        assert box.at(NOON) == []
    assert box.at(NOON + HOUR) == ["20261123T130000Z"]
    # And what was missed is counted by the right clock from then on.
    box.restart(NOON + 3 * HOUR + MINUTE)
    assert box.at(NOON + 3 * HOUR + MINUTE) == (["20261123T150000Z"] if catch_up else [])


def test_nor_does_a_job_that_comes_later() -> None:
    box = Box(now=at("2036-01-01 00:30"))
    box.at(NOON)
    box.engine.apply(Settings(periodic=(periodic("@hourly"),)))
    assert box.at(NOON + HOUR) == ["20261123T130000Z"]


# Crashes


def test_a_run_and_its_record_are_one_commit() -> None:
    box = Box(periodic("@hourly"))
    box.store.sync()
    commits = box.store.commits
    box.engine.advance(NOON + HOUR)
    box.engine.tick()
    box.engine.commit()
    assert box.store.commits == commits + 1
    changes = box.store.log[-1].changes
    assert {key[:1] for key in changes} >= {b"J", b"R"}


@pytest.mark.parametrize("catch_up", [False, True])
def test_a_crash_before_and_after_the_commit(catch_up: bool) -> None:
    for kept in (0, 1):
        box = Box(periodic("@hourly", catch_up=catch_up))
        box.store.sync()
        assert box.at(NOON + HOUR) == ["20261123T130000Z"]
        assert box.store.unsynced == 1
        box.store = box.store.crash(kept)
        box.seen = set(box.jids())
        assert len(box.seen) == kept
        # It is up again in the same second.
        box.now += 500
        box.start()
        came = box.at(box.now)
        assert came == (["20261123T130000Z"] if catch_up and not kept else [])


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("catch_up", [False, True])
def test_a_failed_commit_loses_no_run_and_doubles_none(applied: bool, catch_up: bool) -> None:
    """The process lives on: whatever is due while the store is opened again is no run that was missed while down."""
    box = Box(periodic("@hourly", catch_up=catch_up))
    box.engine.advance(NOON + HOUR)
    box.engine.tick()
    box.store.fail_commit(box.store.commits + 1, applied=applied)
    with pytest.raises(StoreError):
        box.engine.commit()
    box.store = box.store.crash(box.store.unsynced)
    box.engine.advance(NOON + HOUR + 50)
    box.engine.reload(box.store)
    box.at(NOON + HOUR + 50)
    assert box.jids() == ["cron-report-20261123T130000Z"]
    assert box.until(NOON + 2 * HOUR) == ["20261123T140000Z"]


def test_a_read_that_fails_leaves_the_run_for_the_next_tick() -> None:
    box = Box(periodic("@hourly"), refuse_duplicate_jids=True)
    box.engine.advance(NOON + HOUR)
    box.store.fail_get(box.store.gets + 1)
    box.store.fail_scan(box.store.scans + 1)
    for _ in range(3):
        try:
            box.engine.tick()
        except StoreError:
            assert box.engine.deadline() <= NOON + HOUR
    box.engine.commit()
    assert box.jids() == ["cron-report-20261123T130000Z"]


def test_a_flush_forgets_no_run() -> None:
    box = Box(periodic("@hourly", catch_up=True))
    assert box.at(NOON + HOUR) == ["20261123T130000Z"]
    before = box.records()
    box.engine.flush()
    box.engine.commit()
    assert box.jids() == []
    assert box.records() == before
    box.seen = set()
    assert box.at(NOON + HOUR + 1) == []
    box.restart(NOON + HOUR + 2)
    assert box.at(NOON + HOUR + 2) == []
    assert box.at(NOON + 2 * HOUR) == ["20261123T140000Z"]


# Reload


def test_a_reload_takes_over_what_changed() -> None:
    box = Box(periodic("@hourly"), periodic("@hourly", name="gone"))
    box.at(NOON + HOUR)
    assert set(box.records()) == {"report", "gone"}
    changed = periodic("*/10 * * * *", job=b'{"jobtype":"Other","args":[]}')
    box.engine.apply(Settings(periodic=(changed, periodic("@daily", name="new"))))
    box.engine.commit()
    assert {name for name, record in box.records().items() if record.schedule} == {"report", "new"}
    box.at(NOON + HOUR)
    assert box.engine.deadline() == NOON + HOUR + 10 * MINUTE
    assert box.at(NOON + HOUR + 10 * MINUTE) == ["20261123T131000Z"]
    assert [shown["name"] for shown in box.engine.cron_list()] == ["report", "new"]


def test_a_reload_runs_nothing_twice_and_leaves_nothing_out() -> None:
    box = Box(periodic("@hourly"))
    assert box.at(NOON + HOUR) == ["20261123T130000Z"]
    box.engine.advance(NOON + HOUR)
    for entries in [(periodic("0,30 * * * *"),), (periodic("@hourly"),)]:
        box.engine.apply(Settings(periodic=entries))
        assert box.at(NOON + HOUR) == []
    # A due time has passed and no tick has come yet when the same configuration is read again.
    box.engine.advance(NOON + 2 * HOUR)
    box.engine.apply(Settings(periodic=(periodic("@hourly", catch_up=True),)))
    assert box.at(NOON + 2 * HOUR) == ["20261123T140000Z"]


def test_a_reload_after_the_clock_stepped_back_runs_nothing_twice() -> None:
    box = Box(periodic("@hourly"))
    assert box.at(NOON + HOUR) == ["20261123T130000Z"]
    box.at(NOON + HOUR // 2)
    box.engine.apply(Settings(periodic=(periodic("0 */1 * * *"),)))
    assert box.until(NOON + HOUR + MINUTE, MINUTE) == []
    assert box.at(NOON + 2 * HOUR) == ["20261123T140000Z"]


def test_without_periodic_jobs_there_is_nothing_to_wake_for() -> None:
    box = Box(periodic("@hourly"))
    box.engine.apply(Settings())
    box.engine.commit()
    assert box.engine.state.periodic.next_due == NEVER


def test_what_was_removed_and_comes_back_within_a_week_runs_nothing_twice_and_makes_up_for_nothing() -> None:
    box = Box(periodic("@hourly", catch_up=True))
    assert box.at(NOON + HOUR) == ["20261123T130000Z"]
    box.engine.cron_pause("report")
    box.engine.apply(Settings())
    box.at(NOON)
    box.restart(NOON + MINUTE, periodic("@hourly", catch_up=True))
    assert box.engine.cron_list()[0]["paused"]
    box.engine.cron_resume("report")
    assert box.until(NOON + HOUR + MINUTE) == []
    box.engine.apply(Settings())
    box.at(NOON + 3 * HOUR + MINUTE)
    box.engine.apply(box.settings)
    assert box.at(NOON + 3 * HOUR + MINUTE) == []
    assert box.at(NOON + 4 * HOUR) == ["20261123T160000Z"]


def test_what_was_removed_is_forgotten_after_a_week() -> None:
    box = Box(periodic("@hourly"), periodic("@hourly", name="other"))
    box.at(NOON + HOUR)
    box.settings = Settings(periodic=(periodic("@hourly"),))
    box.engine.apply(box.settings)
    box.at(NOON + 2 * HOUR)
    assert set(box.records()) == {"report", "other"}
    box.restart(NOON + 7 * 24 * HOUR)
    assert set(box.records()) == {"report", "other"}
    box.restart(NOON + 7 * 24 * HOUR + HOUR + 1)
    assert set(box.records()) == {"report"}


def test_no_more_than_so_many_removed_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "REMEMBERED_MOST", 2)
    box = Box(periodic("@hourly", name="a"))
    for name in "bcde":
        box.restart(box.now + 1000, periodic("@hourly", name=name))
    assert set(box.records()) == {"c", "d", "e"}


# Refused


def test_a_refused_run_is_counted_and_not_tried_again() -> None:
    box = Box(periodic("@hourly"), queues={"q": QueueLimits(max_jobs=1)})
    assert box.at(NOON + HOUR) == ["20261123T130000Z"]
    assert box.engine.take_skipped_runs() == []
    assert box.at(NOON + 2 * HOUR) == []
    (skipped,) = box.engine.take_skipped_runs()
    assert (skipped.name, skipped.due) == ("report", NOON + 2 * HOUR)
    assert skipped.reason == "queue q is full: it holds 1 jobs, and max_jobs is 1"
    assert box.engine.take_skipped_runs() == []
    box.engine.connect("w", "h", 1, ())
    box.engine.fetch(["q"], "w")
    assert box.at(NOON + 2 * HOUR + MINUTE) == []
    box.restart(NOON + 2 * HOUR + 2 * MINUTE)
    assert box.at(NOON + 2 * HOUR + 2 * MINUTE) == []
    (shown,) = box.engine.cron_list()
    assert (shown["runs"], shown["skipped"]) == (1, 1)
    assert (shown["last_due"], shown["last_run"]) == ("2026-11-23T14:00:00.000Z", "2026-11-23T13:00:00.000Z")
    assert shown["outcome"] == "queue q is full: it holds 1 jobs, and max_jobs is 1"
    assert shown["last_jid"] == "cron-report-20261123T130000Z"


def test_a_refused_run_does_not_stop_the_others() -> None:
    full = QueueLimits(max_jobs=1)
    other = periodic("@hourly", name="other", job=b'{"jobtype":"T","args":[],"queue":"free"}')
    box = Box(periodic("@hourly"), periodic("@hourly", name="second"), other, queues={"q": full})
    box.at(NOON + HOUR)
    assert box.jids() == ["cron-other-20261123T130000Z", "cron-report-20261123T130000Z"]


def test_the_shell_logs_it(caplog: pytest.LogCaptureFixture) -> None:
    box = Harness(rules=Settings(periodic=(periodic("@hourly"),), queues={"q": QueueLimits(max_jobs=1)}), now=NOON)
    box.server.need_turn()
    box.settle()
    box.advance(2 * 3600)
    assert [record.getMessage() for record in caplog.records] == [
        "a run of the periodic job report was skipped: queue q is full: it holds 1 jobs, and max_jobs is 1"
    ]


def test_a_worker_that_waits_gets_the_run_at_once() -> None:
    box = Harness(rules=Settings(periodic=(periodic("* * * * * *"),)), now=NOON)
    box.server.need_turn()
    box.settle()
    peer = box.connect()
    assert peer.ask("FETCH q") == b""
    box.advance(1)
    assert b"cron-report-20261123T120001Z" in peer.take()


# Shown


def test_what_is_shown() -> None:
    box = Box(periodic("0 13 * * *", "Europe/Madrid"))
    shown = {
        "name": "report",
        "schedule": "0 13 * * *",
        "tz": "Europe/Madrid",
        "catch_up": "skip",
        "jobtype": "Report",
        "queue": "q",
        "paused": False,
        "last_due": None,
        "last_run": None,
        "last_jid": None,
        "outcome": None,
        "next_run": "2026-11-24T12:00:00.000Z",
        "runs": 0,
        "skipped": 0,
    }
    assert box.engine.cron_list() == [shown]
    box.at(NOON + 24 * HOUR + 3)
    shown |= {
        "last_due": "2026-11-24T12:00:00.000Z",
        "last_run": "2026-11-24T12:00:00.003Z",
        "last_jid": "cron-report-20261124T120000Z",
        "outcome": "pushed",
        "next_run": "2026-11-25T12:00:00.000Z",
        "runs": 1,
    }
    assert box.engine.cron_list() == [shown]


def test_the_upcoming_runs() -> None:
    box = Box(periodic("30 2 * * *", "Europe/Madrid"), now=at("2026-10-24 12:00"))
    upcoming = ["2026-10-25T00:30:00.000Z", "2026-10-26T01:30:00.000Z", "2026-10-27T01:30:00.000Z"]
    assert box.engine.cron_upcoming("report", 3) == upcoming
    box.engine.cron_pause("report")
    box.at(at("2026-10-26 01:00"))
    assert box.engine.cron_upcoming("report", 2) == upcoming[1:]
    with pytest.raises(Refusal, match="no such periodic job x"):
        box.engine.cron_upcoming("x")


# What an operator can do


def test_run_now_changes_nothing_about_the_schedule() -> None:
    box = Box(periodic("@hourly"))
    box.at(NOON + MINUTE)
    before = box.engine.cron_list()[0]
    jids = [box.engine.cron_run("report"), box.engine.cron_run("report")]
    box.engine.commit()
    assert box.jids() == sorted(jids)
    assert len(set(jids)) == 2
    own = {"last_run": "2026-11-23T12:01:00.000Z", "last_jid": jids[1], "outcome": "pushed", "runs": 2}
    assert box.engine.cron_list()[0] == before | own
    box.take()
    assert box.at(NOON + HOUR) == ["20261123T130000Z"]


def test_run_now_never_has_the_jid_of_another_job() -> None:
    """Even after a crash that took the first, and with duplicates refused."""
    box = Box(periodic("@hourly"), refuse_duplicate_jids=True)
    first = box.engine.cron_run("report")
    box.engine.commit()
    box.restart(NOON + 1)
    assert box.engine.cron_run("report") != first


def test_run_now_can_be_refused() -> None:
    box = Box(periodic("@hourly"), queues={"q": QueueLimits(max_jobs=1)})
    box.engine.cron_run("report")
    before = box.engine.cron_list()
    with pytest.raises(Refusal, match="queue q is full"):
        box.engine.cron_run("report")
    assert box.engine.cron_list() == before
    assert box.engine.take_skipped_runs() == []
    for call in (box.engine.cron_run, box.engine.cron_pause, box.engine.cron_resume):
        with pytest.raises(Refusal, match=f"^no such periodic job {'x' * 200}$"):
            call("x" * 300)


@pytest.mark.parametrize("catch_up", [False, True])
def test_what_is_due_in_a_pause_passes_and_is_never_made_up_for(catch_up: bool) -> None:
    box = Box(periodic("@hourly", catch_up=catch_up))
    assert box.at(NOON + HOUR) == ["20261123T130000Z"]
    box.engine.cron_pause("report")
    assert box.engine.cron_list()[0]["next_run"] is None
    assert box.until(NOON + 2 * HOUR) == []
    box.restart(NOON + 3 * HOUR)
    assert box.engine.cron_list()[0]["paused"]
    assert box.at(NOON + 3 * HOUR) == []
    # A reload, also with another schedule, leaves it paused.
    box.settings = Settings(periodic=(periodic("0,30 * * * *", catch_up=catch_up),))
    box.engine.apply(box.settings)
    assert box.at(NOON + 4 * HOUR) == []
    box.engine.cron_pause("report")
    box.engine.cron_resume("report")
    assert box.engine.cron_list()[0]["next_run"] == "2026-11-23T16:30:00.000Z"
    assert box.at(NOON + 4 * HOUR) == []
    assert box.at(NOON + 4 * HOUR + HOUR // 2) == ["20261123T163000Z"]
    box.engine.cron_pause("report")
    assert box.at(NOON + 6 * HOUR) == []
    box.engine.cron_resume("report")
    box.restart(NOON + 6 * HOUR + MINUTE)
    assert box.at(NOON + 6 * HOUR + MINUTE) == []


def test_to_resume_what_is_not_paused_changes_nothing() -> None:
    """Else it would take a run that is due and not pushed yet."""
    box = Box(periodic("@hourly"))
    box.engine.advance(NOON + HOUR)
    box.engine.cron_resume("report")
    assert box.at(NOON + HOUR) == ["20261123T130000Z"]


def test_a_paused_job_can_be_run_now() -> None:
    box = Box(periodic("@hourly"))
    box.engine.cron_pause("report")
    jid = box.engine.cron_run("report")
    box.engine.commit()
    assert box.jids() == [jid]
    box.take()
    assert box.at(NOON + HOUR) == []


def test_pauses_over_and_over_take_no_memory() -> None:
    box = Box(periodic("@hourly"), periodic("@daily", name="other"))
    for _ in range(1000):
        box.engine.cron_pause("report")
        box.engine.cron_resume("report")
    assert len(box.engine.state.periodic._line) < 30
    assert box.at(NOON + HOUR) == ["20261123T130000Z"]


# With what else there is


def test_a_run_that_would_overlap_the_one_before_is_skipped() -> None:
    job = b'{"jobtype":"Report","queue":"q","args":[1],"custom":{"unique_for":7200}}'
    box = Box(periodic("@hourly", job=job))
    assert box.at(NOON + HOUR) == ["20261123T130000Z"]
    assert box.at(NOON + 2 * HOUR) == []
    (skipped,) = box.engine.take_skipped_runs()
    assert skipped == SkippedRun("report", NOON + 2 * HOUR, "NOTUNIQUE Job not unique", is_expected=True)
    assert (box.engine.cron_list()[0]["outcome"], box.engine.cron_list()[0]["skipped"]) == (skipped.reason, 1)
    with pytest.raises(Refusal, match="Job not unique"):
        box.engine.cron_run("report")
    box.engine.connect("w", "h", 1, ())
    box.engine.fetch(["q"], "w")
    box.engine.ack("cron-report-20261123T130000Z", "w")
    box.engine.commit()
    box.take()
    assert box.at(NOON + 3 * HOUR) == ["20261123T150000Z"]


def test_a_run_can_expire_and_be_tracked() -> None:
    job = b'{"jobtype":"Report","queue":"q","args":[1],"custom":{"expires_in":600,"track":1,"backoff":"fixed:9"}}'
    box = Box(periodic("@hourly", job=job))
    assert box.at(NOON + HOUR) == ["20261123T130000Z"]
    assert box.engine.track_get("cron-report-20261123T130000Z")["state"] == "enqueued"
    box.at(NOON + HOUR + 601_000)
    assert box.jids() == []


def test_plugins_see_runs_as_other_pushes() -> None:
    seen: list[str] = []

    def pushed(job: Job) -> Verdict:
        seen.append(job.jid)
        return Verdict("not today" if job.jid.endswith("T140000Z") else None)

    box = Harness(rules=Settings(periodic=(periodic("@hourly"),)), now=NOON, hooks=Hooks(push=pushed))
    box.advance(2 * 3600)
    assert box.connect().ask("CRON RUN report") == b"+OK\r\n"
    assert seen == ["cron-report-20261123T130000Z", "cron-report-20261123T140000Z", "cron-report-run-3"]
    (shown,) = box.server.engine.cron_list()
    assert (shown["runs"], shown["skipped"]) == (2, 1)


# Whatever happens


class PeriodicMachine(RuleBasedStateMachine):
    """Clocks that jump, crashes at any commit, reloads: no due time has two jobs, and none comes before its time.

    A crash takes back the jobs of the commits that it takes; so the jobs are counted in the store alone, from which
    none ever leaves here.
    """

    VARIANTS = (
        (periodic("*/5 * * * *"), periodic("30 2 * * *", "Europe/Madrid", name="nightly")),
        (periodic("*/5 * * * *", catch_up=True), periodic("30 2 * * *", "Europe/Madrid", name="nightly")),
        (periodic("*/10 * * * *", catch_up=True), periodic("0 30 2 * * *", "Europe/Madrid", name="nightly")),
        (periodic("*/7 * * * * *"), periodic("@hourly", "Australia/Lord_Howe", name="nightly", catch_up=True)),
        (periodic("*/5 * * * *", catch_up=True),),
    )

    @initialize(variant=st.integers(0, 4), start=st.sampled_from(["2026-10-24 23:00", "2026-03-29 00:00"]))
    def begin(self, variant: int, start: str) -> None:
        self.store = FaultyStore()
        self.now = at(start)
        self.settings = Settings(periodic=self.VARIANTS[variant])
        self.boot()

    def boot(self) -> None:
        self.engine = Engine(self.store, self.settings, lambda: 0.5, self.now)
        self.engine.commit()

    @rule(seconds=st.sampled_from([1, 5, 60, 300, 3600, 90_000, -1, -60, -3600, -90_000]))
    def the_clock_moves(self, seconds: int) -> None:
        self.now += seconds * 1000
        self.engine.advance(self.now)

    @rule()
    def tick(self) -> None:
        while self.engine.tick() <= self.now:
            pass
        assert self.engine.state.periodic.next_due > self.now

    @rule(sync=st.booleans())
    def commit(self, sync: bool) -> None:
        self.engine.commit()
        if sync:
            self.store.sync()

    @rule(variant=st.integers(0, 4))
    def reload(self, variant: int) -> None:
        self.settings = Settings(periodic=self.VARIANTS[variant])
        self.engine.apply(self.settings)

    @rule(name=st.sampled_from(["report", "nightly"]), verb=st.sampled_from(["pause", "resume", "resume", "run"]))
    def an_operator_acts(self, name: str, verb: str) -> None:
        call = getattr(self.engine, f"cron_{verb}")
        if name in self.engine.state.periodic.entries:
            call(name)
        else:
            with pytest.raises(Refusal, match="no such periodic job"):
                call(name)

    @rule(data=st.data(), seconds=st.sampled_from([0, 1, 3600, -3600]))
    def crash(self, data: st.DataObject, seconds: int) -> None:
        kept = data.draw(st.integers(0, self.store.unsynced), label="kept")
        self.store = self.store.crash(kept)
        self.now += seconds * 1000
        self.boot()

    @rule(applied=st.booleans())
    def the_commit_fails(self, applied: bool) -> None:
        self.engine.state.settle()
        if self.engine.state.turn.is_empty():
            return
        self.store.fail_commit(self.store.commits + 1, applied=applied)
        with pytest.raises(StoreError):
            self.engine.commit()
        self.store = self.store.crash(self.store.unsynced)
        self.engine.reload(self.store)

    @invariant()
    def no_due_time_has_two_jobs(self) -> None:
        if not hasattr(self, "engine"):
            return
        rows = self.engine.state.turn.scan(*keys.prefix_range(b"R"), limit=1 << 30)
        jids = [decode_stored(value).jid for _, value in rows]
        assert len(jids) == len(set(jids))
        jobs = self.engine.state.periodic
        for entry in jobs.entries.values():
            assert entry.floor >= entry.record.last
            expected = {NEVER} if entry.record.paused else {UNKNOWN, entry.what.schedule.next(entry.floor)}
            assert entry.next_due in expected
            assert jobs.next_due <= entry.next_due
            assert entry.record.since <= self.now
        assert jobs.next_due == min((entry.next_due for entry in jobs.entries.values()), default=NEVER)
        records = self.engine.state.turn.scan(*keys.prefix_range(b"J"), limit=1000)
        decoded = {key[1:].decode(): decode_periodic(value) for key, value in records}
        assert {name for name, record in decoded.items() if record.schedule} == set(jobs.entries)
        assert all(decoded[name] == entry.record for name, entry in jobs.entries.items())


class TestPeriodicMachine(PeriodicMachine.TestCase):
    settings = settings(max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
