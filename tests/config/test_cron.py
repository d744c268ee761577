"""`[[cron]]`: what an entry gives, what tells it from the others, and what is said when it cannot be."""

import pytest

from lineshaft.config import Cron, CronJob, cron
from lineshaft.config.tables import keys_of
from lineshaft.engine.settings import Periodic
from lineshaft.errors import ConfigError
from lineshaft.job import admit, decode_pushed
from lineshaft.schedule import Schedule
from lineshaft.settings import engine_settings, periodic

EVERYTHING = """
[[cron]]
schedule = "30 2 * * *"
tz = "Europe/Madrid"
catch_up = "once"
name = "nightly"
[cron.job]
type = "Report"
queue = "mail.out"
args = [1, "two", { three = [true, 4.5] }]
retry = 3
priority = 9
reserve_for = "2m"
backtrace = 20
[cron.job.custom]
tenant = "acme"
"""
LEAST = '[[cron]]\nschedule = "@hourly"\njob = { type = "Report" }\n'


def test_every_key(loaded):
    (cron,) = loaded(EVERYTHING).cron
    assert (cron.schedule, cron.tz, cron.catch_up, cron.name) == ("30 2 * * *", "Europe/Madrid", "once", "nightly")
    assert cron.job == CronJob(
        jobtype="Report",
        queue="mail.out",
        args=[1, "two", {"three": [True, 4.5]}],
        retry=3,
        priority=9,
        reserve_for_seconds=120,
        backtrace=20,
        custom={"tenant": "acme"},
    )
    assert periodic(cron, 1000) == Periodic(
        "nightly",
        Schedule("30 2 * * *", "Europe/Madrid"),
        "Report",
        "mail.out",
        b'{"jobtype":"Report","queue":"mail.out","args":[1,"two",{"three":[true,4.5]}],"retry":3,"priority":9,'
        b'"reserve_for":120,"backtrace":20,"custom":{"tenant":"acme"}}',
        catch_up=True,
    )


def test_what_is_left_out_is_as_in_a_push(loaded):
    (rule,) = engine_settings(loaded(LEAST)).periodic
    assert (str(rule.schedule), rule.catch_up) == ("@hourly UTC", False)
    job, pushed = decode_pushed(rule.job), decode_pushed(b'{"jobtype":"Report","args":[]}')
    for each in (job, pushed):
        each.jid = "job-00001"
        admit(each, "2026-11-23T12:00:00.000Z")
    assert (job.queue, job.retry, job.reserve_for, bytes(job.custom)) == (
        pushed.queue,
        pushed.retry,
        pushed.reserve_for,
        b"",
    )
    assert bytes(job.priority) == b"5"


def test_without_any(loaded):
    assert loaded("").cron == ()
    assert loaded("cron = []").cron == ()


def test_files_append(machine):
    machine.write(LEAST.replace("Report", "Second"), "2.toml")
    machine.write(LEAST.replace("Report", "First"), "1.toml")
    assert [cron.job.jobtype for cron in machine.load().cron] == ["First", "Second"]


def test_what_tells_one_from_another(loaded):
    def identity(content):
        return loaded(content).cron[0].identity

    own = identity(LEAST)
    assert len(own) == 16
    # Nothing about how or where it is written.
    assert identity('[[cron]]\nname = "x"\nschedule = "@daily"\n[cron.job]\ntype="T"\n' + LEAST) == "x"
    assert loaded('[[cron]]\nname = "x"\nschedule = "@daily"\n[cron.job]\ntype="T"\n' + LEAST).cron[1].identity == own
    assert identity(LEAST.replace("job =", 'catch_up = "once"\njob =')) == own
    assert identity(LEAST.replace('"Report"', '"Report", queue = "default"')) == own
    # When and what.
    others = [
        LEAST.replace("@hourly", "@daily"),
        LEAST.replace("job =", 'tz = "Europe/Madrid"\njob ='),
        LEAST.replace("Report", "Other"),
        LEAST.replace('"Report"', '"Report", args = [1]'),
        LEAST.replace('"Report"', '"Report", custom = { a = 1 }'),
    ]
    assert len({own, *map(identity, others)}) == 1 + len(others)


