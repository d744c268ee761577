"""`lineshaft import`: the lines of an export, or jobs as lines of JSON, into a running server.

A line is one of what `export` writes, or simply a job, as PUSH takes it. What was leased is enqueued. A jid that is on
the server already is left out, so a run that was cut short may be repeated.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Any, Final

from cyclopts import Parameter
from msgspec import DecodeError, Raw, Struct, field
from msgspec import json as msgspec_json
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from lineshaft.cli.adoption import Candidate, Tally, jid_of, send_all
from lineshaft.cli.flag import Flag
from lineshaft.cli.reach import reach
from lineshaft.cli.words import plural
from lineshaft.client import Client
from lineshaft.engine.views.exported import EXPORT_VERSION
from lineshaft.errors import UsageError
from lineshaft.job import ABSENT
from lineshaft.lifecycle import Place

__all__ = ["Imported", "import_jobs"]


class Imported(Struct):
    """What became of the lines; also what `--json` prints."""

    tally: Tally = field(default_factory=Tally)
    paused: list[str] = field(default_factory=list)
    #: The file says that it is an export, and its last line is there.
    whole: bool = True


class _Line(Struct):
    """Any of the lines."""

    export: int | None = None
    queue: str | None = None
    paused: bool = False
    place: str | None = None
    at: str | None = None
    job: Raw = ABSENT
    end: dict[str, int] | None = None
    jid: str | None = None


_decode: Final = msgspec_json.Decoder(_Line).decode


def import_jobs(
    file: Annotated[str, Parameter(name="FILE", allow_leading_hyphen=True)],
    /,
    *,
    json: Flag = False,
) -> int:
    """Bring the jobs of an export, or any jobs as lines of JSON, into the running server that FAKTORY_URL names.

    Exit code 1: some lines were refused, or the end of the export is missing.

    Parameters
    ----------
    file
        What `lineshaft export` has written, or a job per line, as PUSH takes it; `-` is standard input.
    json
        Print one line of JSON instead of text.
    """
    imported = Imported()
    with _opened(file) as (lines, report), reach(timeout_seconds=60) as client:
        send_all(client, _candidates(lines, report, client, imported), imported.tally, lambda _: None)
    if json:
        sys.stdout.write(msgspec_json.encode(imported).decode() + "\n")
    else:
        _tell(imported)
    return 0 if imported.whole and not imported.tally.refused else 1


def _candidates(lines: IO[bytes], report: Any, client: Client, imported: Imported) -> Iterator[Candidate]:
    tally = imported.tally
    for number, line in enumerate(lines, 1):
        report(len(line))
        text = line.strip()
        if not text:
            continue
        try:
            said = _decode(text)
        except (DecodeError, UnicodeDecodeError, RecursionError) as error:
            tally.read += 1
            tally.refuse(f"line {number}", f"cannot be read: {error}")
            continue
        if said.export is not None:
            _require_version(said.export)
            imported.whole = False
        elif said.end is not None:
            imported.whole = sum(said.end.values()) == tally.read
        elif said.job is ABSENT and said.jid is None:
            _note_queue(client, said, imported)
        else:
            tally.read += 1
            try:
                yield _candidate(said, text)
            except ValueError as error:
                tally.refuse(f"line {number}", str(error))


def _require_version(version: int) -> None:
    if version != EXPORT_VERSION:
        raise UsageError(f"this is an export of version {version}, and this Lineshaft reads version {EXPORT_VERSION}")


def _note_queue(client: Client, said: _Line, imported: Imported) -> None:
    """A queue that was paused is so before its jobs come: a worker that waits would have the first."""
    if said.queue is not None and said.paused:
        client.queue("pause", said.queue)
        imported.paused.append(said.queue)


def _candidate(said: _Line, text: bytes) -> Candidate:
    """Raises ValueError for what is no job."""
    if said.job is ABSENT:
        return Candidate(Place.READY.value if not said.at else Place.SCHEDULED.value, text, jid_of(text), said.at)
    job = bytes(said.job)
    place = said.place or Place.READY.value
    return Candidate(Place.READY.value if place == Place.LEASED else place, job, jid_of(job), said.at)


@contextmanager
def _opened(file: str) -> Iterator[tuple[IO[bytes], Any]]:
    """The lines, and whom to tell of bytes that were read."""
    if file == "-":
        yield sys.stdin.buffer, lambda _: None
        return
    columns = (TextColumn("importing {task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with (
        Path(file).open("rb") as lines,
        Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress,
    ):
        task = progress.add_task(file, total=Path(file).stat().st_size)
        yield lines, lambda count: progress.advance(task, count)


def _tell(imported: Imported) -> None:
    tally = imported.tally
    print(f"{plural(tally.read, 'job')} read: {tally.adopted:,} brought, {tally.known:,} there already,", end=" ")
    print(f"{tally.refused:,} refused")
    for line in tally.told():
        print(line)
    if imported.paused:
        print(f"paused: {', '.join(imported.paused)}")
    if not imported.whole:
        print("the end of the export is missing: it was cut off on its way")
