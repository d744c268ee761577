"""The two formats of `lineshaft work`."""

import io
import json
import logging
from collections.abc import Iterator

import msgspec
import pytest

from lineshaft.worker.logs import log_to
from lineshaft.worker.running import Fetched, RunningJob, current_job


@pytest.fixture(autouse=True)
def _root() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def say(form: str) -> str:
    stream = io.StringIO()
    log_to(form, "info", stream)  # type: ignore[arg-type]
    job = RunningJob(Fetched("job-1", "greet", msgspec.Raw(b"[]"), "mail"), lambda _: None)
    token = current_job.set(job)
    try:
        logging.getLogger("mine").info("hello %s", "you")
    finally:
        current_job.reset(token)
    logging.getLogger("mine").debug("unheard")
    try:
        raise ValueError("oops")
    except ValueError:
        logging.getLogger("mine").exception("outside")
    return stream.getvalue()


def test_console() -> None:
    first, second, *trace = say("console").splitlines()
    assert first.endswith("INFO    [job-1] hello you")
    assert second.endswith("ERROR   outside")
    assert trace[-1] == "ValueError: oops"


def test_json() -> None:
    first, second = (json.loads(line) for line in say("json").splitlines())
    assert first.pop("time")
    assert first == {
        "level": "INFO",
        "logger": "mine",
        "message": "hello you",
        "jid": "job-1",
        "jobtype": "greet",
        "queue": "mail",
    }
    assert second["message"].endswith("ValueError: oops")
    assert "jid" not in second
