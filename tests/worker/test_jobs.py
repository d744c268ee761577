"""Functions as jobs: names, options, arguments both ways."""

import json
import pickle
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from lineshaft.client.job import Job
from lineshaft.errors import UsageError
from lineshaft.worker import Jobs
from lineshaft.worker.arguments import Arguments
from worker import sample


def sent(job: Job[Any]) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(job.encode(0))
    return fields


def test_a_function_stays_a_function() -> None:
    assert sample.area(sample.Size(2, 3), scale=4) == 24
    assert sample.area.__module__ == "worker.sample"
    assert pickle.loads(pickle.dumps(sample.area)) is sample.area


def test_a_call_as_a_job() -> None:
    jobs = Jobs()

    @jobs.job(name="mail.send", queue="mail", retry=3, timeout=timedelta(minutes=1), unique_for=60)
    def send(to: str, *, subject: str = "hi", retries: int = 1) -> None: ...

    fields = sent(send.job("me", retries=2))
    assert fields.pop("jid")
    assert fields == {
        "jobtype": "mail.send",
        "args": ["me", "hi", 2],
        "queue": "mail",
        "retry": 3,
        "custom": {"unique_for": 60},
    }
    assert send.timeout_seconds == 60
    assert sent(send.job("me"))["args"] == ["me"]
    assert send.job("me").jid != send.job("me").jid


def test_wrong_calls_are_refused_where_they_are_written() -> None:
    area: Any = sample.area
    for args, kwargs, message in (
        ((), {}, "area: missing a required argument: 'size'"),
        ((sample.Size(1),), {"color": 1}, "unexpected keyword argument 'color'"),
        ((sample.Size(1), 2), {}, "too many positional arguments"),
        ((5,), {}, r"area: Expected `object`, got `int` - at `\$\[0\]`"),
        ((sample.Size(1),), {"scale": object()}, "area: "),
    ):
        with pytest.raises(UsageError, match=message):
            area.job(*args, **kwargs)


def test_functions_that_cannot_be_jobs() -> None:
    jobs = Jobs()
    with pytest.raises(UsageError, match=r"cannot have \*args"):

        @jobs.job
        def variadic(*args: int) -> None: ...

    with pytest.raises(UsageError, match="it runs on the worker's loop"):

        @jobs.job(run="process")
        async def both() -> None: ...

    with pytest.raises(UsageError, match="no such option: color"):
        jobs.job(color="red")(lambda: None)  # type: ignore[call-arg]

    @jobs.job
    def twice() -> None: ...

    with pytest.raises(UsageError, match="two job functions are named twice"):
        jobs.job(name="twice")(lambda: None)


def test_arguments_from_an_array() -> None:
    def function(a: int, b: float = 0.5, /, c: list[str] | None = None, *, d: bool = True) -> None: ...

    arguments = Arguments("function", function)
    assert arguments.call(b"[1]") == ([1], {})
    assert arguments.call(b"[1,2]") == ([1, 2.0], {})
    assert arguments.call(b'[1,2,["x"],false]') == ([1, 2.0, ["x"]], {"d": False})
    for wrong in (b"[]", b"[1,2,3]", b"[1,2,[],true,5]", b"{}"):
        with pytest.raises(msgspec.ValidationError):
            arguments.call(wrong)


class Other(msgspec.Struct):
    """A type that JSON cannot tell from another."""


def test_a_type_that_json_cannot_be_is_told_when_it_is_needed() -> None:
    def function(a: sample.Size | Other) -> None: ...

    with pytest.raises(UsageError, match="the arguments of function cannot be read from JSON"):
        Arguments("function", function).prepare()

    def unknown(a: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(UsageError, match="the types of unknown cannot be found"):
        Arguments("unknown", unknown).prepare()
