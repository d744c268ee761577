"""When a periodic job is due: expressions, names, zones, and the days on which the clock is changed."""

import subprocess
import sys
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineshaft.schedule import NAMES, Schedule, ScheduleError, find_zone


def at(text: str, zone: str = "UTC", *, fold: int = 0) -> int:
    """An instant by the clock on the wall."""
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp() * 1000)


def due_times(expression: str, zone: str, start: str, count: int) -> list[str]:
    """The next due times after a wall time, as the zone shows them."""
    schedule, found, instant = Schedule(expression, zone), [], at(start, zone)
    for _ in range(count):
        following = schedule.next(instant)
        assert following is not None
        instant = following
        found.append(f"{datetime.fromtimestamp(instant / 1000, ZoneInfo(zone)):%Y-%m-%d %H:%M:%S %z}")
    return found


@pytest.mark.parametrize(
    ("expression", "after", "then"),
    [
        ("*/5 * * * *", "2026-11-23 20:15:00", "2026-11-23 20:20:00"),
        ("0 9 * * MON-FRI", "2026-11-20 09:00:00", "2026-11-23 09:00:00"),
        ("0 9 * * 1-5", "2026-11-20 08:59:59", "2026-11-20 09:00:00"),
        ("0 0 * * 7", "2026-11-23 00:00:00", "2026-11-29 00:00:00"),
        ("0 12 29 2 *", "2026-11-23 00:00:00", "2028-02-29 12:00:00"),
        ("0 12 29 2 *", "2096-11-23 00:00:00", "2104-02-29 12:00:00"),
        ("30 23 L * *", "2027-02-01 00:00:00", "2027-02-28 23:30:00"),
        ("0 0 13 * FRI", "2026-11-23 00:00:00", "2026-11-27 00:00:00"),
        ("*/10 * * * * *", "2026-11-23 20:15:05", "2026-11-23 20:15:10"),
        ("5 4 3 * * *", "2026-11-23 03:04:05", "2026-11-24 03:04:05"),
        ("@hourly", "2026-11-23 20:15:00", "2026-11-23 21:00:00"),
        ("@daily", "2026-11-23 20:15:00", "2026-11-24 00:00:00"),
        ("@midnight", "2026-11-23 20:15:00", "2026-11-24 00:00:00"),
        ("@weekly", "2026-11-23 20:15:00", "2026-11-29 00:00:00"),
        ("@monthly", "2026-11-23 20:15:00", "2026-12-01 00:00:00"),
        ("@yearly", "2026-11-23 20:15:00", "2027-01-01 00:00:00"),
        ("@Annually", "2026-11-23 20:15:00", "2027-01-01 00:00:00"),
    ],
)
def test_the_next_due_time(expression: str, after: str, then: str) -> None:
    assert Schedule(expression).next(at(after)) == at(then)


def test_every_name_is_an_expression() -> None:
    for name, expression in NAMES.items():
        assert Schedule(name).next(at("2026-11-23")) == Schedule(expression).next(at("2026-11-23"))


def test_a_due_time_is_strictly_later_by_the_millisecond() -> None:
    minute = Schedule("* * * * *")
    assert minute.next(at("2026-11-23 20:15:00") - 1) == at("2026-11-23 20:15:00")
    assert minute.next(at("2026-11-23 20:15:00")) == at("2026-11-23 20:16:00")
    assert minute.next(at("2026-11-23 20:15:00") + 1) == at("2026-11-23 20:16:00")


