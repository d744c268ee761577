"""Functions become jobs.

    jobs = Jobs()

    @jobs.job(queue="mail", retry=5)
    async def welcome(user_id: int, *, language: str = "en") -> None: ...

    client.push(welcome.job(42, language="de"))     # typed as the function is
    await welcome(42)                               # still the function

A `Jobs` holds nothing but functions: no connection, no configuration. A worker is given one or several.
"""

import inspect
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, Literal, ParamSpec, TypeVar, Unpack, overload

from lineshaft.client.job import Job, Seconds, Treatment, new_jid, to_seconds
from lineshaft.errors import UsageError
from lineshaft.worker.arguments import Arguments
from lineshaft.worker.middleware import Middleware

__all__ = ["FunctionOptions", "JobFunction", "Jobs", "merged"]

P = ParamSpec("P")
C = TypeVar("C")
R = TypeVar("R")


class FunctionOptions(Treatment, total=False):
    """How the jobs of a function are to be treated, and the function itself."""

    name: str  #: the jobtype; the function's own name by default
    run: Literal["thread", "process"]  #: where a function that is not async runs
    timeout: Seconds  #: how long it may take before it is stopped, and the job fails
    keep_result: bool  #: whether what it returns is kept for those who wait for it


class JobFunction(Generic[P, C, R]):
    """A function whose calls can be jobs. To call it is to run it, here and now."""

    def __init__(
        self, function: Callable[P, C], options: FunctionOptions, middleware: Sequence[Middleware] = ()
    ) -> None:
        self.middleware = middleware
        treatment: dict[str, Any] = dict(options)
        self.name: str = treatment.pop("name", function.__name__)
        self.run: Literal["thread", "process"] = treatment.pop("run", "thread")
        timeout = treatment.pop("timeout", None)
        self.timeout_seconds = None if timeout is None else to_seconds(timeout)
        self.keep_result: bool = treatment.pop("keep_result", False)
        self.is_async = inspect.iscoroutinefunction(function)
        if self.is_async and self.run == "process":
            raise UsageError(f"{self.name} is async: it runs on the worker's loop, not in a process")
        self.function = function
        self.arguments = Arguments(self.name, function)
        # What all of its jobs have in common, checked here, where it is written.
        self._template = Job[R]({"jobtype": self.name}).using(**treatment)
        self.__doc__ = function.__doc__
        self.__module__ = function.__module__
        self.__qualname__ = function.__qualname__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> C:
        """Call the function."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<job function {self.name}>"

    def __reduce__(self) -> Any:
        # A child process finds it where it was defined.
        return _find, (self.__module__, self.__qualname__)

    def job(self, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """The call as a job, to be pushed. Raises UsageError for arguments that the worker would refuse."""
        fields = {**self._template.fields, "jid": new_jid(), "args": self.arguments.array(args, kwargs)}
        return Job(fields, result_type=self.arguments.result_type)


def _find(module: str, qualname: str) -> Any:
    __import__(module)
    found: Any = sys.modules[module]
    for name in qualname.split("."):
        found = getattr(found, name)
    return found


class Jobs:
    """Job functions by name; `middleware` stands around each of them, the first outermost."""

    def __init__(self, *, middleware: Sequence[Middleware] = ()) -> None:
        self.middleware = middleware
        self.functions: dict[str, JobFunction[..., Any, Any]] = {}

    @overload
    def job(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> JobFunction[P, Coroutine[Any, Any, R], R]: ...

    @overload
    def job(self, function: Callable[P, R], /) -> JobFunction[P, R, R]: ...

    @overload
    def job(self, /, **options: Unpack[FunctionOptions]) -> "_Decorator": ...

    def job(self, function: Any = None, /, **options: Unpack[FunctionOptions]) -> Any:
        """Make a job of a function: `@jobs.job`, or `@jobs.job(queue=..., ...)`. Raises UsageError."""
        decorate = _Decorator(self, options)
        return decorate if function is None else decorate(function)

    def add(self, function: JobFunction[..., Any, Any]) -> None:
        """Take in a function. Raises UsageError when its name is taken."""
        if self.functions.setdefault(function.name, function) is not function:
            raise UsageError(f"two job functions are named {function.name}: give one another, @jobs.job(name=...)")


def merged(jobs: Sequence[Jobs]) -> dict[str, JobFunction[..., Any, Any]]:
    """All functions of a worker. Raises UsageError for a name that two have, and when there are none."""
    together = Jobs()
    for one in jobs:
        for function in one.functions.values():
            together.add(function)
    if not together.functions:
        raise UsageError("a worker needs at least one job function: @jobs.job makes one")
    return together.functions


class _Decorator:
    def __init__(self, jobs: Jobs, options: FunctionOptions) -> None:
        self._jobs, self._options = jobs, options

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]]) -> JobFunction[P, Coroutine[Any, Any, R], R]: ...

    @overload
    def __call__(self, function: Callable[P, R]) -> JobFunction[P, R, R]: ...

    def __call__(self, function: Callable[..., Any]) -> Any:
        made: JobFunction[..., Any, Any] = JobFunction(function, self._options, self._jobs.middleware)
        self._jobs.add(made)
        return made
