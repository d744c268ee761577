"""`lineshaft import-faktory`, from a real Redis as Faktory leaves it into a real server."""

import json
import time

import pytest

from cli.redis_process import RedisProcess
from lineshaft.cli.main import run_command
from processes import ServerProcess
from wire_client import WireClient

MANY = 1203  # more than two slices and chunks


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory):
    with RedisProcess(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with ServerProcess(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def wire(server, monkeypatch):
    """An empty server, which the command finds."""
    monkeypatch.delenv("FAKTORY_PROVIDER", raising=False)
    monkeypatch.setenv("FAKTORY_URL", f"tcp://127.0.0.1:{server.port}")
    with WireClient(server.port) as client:
        client.command(b"FLUSH")
        yield client


def job(jid, **fields):
    return json.dumps({"jid": jid, "queue": "default", "jobtype": "T", "args": [1, 2], **fields})


@pytest.fixture
def source(redis_server):
    """A Faktory's Redis with jobs in every place."""
    redis = redis_server.client
    redis.flushall()
    now = time.time()
    redis.sadd("queues", "default", "old", "empty")
    redis.sadd("paused", "old")
    for number in range(MANY):
        redis.lpush("q:default", job(f"ready-{number:04d}"))
    # What a version before 1.10 has left, and what came since.
    for number in range(3):
        redis.lpush("old", job(f"older-{number:03d}", queue="old"))
        redis.lpush("q:old", job(f"newer-{number:03d}", queue="old"))
    redis.zadd("scheduled", {job("later-001", at="2096-01-01T00:00:00Z"): now + 3600})
    failure = {"retry_count": 4, "remaining": 21, "failed_at": "2026-01-01T00:00:00.123456789Z", "message": "boom"}
    redis.zadd("retries", {job("retry-001", failure=failure): now + 7200})
    redis.zadd("dead", {job("dead-0001", failure=failure): now + 179 * 86400, job("dead-0002"): now - 86400})
    held = {"job": json.loads(job("held-0001")), "wid": "w", "reserved_at": "x", "expires_at": "y"}
    redis.zadd("working", {json.dumps(held): now + 1800})
    redis.set("processed", 12345)
    return redis_server


TOTAL = MANY + 6 + 1 + 1 + 2 + 1


def run(capsys, *words):
    code = run_command(["import-faktory", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


def imported(capsys, *words, code=0):
    found, out, err = run(capsys, *words, "--json")
    assert (found, err) == (code, "")
    return json.loads(out)


def tally(answer):
    return {name: answer["tally"][name] for name in ("read", "adopted", "known", "before", "refused")}


def test_everything_arrives_and_nothing_leaves(source, wire, capsys):
    before = source.contents()
    answer = imported(capsys, source.url)
    assert tally(answer) == {"read": TOTAL, "adopted": TOTAL, "known": 0, "before": 0, "refused": 0}
    assert answer["found"]["queues"] == {"default": MANY, "empty": 0, "old": 6}
    assert source.contents() == before
    info = wire.info()["faktory"]
    assert info["queues"] == {"default": MANY + 1, "old": 6}
    assert info["sets"] == {"scheduled": 1, "retries": 1, "dead": 2, "working": 0}
    # What was running is first, the order is kept, and the pause too.
    assert [wire.fetch("default")["jid"] for _ in range(3)] == ["held-0001", "ready-0000", "ready-0001"]
    assert wire.fetch("old") is None
    wire.command(b"QUEUE RESUME old")
    order = [wire.fetch("old")["jid"] for _ in range(6)]
    assert order == [*(f"older-{number:03d}" for number in range(3)), *(f"newer-{number:03d}" for number in range(3))]
    wire.command(b'MUTATE {"cmd":"requeue","target":"retries"}')
    wire.command(b'MUTATE {"cmd":"clear","target":"queue:default","filter":{"regexp":"*ready*"}}')
    retried = wire.fetch("default")
    assert retried["jid"] == "retry-001"
    assert retried["failure"]["retry_count"] == 4
    assert retried["failure"]["failed_at"] == "2026-01-01T00:00:00.123456789Z"


def test_a_second_run_brings_nothing_though_jobs_have_run(source, wire, capsys):
    imported(capsys, source.url)
    for _ in range(3):
        wire.ack(wire.fetch("default")["jid"])
    answer = imported(capsys, source.url)
    assert tally(answer) == {"read": TOTAL, "adopted": 0, "known": 0, "before": TOTAL, "refused": 0}
    source.client.lpush("q:default", job("late-0001"))
    assert tally(imported(capsys, source.url))["adopted"] == 1
    assert wire.info()["faktory"]["queues"]["default"] == MANY - 2 + 1


def test_a_run_that_was_cut_short_is_gone_on_with(source, wire, capsys, monkeypatch):
    """The server has the first chunk, and the source does not know it yet."""

    def cut(*_):
        raise ConnectionResetError

    with monkeypatch.context() as patch:
        patch.setattr("redis.Redis.sadd", cut)
        assert run(capsys, source.url)[0] == 1
    arrived = wire.info()["faktory"]["total_enqueued"]
    assert 0 < arrived < TOTAL
    answer = imported(capsys, source.url)
    assert tally(answer) == {"read": TOTAL, "adopted": TOTAL - arrived, "known": arrived, "before": 0, "refused": 0}
    assert wire.info()["faktory"]["queues"]["default"] == MANY + 1


def test_a_dry_run_brings_nothing(source, capsys, monkeypatch):
    monkeypatch.setenv("FAKTORY_URL", "tcp://127.0.0.1:1")
    before = source.contents()
    answer = imported(capsys, source.url, "--dry-run")
    assert answer["dry_run"] is True
    assert tally(answer)["adopted"] == TOTAL
    assert source.contents() == before
    assert not source.client.exists("lineshaft:imported")
    code, out, _ = run(capsys, source.url, "--dry-run")
    assert code == 0
    assert "queue default" in out
    assert f"{TOTAL:,} jobs read: {TOTAL:,} would be brought, 0 there already" in out


def test_only_some_places(source, wire, capsys):
    assert tally(imported(capsys, source.url, "--only", "dead", "retries"))["adopted"] == 3
    assert wire.info()["faktory"]["queues"] == {}
    assert tally(imported(capsys, source.url))["before"] == 3


def test_what_cannot_be_read_is_told_and_stays(source, wire, capsys):
    redis = source.client
    redis.lpush(
        "q:default", b'{"jid":"broken-01"', b"\xff\xfe", job("x"), job("bad-name1", queue="a b"), b'{"jobtype":"T"}'
    )
    redis.zadd("working", {"nonsense": 1})
    answer = imported(capsys, source.url, code=1)
    assert tally(answer) == {"read": TOTAL + 6, "adopted": TOTAL, "known": 0, "before": 0, "refused": 6}
    reasons = dict(map(tuple, answer["tally"]["refusals"]))
    assert reasons["x"] == "jobs must have a reasonable jid parameter"
    assert reasons["bad-name1"].startswith("queue names must match")
    assert "q:default" in reasons
    assert "working" in reasons
    code, out, _ = run(capsys, source.url)
    assert code == 1
    assert "  refused: x: jobs must have a reasonable jid parameter\n" in out
    assert wire.info()["faktory"]["sets"]["dead"] == 2


def test_raw_parts_arrive_byte_for_byte(source, wire, capsys):
    source.client.flushall()
    args = '[1.0,12345678901234567890123,"\\u00e9",{"b":1,"a":2}]'
    raw = f'{{"jid":"exact-001","queue":"default","jobtype":"T",\n "args":{args},"custom":{{"z":1.50}},"unknown":1}}'
    source.client.lpush("q:default", raw)
    imported(capsys, source.url)
    payload = wire.command(b"FETCH default")
    assert args.encode() in payload
    assert b'"custom":{"z":1.50}' in payload
    assert b"unknown" not in payload


@pytest.mark.usefixtures("wire")
def test_a_source_that_moves_is_noticed(source, capsys, monkeypatch):
    from lineshaft.cli import faktory  # noqa: PLC0415 - patched here

    original = faktory.Source.jobs

    def moving(self):
        source.client.lpush("q:default", job("moving-01"))
        yield from original(self)

    monkeypatch.setattr(faktory.Source, "jobs", moving)
    code, out, _ = run(capsys, source.url)
    assert code == 1
    assert "the source changed while it was read: stop Faktory and run this again" in out


@pytest.mark.usefixtures("wire")
def test_a_replica_takes_no_marks(source, capsys):
    source.client.replicaof("127.0.0.1", 1)
    try:
        code, _, err = run(capsys, source.url)
        assert code == 1
        assert err.startswith("lineshaft: the source's Redis takes no marks (")
        assert err.count("\n") == 1
        assert "--no-marks" in err
        answer = imported(capsys, source.url, "--no-marks")
        assert answer["tally"]["known"] > 0
        assert answer["tally"]["known"] + answer["tally"]["adopted"] == TOTAL
    finally:
        source.client.replicaof("NO", "ONE")


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("http://:hunter2@localhost", 2, "not the URL of a Redis: "),
        ("redis://:hunter2@127.0.0.1:1", 1, "the source's Redis does not answer as it should ("),
        ("unix:///no/such/redis.sock", 1, "the source's Redis does not answer as it should ("),
    ],
)
def test_what_is_no_source(url, code, said, capsys):
    found, out, err = run(capsys, url)
    assert (found, out) == (code, "")
    assert err.startswith(f"lineshaft: {said}")
    assert err.count("\n") == 1
    assert "hunter2" not in err


def test_without_the_client_library(capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "redis", None)
    code, _, err = run(capsys, "redis://localhost")
    assert code == 2
    assert "pip install 'lineshaft[faktory]'" in err


def test_without_a_server(source, capsys, monkeypatch):
    monkeypatch.setenv("FAKTORY_URL", "tcp://127.0.0.1:1")
    code, _, err = run(capsys, source.url)
    assert code == 1
    assert "no server answers at tcp://127.0.0.1:1" in err
    assert not source.client.exists("lineshaft:imported")