SCHEDULE = (
    '"MINUTE HOUR DAY MONTH WEEKDAY", with SECOND before them if you like (as "*/5 * * * *"), or one of @hourly,'
    " @daily, @midnight, @weekly, @monthly, @yearly, @annually"
)
ZONE = 'the name of a time zone, such as "UTC" or "Europe/Madrid"'
TIME = 'a number of seconds, or a string such as "90s", "30m", "24h" or "180d"'
OUT_OF = "characters out of a-z, A-Z, 0-9, dot, dash, underscore"
JSON = "what JSON can hold (no dates, times, nan or inf)"


def entry(line="", *, job=""):
    schedule = "" if line.startswith("schedule") else "schedule = '@hourly'"
    kind = "" if job.startswith("type") else "type = 'T'"
    return "\n".join(["[[cron]]", schedule, line, "[cron.job]", kind, job, ""])


CASES = [
    (entry("schedule = 5"), f"cron[1].schedule must be {SCHEDULE}, not 5"),
    (entry("schedule = '61 * * * *'"), f'cron[1].schedule must be {SCHEDULE}, not "61 * * * *" (bad minute)'),
    (entry("schedule = '* *'"), f'cron[1].schedule must be {SCHEDULE}, not "* *" (wrong number of fields)'),
    (entry("schedule = '0 0 30 2 *'"), f'cron[1].schedule must be {SCHEDULE}, not "0 0 30 2 *" (bad day-of-month)'),
    (entry("tz = 'Europe/Atlantis'"), f'cron[1].tz must be {ZONE}, not "Europe/Atlantis"'),
    (entry("tz = 2"), f"cron[1].tz must be {ZONE}, not 2"),
    (entry("catch_up = true"), 'cron[1].catch_up must be "skip" or "once", not true'),
    (entry("name = 'a b'"), f'cron[1].name must be 1 to 100 {OUT_OF}, not "a b"'),
    (
        entry(job="type = ''").replace('type = "T"\n', ""),
        'cron[1].job.type must be a non-empty string of one line, not ""',
    ),
    (entry(job="queue = 'a b'"), f'cron[1].job.queue must be 1 to 255 {OUT_OF}, not "a b"'),
    (entry(job="args = 1"), f"cron[1].job.args must be an array of {JSON}, not 1"),
    (
        entry(job="args = [2026-11-23]"),
        f"cron[1].job.args must be an array of {JSON}, not [datetime.date(2026, 11, 23)]",
    ),
    (entry(job="args = [[nan]]"), f"cron[1].job.args must be an array of {JSON}, not [[nan]]"),
    (
        entry(job="args = [9223372036854775808]"),
        f"cron[1].job.args must be an array of {JSON}, not [9223372036854775808]",
    ),
    (entry(job="retry = -2"), "cron[1].job.retry must be a whole number from -1 to 2147483647, not -2"),
    (entry(job="priority = 0"), "cron[1].job.priority must be a whole number from 1 to 9, not 0"),
    (entry(job="reserve_for = 30"), f"cron[1].job.reserve_for must be {TIME}, from 60s to 86400s, not 30"),
    (entry(job="backtrace = -1"), "cron[1].job.backtrace must be a whole number from 0 to 2147483647, not -1"),
    (entry(job="custom = []"), f"cron[1].job.custom must be a table of {JSON}, not []"),
    (entry(job="custom = { a = inf }"), f"cron[1].job.custom must be a table of {JSON}, not a table"),
    # What is missing, or has no place.
    ('[[cron]]\nschedule = "@daily"', "cron[1] needs a table [cron.job]"),
    ("[[cron]]\njob = {}", "cron[1].job needs type: a non-empty string of one line"),
    ("[[cron]]\njob = { type = 'T' }", f"cron[1] needs schedule: {SCHEDULE}"),
    ("[[cron]]\njob = 'T'", "cron[1].job must be a table, written [cron.job]"),
    ("[cron]\nschedule = '@daily'", "cron must be written [[cron]], once per job, with its job under [cron.job]"),
    ("cron = [1]", "cron must be written [[cron]], once per job, with its job under [cron.job]"),
    (
        entry("timezone = 'UTC'"),
        "cron[1].timezone is not a key; the keys of [cron] are schedule, tz, catch_up, name, and a table [cron.job]",
    ),
    (
        entry(job="jobtype = 'T'"),
        "cron[1].job.jobtype is not a key; the keys of [cron.job] are type, queue, args, retry, priority, reserve_for,"
        " backtrace, custom",
    ),
    # Two of them.
    (LEAST + entry("schedule = 'x'"), f'cron[2].schedule must be {SCHEDULE}, not "x" (wrong number of fields)'),
]