@pytest.mark.parametrize(
    ("zone", "spring", "autumn", "winter", "summer"),
    [
        ("Europe/Madrid", "2026-03-28", "2026-10-24", "+0100", "+0200"),
        ("America/New_York", "2026-03-07", "2026-10-31", "-0500", "-0400"),
    ],
)
def test_a_job_at_half_past_two_runs_once_on_both_change_days(
    zone: str, spring: str, autumn: str, winter: str, summer: str
) -> None:
    day = [f"{datetime.fromisoformat(spring) + timedelta(days=n):%Y-%m-%d}" for n in range(3)]
    # There is no 02:30 on the second day: 03:00 is the next local time that there is.
    assert due_times("30 2 * * *", zone, f"{spring} 00:00", 3) == [
        f"{day[0]} 02:30:00 {winter}",
        f"{day[1]} 03:00:00 {summer}",
        f"{day[2]} 02:30:00 {summer}",
    ]
    day = [f"{datetime.fromisoformat(autumn) + timedelta(days=n):%Y-%m-%d}" for n in range(3)]
    # Half past two comes twice (in New York half past one does): the first counts.
    half = "30 2 * * *" if zone == "Europe/Madrid" else "30 1 * * *"
    hour = half.split()[1]
    assert due_times(half, zone, f"{autumn} 00:00", 3) == [
        f"{day[0]} 0{hour}:30:00 {summer}",
        f"{day[1]} 0{hour}:30:00 {summer}",
        f"{day[2]} 0{hour}:30:00 {winter}",
    ]


@pytest.mark.parametrize("expression", ["0 30 2 * * *", "30 2 * * *", "*/30 2 * * *", "15,30,45 2 * * *"])
def test_however_it_is_written_it_runs_on_the_day_without_that_hour_and_once(expression: str) -> None:
    of_the_day = [due for due in due_times(expression, "Europe/Madrid", "2026-03-28 12:00", 3) if "03-29" in due]
    assert of_the_day == ["2026-03-29 03:00:00 +0200"]


def test_with_seconds_an_hour_that_comes_twice_counts_once() -> None:
    assert due_times("0 30 2 * * *", "Europe/Madrid", "2026-10-25 00:00", 2) == [
        "2026-10-25 02:30:00 +0200",
        "2026-10-26 02:30:00 +0100",
    ]


def test_seen_from_inside_the_hour_that_comes_again() -> None:
    madrid = Schedule("30 2 * * *", "Europe/Madrid")
    again = at("2026-10-25 02:15", "Europe/Madrid", fold=1)
    assert madrid.next(again) == at("2026-10-26 02:30", "Europe/Madrid")


def test_a_job_of_every_hour_goes_on_through_both_changes() -> None:
    assert due_times("0 * * * *", "Europe/Madrid", "2026-03-29 00:30", 3) == [
        "2026-03-29 01:00:00 +0100",
        "2026-03-29 03:00:00 +0200",
        "2026-03-29 04:00:00 +0200",
    ]
    assert due_times("0 * * * *", "Europe/Madrid", "2026-10-25 01:30", 3) == [
        "2026-10-25 02:00:00 +0200",
        "2026-10-25 02:00:00 +0100",
        "2026-10-25 03:00:00 +0100",
    ]


def test_a_zone_that_never_changes_its_clock() -> None:
    assert due_times("30 2 * * *", "Asia/Kolkata", "2026-03-28 12:00", 2) == [
        "2026-03-29 02:30:00 +0530",
        "2026-03-30 02:30:00 +0530",
    ]


def test_midnight_where_the_clock_is_changed_at_midnight() -> None:
    assert due_times("@daily", "America/Havana", "2026-03-07 12:00", 2) == [
        "2026-03-08 01:00:00 -0400",
        "2026-03-09 00:00:00 -0400",
    ]


def test_a_day_that_a_zone_left_out() -> None:
    # Samoa went over the date line: there was no 30 December 2011.
    assert due_times("0 9 30 12 *", "Pacific/Apia", "2011-12-29 12:00", 1) == ["2011-12-31 00:00:00 +1400"]


def test_just_before_an_hour_that_comes_again() -> None:
    # A day after this it is 00:10 for the second time in Havana, and 00:55 is still seen for the first.
    assert due_times("55 * 1 11 *", "America/Havana", "2026-10-31 01:10", 2) == [
        "2026-11-01 00:55:00 -0400",
        "2026-11-01 00:55:00 -0500",
    ]


CHANGES = [
    (zone, day)
    for zone, days in {
        "Europe/Madrid": ("2026-03-28", "2026-10-24"),
        "America/New_York": ("2026-03-07", "2026-10-31"),
        "America/Havana": ("2026-03-07", "2026-10-31"),
        "Australia/Lord_Howe": ("2026-04-04", "2026-10-03"),
        "Africa/Cairo": ("2026-04-23", "2026-10-29"),
    }.items()
    for day in days
]


