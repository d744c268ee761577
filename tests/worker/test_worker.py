"""The worker against a real server."""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable
from datetime import date
from http.client import HTTPConnection
from typing import Any

import pytest

from lineshaft.client import Client, JobFailed
from lineshaft.errors import UsageError
from lineshaft.lifecycle import WorkerState
from lineshaft.worker import Jobs, Worker, this_job
from lineshaft.worker import worker as worker_module
from processes import ServerProcess
from worker import sample
from worker.sample import Size
from worker.working import work


def all_processed(client: Client, number: int) -> Callable[[], bool]:
    return lambda: client.info()["faktory"]["total_processed"] >= number


def in_sets(client: Client, **sizes: int) -> Callable[[], bool]:
    def condition() -> bool:
        sets = client.info()["faktory"]["sets"]
        return all(sets[name] == size for name, size in sizes.items()) and sets["working"] == 0

    return condition


def only(client: Client, target: str) -> dict[str, Any]:
    """The one job of a set, with what its failure left."""
    client.mutate("requeue", target)
    job = client.fetch("default")
    assert job is not None
    return job


def sampler(url: str, **options: Any) -> Worker:
    return Worker(sample.jobs, url=url, **{"concurrency": 4, **options})


def test_results_come_back_typed(url: str, client: Client) -> None:
    squares = [client.push(sample.area.job(Size(number), scale=2)) for number in range(20)]
    days = client.push(sample.later.job(date(2026, 11, 25)))
    *results, day = work(sampler(url), lambda: [one.wait(20) for one in (*squares, days)])
    assert results == [number * 20 for number in range(20)]
    assert day == date(2026, 11, 25)
    assert client.info()["faktory"]["sets"]["working"] == 0


def test_each_function_runs_where_it_belongs(url: str, client: Client) -> None:
    elsewhere = client.push(sample.elsewhere.job().using(track=True))
    again = client.push(sample.elsewhere.job())
    thread = client.push(sample.where.job())

    def all_is_told() -> bool:
        # What a job says goes beside its ACK, before or after it.
        return all(one.wait(20) for one in (elsewhere, again, thread)) and elsewhere.track_get().percent == 50

    work(sampler(url, concurrency=1), all_is_told)
    pid, jid = elsewhere.wait(1)
    assert pid != os.getpid()
    assert jid == elsewhere.jid
    assert again.wait(1)[0] == pid, "a child is used again"
    assert thread.wait(1) != [threading.get_ident(), thread.jid]


@pytest.mark.parametrize(
    ("job", "errtype", "message"),
    [
        (sample.broken.job("so"), "ValueError", "so"),
        (sample.broken_elsewhere.job(), "ValueError", "cannot"),
        (sample.crashes.job(), "ProcessDied", "the process of the job ended: exit code 3"),
        (sample.leaves.job(), "SystemExit", "1"),
        (sample.too_long.job(), "Interrupted", "ran longer than 0.1 s"),
        (sample.too_long_in_a_thread.job(), "Interrupted", "ran longer than 0.1 s"),
        (sample.too_long_in_a_process.job(), "Interrupted", "ran longer than 2 s"),
        (sample.no_json.job(), "TypeError", "its result cannot be written as JSON"),
        ({"jobtype": "nobody", "args": []}, "UnknownJobType", "no function of this worker is named nobody"),
        ({"jobtype": "area", "args": ["x"]}, "ValidationError", "Expected `object`, got `str` - at `$[0]`"),
        ({"jobtype": "noop", "args": [1]}, "ValidationError", "Expected `array` of at most length 0"),
    ],
    ids=lambda value: value.jobtype if hasattr(value, "jobtype") else "",
)
def test_a_failure_says_why(url: str, client: Client, job: Any, errtype: str, message: str) -> None:
    client.push(job)
    client.push(sample.noop.job())
    work(sampler(url), lambda: in_sets(client, retries=1)() and all_processed(client, 2)())
    failure = only(client, "retries")["failure"]
    assert failure["errtype"] == errtype
    assert failure["message"].startswith(message)


def test_a_result_that_is_too_large_is_dropped(url: str, client: Client) -> None:
    pushed = client.push(sample.large.job())
    assert work(sampler(url), lambda: pushed.track_get().state == "success")
    assert pushed.wait(1) is None


def test_a_backtrace_leads_to_the_job(url: str, client: Client) -> None:
    client.push(sample.broken.job())
    work(sampler(url), in_sets(client, retries=1))
    backtrace = only(client, "retries")["failure"]["backtrace"]
    assert "raise ValueError(what)" in "\n".join(backtrace)


def test_verdicts(url: str, client: Client) -> None:
    client.push(sample.dies.job())
    client.push(sample.discards.job())
    client.push(sample.discards.job().using(retry=5))
    client.push(sample.gives_back.job(3600))
    client.push(sample.gives_back_elsewhere.job())
    work(sampler(url), in_sets(client, dead=1, retries=0, scheduled=2))
    info = client.info()["faktory"]
    assert info["total_processed"] == 3, "what was given back was not processed"
    dead = only(client, "dead")
    assert (dead["jobtype"], dead["failure"]["message"]) == ("dies", "hopeless")


