"""Jobs as values."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest

from lineshaft.client.job import Job, as_job, job_of
from lineshaft.errors import UsageError


def fields(job: Job[Any], now: int = 1_764_000_000_000) -> dict[str, Any]:
    sent: dict[str, Any] = json.loads(job.encode(now))
    return sent


def test_a_plain_job() -> None:
    job = job_of("send", 42, UUID(int=1))
    assert fields(job) == {"jid": job.jid, "jobtype": "send", "args": [42, str(UUID(int=1))]}
    assert (job.queue, job.custom) == ("default", {})
    assert job_of("send", 42).jid != job.jid


def test_every_option_goes_to_its_place() -> None:
    job = job_of("send").using(
        jid="abcdefgh",
        queue="mail",
        priority=9,
        retry=3,
        backoff="fixed:30",
        reserve_for=timedelta(minutes=5),
        backtrace=10,
        unique_for=timedelta(hours=1),
        unique_until="start",
        expires_in=60,
        expires_at=datetime(2026, 1, 1, tzinfo=UTC),
        track=True,
        custom={"tenant": 7},
    )
    assert fields(job) == {
        "jid": "abcdefgh",
        "jobtype": "send",
        "args": [],
        "queue": "mail",
        "priority": 9,
        "retry": 3,
        "reserve_for": 300,
        "backtrace": 10,
        "custom": {
            "backoff": "fixed:30",
            "unique_for": 3600.0,
            "unique_until": "start",
            "expires_in": 60,
            "expires_at": "2026-01-01T00:00:00+00:00",
            "track": 1,
            "tenant": 7,
        },
    }


def test_using_leaves_the_job_as_it_was() -> None:
    job = job_of("send").using(custom={"a": 1})
    other = job.using(custom={"b": 2}, queue="mail")
    assert (job.custom, job.queue) == ({"a": 1}, "default")
    assert (other.custom, other.queue, other.jid) == ({"a": 1, "b": 2}, "mail", job.jid)


def test_when() -> None:
    job = job_of("send")
    assert fields(job.using(in_=90), now=1_764_000_000_000)["at"] == "2025-11-24T16:01:30.000Z"
    at = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert fields(job.using(in_=90).using(at=at))["at"] == "2026-01-01T12:00:00+02:00"
    assert fields(job.using(at=at).using(in_=0), now=0)["at"] == "1970-01-01T00:00:00.000Z"
    assert fields(job.using(at="2026-01-01T12:00:00Z"))["at"] == "2026-01-01T12:00:00Z"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"at": datetime(2026, 1, 1)}, "time zone"),
        ({"at": 5}, "a datetime"),
        ({"in_": -1}, "from 0"),
        ({"in_": "1"}, "number of seconds"),
        ({"in_": True}, "number of seconds"),
        ({"reserve_for": float("nan")}, "from 0"),
        ({"countdown": 5}, "no such option: countdown"),
    ],
)
def test_what_cannot_be_is_said_at_once(options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        job_of("send").using(**options)


def test_what_json_cannot_hold() -> None:
    with pytest.raises(UsageError, match="send cannot be written as JSON"):
        job_of("send", object()).encode(0)


def test_an_object_of_the_protocol_is_a_job() -> None:
    given = {"jobtype": "T", "args": []}
    assert as_job(given).jid
    assert "jid" not in given
    assert as_job({**given, "jid": "abcdefgh"}).jid == "abcdefgh"