@pytest.mark.parametrize(("zone", "day"), CHANGES)
@pytest.mark.parametrize(
    ("expression", "minutes", "weekdays"),
    [
        ("*/5 * * * *", range(0, 60, 5), range(7)),
        ("30 0-23 * * *", [30], range(7)),
        ("0,45 * * * 0", [0, 45], [0]),
        ("15 * * * 0,5", [15], [0, 5]),
    ],
)
def test_jobs_of_every_hour_against_a_look_at_every_minute(
    zone: str, day: str, expression: str, minutes: "list[int]", weekdays: "list[int]"
) -> None:
    start = at(day, zone)
    expected = []
    for instant in range(start, start + 3 * 86_400_000, 60_000):
        local = datetime.fromtimestamp(instant / 1000, ZoneInfo(zone))
        if local.minute in minutes and local.isoweekday() % 7 in weekdays:
            expected.append(instant)
    schedule, found, due = Schedule(expression, zone), [], start - 1
    while (due := schedule.next(due) or 0) < start + 3 * 86_400_000:
        found.append(due)
    assert found == expected


@pytest.mark.parametrize(("zone", "day"), CHANGES)
@pytest.mark.parametrize(
    ("expression", "hours", "minutes"),
    [
        ("30 2 * * *", [2], [30]),
        ("0 30 2 * * *", [2], [30]),
        ("15 2 * * *", [2], [15]),
        ("45 1 * * *", [1], [45]),
        ("0 0 * * *", [0], [0]),
        ("30 0 * * *", [0], [30]),
        ("*/10 0-3 * * *", range(4), range(0, 60, 10)),
        ("5,35 1-2,23 * * *", [1, 2, 23], [5, 35]),
    ],
)
def test_jobs_of_some_hours_against_a_look_at_every_minute(
    zone: str, day: str, expression: str, hours: "list[int]", minutes: "list[int]"
) -> None:
    """Each local time once, when it is first shown; one that is not shown at the next one that is."""
    start, days = at(day, zone), 3
    shown: dict[datetime, int] = {}
    for instant in range(start - 86_400_000, start + (days + 2) * 86_400_000, 60_000):
        shown.setdefault(datetime.fromtimestamp(instant / 1000, ZoneInfo(zone)).replace(tzinfo=None), instant)
    wanted = {
        datetime.fromisoformat(day) + timedelta(days=n, hours=hour, minutes=minute)
        for n in range(days + 1)
        for hour in hours
        for minute in minutes
    }
    expected = sorted({shown[min(local for local in shown if local >= each)] for each in wanted})
    schedule, found, due = Schedule(expression, zone), [], start - 1
    while (due := schedule.next(due) or 0) < start + days * 86_400_000:
        found.append(due)
    assert found == [instant for instant in expected if start <= instant < start + days * 86_400_000]


def test_half_an_hour_that_comes_twice_or_never() -> None:
    """Lord Howe Island changes its clock by 30 minutes, at 02:00."""
    assert due_times("45 1 * * *", "Australia/Lord_Howe", "2026-04-04 00:00", 3) == [
        "2026-04-04 01:45:00 +1100",
        "2026-04-05 01:45:00 +1100",
        "2026-04-06 01:45:00 +1030",
    ]
    assert due_times("15 2 * * *", "Australia/Lord_Howe", "2026-10-03 00:00", 3) == [
        "2026-10-03 02:15:00 +1030",
        "2026-10-04 02:30:00 +1100",
        "2026-10-05 02:15:00 +1100",
    ]


def test_zones_are_known_without_the_zone_files_of_the_system() -> None:
    """As in a container that has none."""
    program = "from lineshaft.schedule import Schedule; print(Schedule('@daily', 'Australia/Lord_Howe').next(0))"
    ran = subprocess.run([sys.executable, "-c", program], env={"PYTHONTZPATH": ""}, capture_output=True, check=True)
    assert int(ran.stdout) == Schedule("@daily", "Australia/Lord_Howe").next(0)


