"""Rows that are damaged: every page shows what is whole, and says what is not."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from browser.stage import Stage, staged
from lineshaft.config.model import History
from lineshaft.engine import keys
from lineshaft.engine.timed import SetName
from lineshaft.errors import Refusal
from web.asking import ask

LATER = "2099-01-01T00:00:00Z"
#: What cannot be read at all, and JSON in which a name is no text.
DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "garbage": lambda _: b"\xc1",
    "no text": lambda value: value.replace(b'"jobtype":"job"', b'"jobtype":"\xff"'),
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("damaged"), history=History(completed_ms=86_400_000)) as stage:
        yield stage


@pytest.fixture
def served(kept: Stage) -> Stage:
    kept.clear()
    return kept


def damage(stage: Stage, prefix: bytes, with_text: str, how: Callable[[bytes], bytes]) -> None:
    """Make one row unreadable, behind the server's back."""

    def do() -> None:
        start, end = keys.prefix_range(prefix)
        rows = stage.server.store.scan(start, end, limit=1000)
        ((key, value),) = [(key, value) for key, value in rows if with_text.encode() in key + value]
        assert how(value) != value
        stage.server.store.commit({key: how(value)})

    stage.do(lambda: None)
    stage.do(do)


def page(stage: Stage, path: str) -> str:
    answer = ask(stage.web_port, path, Accept="text/html")
    assert answer.status == 200, answer.text
    return answer.text


@pytest.mark.parametrize("how", DAMAGE.values(), ids=list(DAMAGE))
@pytest.mark.parametrize(
    ("path", "prefix", "where"),
    [("/scheduled", b"Ts", {"at": LATER}), ("/queues/default", b"R", {})],
    ids=["a set", "a queue"],
)
def test_a_list_shows_the_others(
    served: Stage, path: str, prefix: bytes, where: dict[str, str], how: Callable[[bytes], bytes]
) -> None:
    served.push({"jid": "broken-01", **where}, {"jid": "whole-001", "jobtype": "sound", **where})
    damage(served, prefix, "broken-01", how)
    text = page(served, path)
    assert "whole-001" in text
    assert "broken-01" not in text
    assert "1 row here cannot be read" in text
    for other in ("/", "/queues", "/retries", "/server", "/jobs/broken-01?x=1"):
        assert ask(served.web_port, other).status in (200, 404)
    api = json.loads(ask(served.web_port, "/api/v1" + path + ("" if where else "/jobs")).body)
    assert ([job["jid"] for job in api["jobs"]], api["unreadable"]) == (["whole-001"], 1)


def test_home_tells_of_what_was_set_aside(served: Stage) -> None:
    served.push({"jid": "broken-01", "at": LATER})
    damage(served, b"Ts", "broken-01", DAMAGE["no text"])
    assert "set aside" not in page(served, "/")

    def meet() -> None:
        with suppress(Refusal):
            served.server.engine.reschedule(SetName.SCHEDULED, "broken-01", served.clock() + 1000)

    served.do(meet)
    assert "1 damaged row was set aside" in page(served, "/")
    assert "0 jobs" in page(served, "/scheduled")


def test_running_jobs_are_shown_without_what_cannot_be_read(served: Stage) -> None:
    served.push({"jid": "tracked-1", "custom": {"track": 1}}, {"jid": "broken-01"})
    with served.worker("w0000001") as worker:
        for _ in range(2):
            worker.command(b"FETCH default")
        worker.command(b'TRACK SET {"jid":"tracked-1","percent":42}')
        assert 'value="42"' in page(served, "/busy")
        damage(served, b"P", "tracked-1", DAMAGE["garbage"])
        damage(served, b"R", "broken-01", DAMAGE["no text"])
        text = page(served, "/busy")
        assert 'value="42"' not in text, "what it said of itself is gone; the job is there"
        assert "tracked-1" in text
        assert "broken-01" in text
        assert text.count("cannot be read") == 1
        for jid in ("tracked-1", "broken-01"):
            assert ask(served.web_port, f"/jobs/{jid}").status in (200, 404)
        assert ask(served.web_port, "/api/v1/workers").status == 200


def test_batches_are_shown_without_the_damaged_one(served: Stage) -> None:
    with served.client() as client:
        for name in (b"broken", b"whole"):
            told = b'{"description":"%s one","success":{"jobtype":"C","args":[]}}' % name
            bid = bytes(client.command(b"BATCH NEW " + told)).decode()
    broken = next(row["bid"] for row in served.do(lambda: served.server.engine.views.batches()[0]) if row["bid"] != bid)
    damage(served, b"Bb", broken, DAMAGE["garbage"])
    text = page(served, "/batches")
    assert "whole one" in text
    assert "1 row here cannot be read" in text
    assert f"{broken} ·" in text
    assert ask(served.web_port, f"/batches/{broken}").status == 404
    assert ask(served.web_port, "/api/v1/batches").status == 200


def test_finished_jobs_and_days_are_shown_without_the_damaged_ones(served: Stage) -> None:
    served.push({"jid": "broken-01"}, {"jid": "whole-001", "args": ["sound"]})
    with served.worker("w0000001") as worker:
        for jid in ("broken-01", "whole-001"):
            worker.command(b"FETCH default")
            worker.command(b"ACK " + json.dumps({"jid": jid}).encode())
    damage(served, b"Ht", "broken-01", DAMAGE["garbage"])
    text = page(served, "/finished")
    assert "whole-001" in text
    assert "1 row here cannot be read" in text
    assert ask(served.web_port, "/jobs/broken-01").status == 404
    damage(served, b"D", "", DAMAGE["garbage"])
    assert "<svg" in page(served, "/?range=6mo")


def test_a_finished_job_with_what_is_no_text_is_shown(served: Stage) -> None:
    served.push({"jid": "odd-00001", "args": ["letter"]})
    with served.worker("w0000001") as worker:
        worker.command(b"FETCH default")
        worker.command(b'ACK {"jid":"odd-00001"}')
    damage(served, b"Ht", "odd-00001", lambda value: value.replace(b"letter", b"l\xff\xfeter"))
    assert "odd-00001" in page(served, "/jobs/odd-00001")
    assert "odd-00001" in page(served, "/finished")


@pytest.mark.parametrize(
    "job", [{"at": "9999-12-31T23:59:59-23:00"}, {"at": LATER, "created_at": "0001-01-01T00:00:00+23:00"}]
)
def test_an_instant_beyond_all_years_is_shown(served: Stage, job: dict[str, str]) -> None:
    served.push({"jid": "far-00001", **job})
    assert "far-00001" in page(served, "/scheduled")
    assert "far-00001" in page(served, "/jobs/far-00001")
    assert ask(served.web_port, "/api/v1/scheduled").status == 200