@pytest.mark.parametrize(("content", "complaint"), CASES)
def test_what_cannot_be(machine, content, complaint):
    file = machine.write(content)
    with pytest.raises(ConfigError) as caught:
        machine.load()
    assert str(caught.value) == f"{file}: {complaint}"


def test_every_key_is_refused_in_some_case_above():
    complaints = "\n".join(complaint for _, complaint in CASES)
    for name in [*keys_of(Cron), *(f"job.{name}" for name in keys_of(CronJob))]:
        assert f"cron[1].{name} must be" in complaints


def test_an_entry_is_counted_in_its_own_file(machine):
    machine.write(LEAST + LEAST.replace("Report", "Other"), "1.toml")
    wrong = machine.write(LEAST.replace("Report", "Third") + entry("schedule = ''"), "2.toml")
    with pytest.raises(ConfigError) as caught:
        machine.load()
    assert str(caught.value).startswith(f"{wrong}: cron[2].schedule must be")


@pytest.mark.parametrize(
    ("custom", "complaint"),
    [
        ("{ unique_for = 'x' }", "invalid custom: Expected `float | null`, got `str` - at `$.unique_for`"),
        ("{ unique_for = 60, unique_until = 'x' }", 'invalid custom: unique_until must be "success" or "start"'),
        ("{ backoff = 'x' }", "invalid custom: "),
        (f"{{ x = '{'y' * 2000}' }}", "custom is too large: 2008 bytes, and the limit is 1024"),
    ],
)
def test_what_no_push_would_accept_is_refused_before_anything_starts(machine, custom, complaint):
    file = machine.write("[limits]\ncustom = 1024\n" + LEAST + entry(job=f"custom = {custom}"))
    with pytest.raises(ConfigError) as caught:
        engine_settings(machine.load())
    assert str(caught.value).startswith(f"{file}: cron[2].job: {complaint}")


def test_there_is_a_limit(machine, monkeypatch):
    monkeypatch.setattr(cron, "MOST_ENTRIES", 2)
    machine.write(LEAST, "1.toml")
    machine.write(LEAST.replace("Report", "Other"), "2.toml")
    assert len(machine.load().cron) == 2
    file = machine.write(LEAST.replace("Report", "Third"), "3.toml")
    with pytest.raises(ConfigError) as caught:
        machine.load()
    assert str(caught.value) == f"{file}: cron[1] is one too many: there may be 2 periodic jobs in all"


def test_two_that_could_not_be_told_apart(machine):
    first = machine.write(LEAST, "1.toml")
    second = machine.write(LEAST, "2.toml")
    with pytest.raises(ConfigError) as caught:
        machine.load()
    assert str(caught.value) == f"{second}: cron[1] is the same as {first}: cron[1]: give each a name of its own"
    named = LEAST.replace("job =", 'name = "n"\njob =')
    machine.write(named, "1.toml")
    machine.write(named.replace("Report", "Other"), "2.toml")
    with pytest.raises(ConfigError) as caught:
        machine.load()
    assert str(caught.value) == f"{second}: cron[1] has the same name as {first}: cron[1]: give each a name of its own"