EXPRESSIONS = [
    "*/5 * * * *",
    "30 2 * * *",
    "*/20 1-3 * * *",
    "0 */2 * * *",
    "*/7 * * * * *",
    "0 0 * * SUN",
    "0 0 29 2 *",
]
ZONES = ["UTC", "Europe/Madrid", "America/New_York", "America/Havana", "Australia/Lord_Howe", "Asia/Kolkata"]
INSTANTS = st.integers(at("2026-01-01"), at("2028-12-31")) | st.sampled_from(
    [at(f"{day} 12:00", zone) + hours * 3_600_000 for zone, day in CHANGES for hours in range(24)]
)


@given(st.sampled_from(EXPRESSIONS), st.sampled_from(ZONES), INSTANTS, st.integers(0, 90_000_000))
@settings(max_examples=200, deadline=None)
def test_nothing_is_jumped_over(expression: str, zone: str, instant: int, span: int) -> None:
    """Wherever one begins to look before a due time, and after the one before it, that is the one that is found."""
    schedule = Schedule(expression, zone)
    due = schedule.next(instant)
    assert due is not None
    assert due > instant
    assert schedule.next(min(instant + span, due - 1)) == due
    following = schedule.next(due)
    assert following is not None
    assert following > due


@given(st.sampled_from(EXPRESSIONS), st.sampled_from(ZONES), INSTANTS, st.integers(0, 10**11))
@settings(max_examples=100, deadline=None)
def test_the_latest_of_many(expression: str, zone: str, instant: int, span: int) -> None:
    schedule = Schedule(expression, zone)
    first = schedule.next(instant)
    assert first is not None
    now = first + span
    latest = schedule.latest(first, now)
    assert first <= latest <= now
    following = schedule.next(latest)
    assert following is not None
    assert following > now
    assert schedule.next(latest - 1) == latest


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("", "wrong number of fields"),
        ("* * * *", "wrong number of fields"),
        ("* * * * * * *", "wrong number of fields"),
        ("@reboot", "wrong number of fields"),
        ("60 * * * *", "bad minute"),
        ("* 24 * * *", "bad hour"),
        ("* * 0 * *", "bad day-of-month"),
        ("* * * 13 *", "bad month"),
        ("* * * * 8", "bad day-of-week"),
        ("61 * * * * *", "bad second"),
        ("*/0 * * * *", "bad minute"),
        ("5-1 * * * *", "bad minute"),
        ("a * * * *", "bad minute"),
        ("٣ * * * *", "bad character"),
        ("0 0 * * 5L/2", "bad day-of-week"),
        ("0 0 30 2 *", "bad day-of-month"),
        ("0 0 31 4,6 *", "bad day-of-month"),
    ],
)
def test_what_is_no_expression(expression: str, reason: str) -> None:
    with pytest.raises(ScheduleError, match=f"^{reason}$"):
        Schedule(expression)


FIELD = st.text("0123456789*/,-#LWlMONMAR", min_size=1, max_size=6)


@given(st.lists(FIELD | st.sampled_from(["*", "0", "31", "2", "MON#5"]), min_size=5, max_size=6).map(" ".join))
@settings(max_examples=300, deadline=None)
def test_whatever_it_is_it_is_taken_or_refused(expression: str) -> None:
    try:
        schedule = Schedule(expression, "Europe/Madrid")
    except ScheduleError:
        return
    due = schedule.next(at("2026-01-01"))
    assert due is not None
    assert due > at("2026-01-01")


@pytest.mark.parametrize("name", ["", "Nowhere", "Europe/Atlantis", "../etc/passwd", "/etc/passwd", "Europe", "a\0b"])
def test_what_is_no_zone(name: str) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        find_zone(name)


def test_the_calendar_ends() -> None:
    assert Schedule("@yearly").next(at("9999-06-01")) is None
    assert Schedule("* * * * *").next(1 << 60) is None


def test_two_that_are_the_same() -> None:
    assert Schedule("* * * * *", "UTC") == Schedule("* * * * *")
    assert Schedule("* * * * *") != Schedule("* * * * *", "Europe/Madrid")
    assert len({Schedule("@daily"), Schedule("@daily"), Schedule("@hourly")}) == 2
