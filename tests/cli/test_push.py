"""From words on the command line to a job."""

import msgspec
import pytest

from lineshaft.cli.push import build_job, parse_args, parse_at
from lineshaft.clock import parse_instant
from lineshaft.errors import UsageError
from lineshaft.job import admit, decode_pushed

NOW = 1_700_000_000_000


def encoded(*words, **options):
    """The bytes that go over the wire, with a fixed jid."""
    return msgspec.json.encode(build_job("T", words, **{"jid": "12345678", "now": NOW, **options}))


def test_a_bare_job_says_no_more_than_it_must():
    assert encoded() == b'{"jid":"12345678","jobtype":"T","args":[]}'


def test_everything_at_once():
    line = encoded(
        "1",
        queue="mail",
        at="2030-01-31T08:00:00Z",
        priority=9,
        custom='{"k": 1}',
        retry=-1,
        reserve_for=60,
    )
    assert msgspec.json.decode(line) == {
        "jid": "12345678",
        "jobtype": "T",
        "args": [1],
        "queue": "mail",
        "at": "2030-01-31T08:00:00Z",
        "priority": 9,
        "custom": {"k": 1},
        "retry": -1,
        "reserve_for": 60,
    }
    admit(decode_pushed(line), "2023-11-14T22:13:20Z")


def test_zero_is_not_left_out():
    assert msgspec.json.decode(encoded(retry=0))["retry"] == 0


def test_a_jid_is_made_up():
    jids = {build_job("T", [], now=NOW)["jid"] for _ in range(3)}
    assert len(jids) == 3
    assert all(len(jid) == 24 for jid in jids)


@pytest.mark.parametrize(
    ("words", "args"),
    [
        ([], b"[]"),
        (["[]"], b"[]"),
        (['[1, "a"]'], b'[1, "a"]'),
        (["[[1, 2]]"], b"[[1, 2]]"),
        (["42"], b"[42]"),
        (["-5"], b"[-5]"),
        (["1.10", '"a"', "null"], b'[1.10,"a",null]'),
        (["[1]", "[2]"], b"[[1],[2]]"),
        (['{"b":1,"a":123456789012345678901234567890}'], b'[{"b":1,"a":123456789012345678901234567890}]'),
        ([' "é" '], '["é"]'.encode()),
    ],
)
def test_args_keep_their_bytes(words, args):
    assert bytes(parse_args(words)) == args


@pytest.mark.parametrize("word", ["hello", "", "[1", "{'a':1}", "1 2", "NaN", "\udcff", '"\udcff"', "[" * 100_000])
def test_args_that_are_not_json(word):
    with pytest.raises(UsageError, match="ARGS must be JSON"):
        parse_args([word])


@pytest.mark.parametrize("custom", ["[]", '"x"', "1", "null", "{", ""])
def test_custom_must_be_an_object(custom):
    with pytest.raises(UsageError, match="--custom must be a JSON object"):
        encoded(custom=custom)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2030-01-31T08:00:00Z", "2030-01-31T08:00:00Z"),
        ("2030-01-31T08:00:00.123456789+02:00", "2030-01-31T08:00:00.123456789+02:00"),
        ("+90s", "2023-11-14T22:14:50.000Z"),
        ("+10m", "2023-11-14T22:23:20.000Z"),
        ("+1.5h", "2023-11-14T23:43:20.000Z"),
        ("+2d", "2023-11-16T22:13:20.000Z"),
    ],
)
def test_at(text, instant):
    assert parse_at(text, NOW) == instant
    parse_instant(instant)


@pytest.mark.parametrize(
    "text", ["", "+", "+10", "+ten", "+-5m", "10m", "tomorrow", "2030-01-31", "2030-01-31T08:00:00", "+99999999d"]
)
def test_at_refuses(text):
    with pytest.raises(UsageError, match="--at must be RFC 3339"):
        parse_at(text, NOW)


@pytest.mark.parametrize("priority", [0, 10, -1])
def test_a_priority_that_the_server_would_ignore_is_refused(priority):
    with pytest.raises(UsageError, match="--priority must be from 1 to 9"):
        encoded(priority=priority)


@pytest.mark.parametrize(("name", "flag"), [("retry", "--retry"), ("reserve_for", "--reserve-for")])
def test_numbers_that_no_client_could_read_are_refused(name, flag):
    with pytest.raises(UsageError, match=f"{flag} must fit in 32 bits"):
        encoded(**{name: 2**31})