def test_retries_at_the_time_that_the_job_says(url: str, client: Client) -> None:
    pushed = client.push(sample.attempts.job(3))
    assert work(sampler(url), lambda: pushed.wait(20)) == 3


@pytest.mark.parametrize("name", ["endless", "endless_in_a_thread", "endless_in_a_process"])
def test_a_cancelled_job_is_stopped(url: str, client: Client, name: str) -> None:
    pushed = client.push(getattr(sample, name).job())

    def cancelled() -> bool:
        state = pushed.track_get()
        if state.state == "working" and not state.cancelled:
            pushed.cancel()
        return in_sets(client, working=0)() and all_processed(client, 1)()

    work(sampler(url, beat_seconds=0.05), cancelled)
    with pytest.raises(JobFailed, match="was cancelled"):
        pushed.wait(1)
    assert client.info()["faktory"]["sets"]["retries"] == 0


def test_progress_tells_the_last_word(url: str, client: Client) -> None:
    pushed = client.push(sample.progresses.job())
    work(sampler(url), lambda: pushed.wait(20) is None and pushed.track_get().desc)
    track = pushed.track_get()
    assert (track.percent, track.desc) == (99, "done")


def test_what_runs_at_the_end_is_given_back(url: str, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    # It ends when all have noticed; on a machine that is busy with other things that may take a while.
    monkeypatch.setattr(worker_module, "LAST_SECONDS", 30.0)
    names = ("endless", "endless_in_a_thread", "endless_in_a_process")
    for name in names:
        client.push(getattr(sample, name).job())

    def working() -> bool:
        return bool(client.info()["faktory"]["sets"]["working"] == 3)

    work(sampler(url, stop_seconds=0.05), working)
    info = client.info()["faktory"]
    assert (info["queues"], info["sets"]["working"]) == ({"default": 3}, 0)
    assert (info["total_failures"], info["sets"]["retries"]) == (0, 0)


def test_an_idle_worker_ends_at_once(url: str) -> None:
    def seconds_of_an_end() -> float:
        worker = sampler(url)
        work(worker, lambda: worker._is_lineshaft and len(worker._fetching) == 4, lambda: stop(worker))
        return time.monotonic() - stopped[-1]

    def stop(worker: Worker) -> None:
        stopped.append(time.monotonic())
        worker.stop()

    # A FETCH waits for two seconds. The machine may take as long for itself, but not every time.
    stopped: list[float] = []
    assert any(seconds_of_an_end() < 1 for _ in range(5)), "it waited for its FETCHes"


def test_quiet_finishes_and_stays(url: str, client: Client) -> None:
    slow = Jobs()
    going, go = threading.Event(), threading.Event()

    @slow.job
    def waits() -> None:
        going.set()
        assert go.wait(40)

    worker = Worker(slow, url=url, concurrency=2, beat_seconds=0.05)
    client.push(waits.job())

    def was_quiet() -> bool:
        if not going.is_set():
            return False
        if not go.is_set():
            worker.quiet()
            # A FETCH that was sent before waits on, for two seconds at most.
            while worker._fetching:
                time.sleep(0.01)
            client.push(waits.job())
            time.sleep(0.1)
            go.set()
        return all_processed(client, 1)() and in_sets(client, working=0)()

    work(worker, was_quiet)
    assert client.info()["faktory"]["queues"] == {"default": 1}


def test_middleware_stands_around_in_order(url: str, client: Client) -> None:
    seen: list[str] = []

    def named(name: str) -> Any:
        async def middleware(job: Any, call_next: Any) -> Any:
            seen.append(f"{name} {job.jobtype}")
            try:
                return await call_next(job)
            except ValueError as error:
                seen.append(f"{name} {error}")
                raise
            finally:
                seen.append(f"{name} after")

        return middleware

    client.push(sample.broken.job())
    work(sampler(url, middleware=[named("outer"), named("inner")]), in_sets(client, retries=1))
    assert seen == ["outer broken", "inner broken", "inner cannot", "inner after", "outer cannot", "outer after"]


def test_prefetched_jobs_wait_for_their_turn(url: str, client: Client) -> None:
    counted = Jobs()
    running, most = [0], [0]

    @counted.job
    async def one() -> None:
        running[0] += 1
        most[0] = max(most[0], running[0])
        await asyncio.sleep(0.01)
        running[0] -= 1

    client.push_bulk(one.job() for _ in range(30))
    work(Worker(counted, url=url, concurrency=2, prefetch=4), all_processed(client, 30))
    assert most == [2]


def test_queues_in_strict_order(url: str, client: Client) -> None:
    order: list[str] = []
    ordered = Jobs()

    @ordered.job
    async def note() -> None:
        order.append(this_job().queue)

    for queue in ("low", "high", "low", "high"):
        client.push(note.job().using(queue=queue))
    work(Worker(ordered, url=url, queues=["high", "low"], concurrency=1), all_processed(client, 4))
    assert order == ["high", "high", "low", "low"]


def test_queues_by_weight(url: str, client: Client) -> None:
    order: list[str] = []
    ordered = Jobs()

    @ordered.job
    async def note() -> None:
        order.append(this_job().queue)

    client.push_bulk(note.job().using(queue=queue) for queue in ("a", "b") for _ in range(300))
    work(Worker(ordered, url=url, queues=["a:9", "b:1"], concurrency=1), all_processed(client, 600))
    assert 0 < order[:200].count("b") < 60


def test_a_server_that_restarts_loses_nothing(tmp_path: Any) -> None:
    done: list[int] = []
    counted = Jobs()

    @counted.job
    async def count(number: int) -> None:
        await asyncio.sleep(0.01)
        done.append(number)

    with ServerProcess(tmp_path) as server:
        url = f"tcp://127.0.0.1:{server.port}"
        with Client(url, timeout_seconds=20) as client:
            client.push_bulk(count.job(number) for number in range(200))
            restarted: list[bool] = []

            def condition() -> bool:
                if not restarted:
                    server.kill()
                    server.start()
                    restarted.append(True)
                return len(set(done)) == 200 and in_sets(client, working=0)()

            work(Worker(counted, url=url, concurrency=5), condition)
            assert client.info()["faktory"]["queues"]["default"] == 0


def test_the_server_tells_it_to_end(tmp_path: Any) -> None:
    with ServerProcess(tmp_path, web=True) as server:
        url = f"tcp://127.0.0.1:{server.port}"
        worker = Worker(sample.jobs, url=url, concurrency=1, beat_seconds=0.05, wid="told-to-end")
        told: list[str] = []

        def tell() -> bool:
            with Client(url) as client:
                if client.info()["faktory"]["tasks"]["Workers"]["size"] == 0:
                    return False
            signal = "terminate" if worker.state is WorkerState.QUIET else "quiet"
            if signal not in told:
                told.append(signal)
                form = {"Content-Type": "application/x-www-form-urlencoded"}
                http = HTTPConnection("127.0.0.1", server.web_port, timeout=10)
                http.request("POST", "/busy", f"signal={signal}&wid=told-to-end", form)
                assert http.getresponse().status == 302
                http.close()
            return False

        # Its own end, not the test's.
        work(worker, tell)
        assert told == ["quiet", "terminate"]
        assert worker.state is WorkerState.TERMINATE


def test_an_error_of_ours_ends_the_worker_and_is_raised(url: str, client: Client) -> None:
    class Broken(Worker):
        async def _work(self, payload: bytes) -> list[bytes]:
            raise RuntimeError(f"cannot work {payload[:8]!r}")

    client.push(sample.noop.job())
    with pytest.raises(RuntimeError, match="cannot work"):
        work(Broken(sample.jobs, url=url, concurrency=2), lambda: False)


@pytest.mark.parametrize("odd", [b'"args":[1e999]', b'"args":[],"custom":{"x":1e999}', b'"args":[%b]' % (b"9" * 5000)])
def test_a_job_that_python_cannot_hold_fails_and_says_so(url: str, client: Client, odd: bytes) -> None:
    client.command(b'PUSH {"jid":"odd-00001","jobtype":"attempts",%b}' % odd)
    client.push(sample.noop.job())
    work(sampler(url), lambda: in_sets(client, retries=1)() and all_processed(client, 2)())
    client.mutate("requeue", "retries")
    job = client.fetch("default")
    assert job is not None
    assert job["jid"] == "odd-00001"
    assert "out of range" in job["failure"]["message"]


def test_a_job_that_cannot_be_read_does_not_end_the_worker(url: str, caplog: pytest.LogCaptureFixture) -> None:
    assert asyncio.run(sampler(url)._work(b'{"jid":5}')) == []
    assert "a job that cannot be read" in caplog.text


def test_the_log_names_the_job(url: str, client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "lineshaft.worker")
    pushed = client.push(sample.noop.job())
    client.push(sample.broken.job("so"))
    work(sampler(url), all_processed(client, 2))
    (done,) = [one for one in caplog.records if getattr(one, "jid", None) == pushed.jid]
    assert (done.outcome, done.jobtype, done.queue) == ("done", "noop", "default")
    assert "broken failed after" in caplog.text
    assert "ValueError: so" in caplog.text


def test_an_unknown_type_is_one_line(url: str, client: Client, caplog: pytest.LogCaptureFixture) -> None:
    client.push({"jobtype": "nobody", "args": []})
    work(sampler(url), in_sets(client, retries=1))
    (said,) = [one.getMessage() for one in caplog.records if "nobody" in one.getMessage()]
    assert "\n" not in said
    assert said.endswith(": UnknownJobType: no function of this worker is named nobody")


def test_what_cannot_be_is_said_at_once() -> None:
    with pytest.raises(UsageError, match="at least one job function"):
        Worker(Jobs())
    with pytest.raises(UsageError, match="concurrency"):
        Worker(sample.jobs, concurrency=0)
    with pytest.raises(UsageError, match="no job runs here"):
        this_job()
