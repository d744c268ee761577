"""`/metrics`: what Prometheus reads, and that nobody can make it grow."""

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from browser.stage import Stage
from lineshaft.store.rocks import RocksStore
from lineshaft.store.timing import Durations
from lineshaft.web.pages.metrics import MOST_QUEUES
from processes import ServerProcess
from web.asking import ask
from wire_client import WireClient


def samples(port: int) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    answer = ask(port, "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    families = list(text_string_to_metric_families(answer.text))
    assert len({family.name for family in families}) == len(families), "each family once"
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_the_figures_are_there(stage: Stage) -> None:
    stage.push(*[{"queue": "mail"}] * 3, {"at": "2099-01-01T00:00:00Z"})
    with stage.worker("m1") as worker:
        job = worker.fetch("mail")
        assert job is not None
        found = samples(stage.web_port)
        worker.ack(job["jid"])
    assert found["lineshaft_up", ()] == 1
    assert found["lineshaft_queue_jobs", (("queue", "mail"),)] == 2
    assert found["lineshaft_queue_pushed_total", (("queue", "mail"),)] == 3
    assert found["lineshaft_set_jobs", (("set", "scheduled"),)] == 1
    assert found["lineshaft_busy_jobs", ()] == 1
    assert found["lineshaft_workers", (("state", "running"),)] == 1
    assert samples(stage.web_port)["lineshaft_jobs_total", (("outcome", "success"),)] == 1


def test_outcomes_by_type_and_commands_by_verb(stage: Stage) -> None:
    before = samples(stage.web_port)
    stage.push(*[{"queue": "by-type", "jobtype": 'Mail"}', "retry": retry} for retry in (5, 5, 0, -1)])
    with stage.worker("m2") as worker:
        for number in range(4):
            job = worker.fetch("by-type")
            assert job is not None
            if number:
                worker.fail(job["jid"])
            else:
                worker.ack(job["jid"])
    found = samples(stage.web_port)
    kinds = {dict(labels)["outcome"]: value for (name, labels), value in found.items() if "type_jobs" in name}
    assert kinds == {"success": 1, "retry": 1, "discarded": 1, "dead": 1}
    labels = (("jobtype", 'Mail"}'), ("outcome", "success"), ("queue", "by-type"))
    assert found["lineshaft_type_jobs_total", labels] == 1

    def more(verb: str) -> float:
        key = "lineshaft_commands_total", (("verb", verb),)
        return found[key] - before.get(key, 0)

    assert (more("FETCH"), more("FAIL"), more("ACK"), more("PUSHB")) == (4, 3, 1, 1)
    assert found["lineshaft_command_seconds_count", (("verb", "FAIL"),)] >= 1, "the first of each verb is timed"
    assert found["lineshaft_command_seconds_sum", (("verb", "FAIL"),)] > 0
    assert found["lineshaft_loop_delay_seconds_count", ()] >= 1


def test_a_real_store_tells_how_long_it_takes(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, web=True) as server:
        with WireClient(server.port) as client:
            assert client.push("12345678") == "OK"
        found = samples(server.web_port)
    assert found["lineshaft_commit_seconds_count", ()] >= 1
    assert found["lineshaft_sync_seconds_count", ()] >= 1
    assert found["lineshaft_sync_seconds_bucket", (("le", "+Inf"),)] == found["lineshaft_sync_seconds_count", ()]
    assert found["lineshaft_storage_disk_bytes", ()] > 0


def test_queues_beyond_the_first_are_one(stage: Stage) -> None:
    stage.push(*[{"queue": f"q{number:04}"} for number in range(MOST_QUEUES + 50)])
    found = samples(stage.web_port)
    queues = [labels for name, labels in found if name == "lineshaft_queue_jobs"]
    assert len(queues) == MOST_QUEUES + 1
    assert found["lineshaft_queue_jobs", (("queue", "(other)"),)] == 50


def test_a_name_cannot_break_the_format(stage: Stage) -> None:
    stage.push({"queue": "a.b-c_D"})
    with stage.worker('w"}', hostname='h"{'):
        assert samples(stage.web_port)["lineshaft_up", ()] == 1


def test_durations(tmp_path: Path) -> None:
    taken = Durations()
    assert (taken.count, taken.at_most(0.5)) == (0, 0.0)
    for seconds in (0.00005, 0.0003, 0.0003, 20.0):
        taken.add(seconds)
    assert (taken.count, taken.counts[0], taken.counts[2], taken.counts[-1]) == (4, 1, 2, 1)
    assert (taken.at_most(0.5), taken.at_most(1.0)) == (0.0005, 10.0)
    store = RocksStore(tmp_path)
    store.commit({b"a": b"b"})
    store.sync()
    assert {name: one.count for name, one in store.durations().items()} == {"commit": 1, "sync": 1}
    store.close()
