"""`lineshaft import-faktory`: bring the jobs of a Faktory server, out of its Redis, into a running Lineshaft.

    every job was brought, or was there     exit 0
    some were refused, or the source moved  exit 1, and the same command may be run again
    it was asked for wrongly                exit 2

The source keeps its jobs. What has been brought is noted there, in a set of jids, so a second run brings only what the
first did not: also when the first was cut short, and when the jobs have run meanwhile.
"""

import sys
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

from cyclopts import Parameter
from msgspec import Struct
from msgspec import json as msgspec_json
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from lineshaft.cli.adoption import Candidate, Tally, send_all
from lineshaft.cli.faktory import PLACES, Found, Source, Unreadable
from lineshaft.cli.flag import Flag
from lineshaft.cli.reach import reach
from lineshaft.cli.words import plural
from lineshaft.clock import system_clock
from lineshaft.errors import LineshaftError, UsageError

__all__ = ["MARKS", "Imported", "SourceError", "import_faktory"]

#: The set in the source's Redis that holds the jids which have been brought.
MARKS: Final = "lineshaft:imported"

#: As many as one QUEUE names.
MOST_NAMES: Final = 1000

Place = Literal["working", "queues", "scheduled", "retries", "dead"]


class SourceError(LineshaftError):
    """The Redis that is read from does not answer, or does not do what it is asked for."""


class Imported(Struct):
    """What was found and what became of it; also what `--json` prints."""

    found: Found
    tally: Tally
    dry_run: bool
    #: As much was there at the end as at the beginning, and as much was read.
    steady: bool


def import_faktory(
    url: Annotated[str, Parameter(name="URL")],
    /,
    *,
    dry_run: Flag = False,
    only: Annotated[tuple[Place, ...], Parameter(negative=(), consume_multiple=True, show_default=False)] = (),
    marks: Annotated[bool, Parameter(negative="--no-marks")] = True,
    json: Flag = False,
) -> int:
    """Bring the jobs of a Faktory server into the running Lineshaft that FAKTORY_URL names. Stop Faktory first.

    Queues keep their order and pauses, jobs their failures; what was running is enqueued again. Nothing is removed from
    the source, and a second run brings only what the first did not.

    Parameters
    ----------
    url
        Faktory's Redis: redis://HOST:PORT/DB, rediss://, or unix:///var/lib/faktory/db/redis.sock
    dry_run
        Read and count, but bring nothing.
    only
        Places to bring, out of working, queues, scheduled, retries and dead [default: all].
    marks
        Note in the source what was brought, under the key lineshaft:imported.
    json
        Print one line of JSON instead of text.
    """
    redis, failures = _connect(url)
    try:
        imported = _import(redis, only=frozenset(only or PLACES), dry_run=dry_run, marks=marks)
    except failures as error:
        raise SourceError(_words(error)) from None
    finally:
        redis.close()
    if json:
        sys.stdout.write(msgspec_json.encode(imported).decode() + "\n")
    else:
        _tell(imported)
    return 0 if imported.steady and not imported.tally.refused else 1


def _connect(url: str) -> tuple[Any, type[Exception]]:
    """A client of the source, and what it raises. Raises UsageError."""
    try:
        import redis  # noqa: PLC0415 - an optional dependency
    except ModuleNotFoundError:
        raise UsageError(
            "import-faktory needs the Redis client, which is not installed: pip install 'lineshaft[faktory]'"
        ) from None
    try:
        return redis.Redis.from_url(url, socket_connect_timeout=10, socket_timeout=60), redis.RedisError
    except ValueError:
        # Its own text may quote a password.
        raise UsageError(
            "not the URL of a Redis: it looks like redis://:password@host:port/db, rediss://... or unix:///path/redis.sock"
        ) from None


def _words(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    if "READONLY" in text or "read only replica" in text:
        return f"the source's Redis takes no marks ({text}): read from its primary, or leave them out with --no-marks"
    return f"the source's Redis does not answer as it should ({text}): is Faktory's Redis running, and the URL right?"


def _import(redis: Any, *, only: frozenset[str], dry_run: bool, marks: bool) -> Imported:
    source = Source(redis, system_clock(), only)
    found = source.count()
    tally = Tally()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("reading" if dry_run else "importing", total=found.total)

        def candidates() -> Iterator[Candidate]:
            for row in source.jobs():
                tally.read += 1
                progress.advance(task)
                if isinstance(row, Unreadable):
                    tally.refuse(row.where, row.why)
                else:
                    yield row

        if dry_run:
            _count_new(redis, candidates(), tally, marks=marks)
        else:
            _bring(redis, found, candidates(), tally, marks=marks)
    return Imported(found, tally, dry_run, steady=source.count() == found and tally.read == found.total)


def _bring(redis: Any, found: Found, candidates: Iterator[Candidate], tally: Tally, *, marks: bool) -> None:
    def mark(chunk: list[Candidate]) -> None:
        if marks and chunk:
            redis.sadd(MARKS, *(one.jid for one in chunk))

    with reach(timeout_seconds=60) as client:
        if found.paused:
            # Before their jobs: a worker that waits would have the first.
            for start in range(0, len(found.paused), MOST_NAMES):
                client.queue("pause", *found.paused[start : start + MOST_NAMES])
        send_all(client, _unmarked(redis, candidates, tally) if marks else candidates, tally, mark)


def _count_new(redis: Any, candidates: Iterator[Candidate], tally: Tally, *, marks: bool) -> None:
    """What a run would bring, as far as the source alone can tell."""
    for _ in _unmarked(redis, candidates, tally) if marks else candidates:
        tally.adopted += 1


def _unmarked(redis: Any, candidates: Iterator[Candidate], tally: Tally) -> Iterator[Candidate]:
    """Those that no earlier run has brought; one question for many of them."""
    waiting: list[Candidate] = []
    for candidate in candidates:
        waiting.append(candidate)
        if len(waiting) == 500:
            yield from _without_marked(redis, waiting, tally)
            waiting = []
    yield from _without_marked(redis, waiting, tally)


def _without_marked(redis: Any, waiting: list[Candidate], tally: Tally) -> Iterator[Candidate]:
    if not waiting:
        return
    asking = redis.pipeline(transaction=False)
    for candidate in waiting:
        asking.sismember(MARKS, candidate.jid)
    for candidate, is_marked in zip(waiting, asking.execute(), strict=True):
        if is_marked:
            tally.before += 1
        else:
            yield candidate


def _tell(imported: Imported) -> None:
    found, tally = imported.found, imported.tally
    table = Table("place", "jobs", title="In Faktory's Redis", title_justify="left", title_style="bold")
    table.columns[1].justify = "right"
    for name, count in {**{f"queue {name}": count for name, count in found.queues.items()}, **found.sets}.items():
        table.add_row(name, f"{count:,}")
    Console().print(table)
    verb = "would be brought" if imported.dry_run else "brought"
    print(f"{plural(tally.read, 'job')} read: {tally.adopted:,} {verb}, {tally.known:,} there already,", end=" ")
    print(f"{tally.before:,} brought by an earlier run, {tally.refused:,} refused")
    for line in tally.told():
        print(line)
    if found.paused:
        print(f"paused: {', '.join(found.paused)}")
    if not imported.steady:
        print("the source changed while it was read: stop Faktory and run this again; nothing is brought twice")
