"""The child processes of a worker: killed at any time."""

import multiprocessing.context
import threading

import pytest
from msgspec import Raw

from lineshaft.worker.children import Child
from lineshaft.worker.outcome import Interrupted
from lineshaft.worker.running import Fetched, RunningJob
from worker import sample


def test_one_that_is_killed_while_it_starts_runs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    child = Child()
    job = RunningJob(Fetched("job-1", "elsewhere", Raw(b"[]")), lambda _: None)
    job.on_interrupt(lambda _: child.kill())
    start = multiprocessing.context.SpawnProcess.start

    def interrupted_meanwhile(process: multiprocessing.context.SpawnProcess) -> None:
        # As the loop does it, while the child is started in a thread.
        stopping = threading.Thread(target=job.interrupt, args=("the worker stops",))
        stopping.start()
        stopping.join()
        start(process)

    monkeypatch.setattr(multiprocessing.context.SpawnProcess, "start", interrupted_meanwhile)
    with pytest.raises(Interrupted, match="the worker stops"):
        child.run(job, sample.elsewhere)
    assert not child.is_alive()
