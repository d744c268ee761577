"""`lineshaft jobs`: list and search jobs, and requeue, kill or delete those that are meant.

Who is meant is said alike everywhere: a place (`--in`), and of its jobs those with these jids, or of this type, queue,
error, text and time. A change without any of that would be of all jobs of the place, which has to be said: `--all`.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any, Final, Literal

from cyclopts import App, Parameter
from msgspec import json as msgspec_json

from lineshaft.cli.confirm import is_confirmed
from lineshaft.cli.flag import Flag
from lineshaft.cli.looking import Row, ask, between, look, print_rows, relative_instant
from lineshaft.cli.reach import reach
from lineshaft.cli.words import plural
from lineshaft.client import Client
from lineshaft.clock import system_clock
from lineshaft.errors import UsageError

__all__ = ["Chosen", "app"]

app: Final = App(name="jobs", help="List and search jobs; requeue, kill or delete them.")

Place = Literal["ready", "leased", "scheduled", "retries", "dead"]

PLACES: Final = ("leased", "ready", "retries", "scheduled", "dead")

#: As many as one MUTATE takes.
MOST_JIDS: Final = 10_000

COLUMNS: Final = ("!jid", "place", "queue", "type", "when", "~worker or error", "~args")

In = Annotated[Place | None, Parameter(name=["--in", "-i"], metavar="PLACE")]


@Parameter(name="*")
@dataclass(frozen=True)
class Chosen:
    """Which jobs are meant."""

    queue: Annotated[str | None, Parameter(name=["--queue", "-q"], help="In, or for, this queue.")] = None
    jobtype: Annotated[str | None, Parameter(name=["--type", "-t"], help="Of this type.")] = None
    error: Annotated[str | None, Parameter(help="Whose last failure was of this type.")] = None
    text: Annotated[str | None, Parameter(help="With this text anywhere: arguments, error, custom.")] = None
    since: Annotated[
        str | None, Parameter(help="Due, or dead, since this time: 2026-01-31T08:00:00Z, a date, or 2h, 3d ago.")
    ] = None
    until: Annotated[str | None, Parameter(help="Due, or dead, before this time.")] = None

    def wanted(self) -> dict[str, Any]:
        """As the server wants it; what is not said is not there. Raises UsageError."""
        now = system_clock()
        said = {
            "queue": self.queue,
            "jobtype": self.jobtype,
            "errtype": self.error,
            "text": self.text,
            "since": relative_instant("--since", self.since, now),
            "until": relative_instant("--until", self.until, now),
        }
        return {name: value for name, value in said.items() if value}


EVERY_JOB: Final = Chosen()


@Parameter(name="*")
@dataclass(frozen=True)
class Terms:
    """How a change is meant."""

    every: Annotated[Flag, Parameter(name="--all", help="All jobs of the place.")] = False
    dry_run: Annotated[Flag, Parameter(help="Count them, and change nothing.")] = False
    yes: Annotated[
        Flag, Parameter(name=["--yes", "-y"], help="Do not ask; needed where there is no terminal to ask on.")
    ] = False


ASKED_FIRST: Final = Terms()


@app.default
@app.command(name="list")
def show(
    *,
    place: In = None,
    chosen: Chosen = EVERY_JOB,
    limit: Annotated[int, Parameter(name=["--limit", "-n"])] = 50,
    newest: Flag = False,
    json: Flag = False,
) -> int:
    """List jobs, in the order in which they will run. FAKTORY_URL says where [default: tcp://localhost:7419].

    Parameters
    ----------
    place
        ready, leased, scheduled, retries or dead [default: all].
    limit
        How many at most; 0 is all.
    newest
        Of scheduled, retries and dead the latest first.
    json
        Print a line of JSON per job.
    """
    if limit < 0:
        raise UsageError(f"--limit must be 0 or more, not {limit}")
    wanted = chosen.wanted()
    with reach(timeout_seconds=60) as client:
        found = _search(client, (place,) if place else PLACES, wanted, newest=newest)
        count = print_rows(islice(found, limit or None), COLUMNS, _cells, json=json, title="Jobs")
    if count == limit:
        print(f"the first {count:,}; --limit shows more", file=sys.stderr)
    return 0


def _search(client: Client, places: tuple[str, ...], wanted: dict[str, Any], *, newest: bool) -> Iterator[Row]:
    for place in places:
        if place != "ready":
            order = {"newest": True} if newest and place != "leased" else {}
            yield from look(client, "jobs", place=place, **wanted, **order)
            continue
        queues = [wanted["queue"]] if "queue" in wanted else [row["name"] for row in look(client, "queues")]
        for queue in queues:
            yield from look(client, "jobs", place=place, **{**wanted, "queue": queue})


def _cells(row: Row) -> tuple[object, ...]:
    job = row["job"]
    failure = job.get("failure") or {}
    note = row.get("wid") or (f"{failure['errtype']}: {failure['message']}" if failure else "")
    when = between(row.get("at") or row.get("since") or job.get("enqueued_at"))
    args = bytes(job["args"]).decode(errors="replace")
    return job["jid"], row["place"], row["queue"], job["jobtype"], when, note[:80], args[:80]


@app.command(name="show")
def show_one(jid: str, /, *, json: Flag = False) -> int:
    """Show everything that the server knows of a job, wherever it is. Exit code 1: there is none.

    Parameters
    ----------
    json
        Print a line of JSON per job with that jid.
    """
    with reach() as client:
        rows = list(look(client, "job", jid=jid))
        track = ask(client, b"TRACK GET " + jid.encode()) if not json else None
    for row in rows:
        encoded = msgspec_json.encode(row)
        text = encoded if json else msgspec_json.format(encoded, indent=2)
        sys.stdout.write(text.decode(errors="replace") + "\n")
    if track is not None and track.get("state") != "unknown":
        sys.stdout.write(f"tracked: {msgspec_json.encode(track).decode()}\n")
    if not rows:
        print(f"there is no job with jid {jid} on the server", file=sys.stderr)
        return 1
    return 0


@app.command
def requeue(
    *jids: str,
    place: In = None,
    chosen: Chosen = EVERY_JOB,
    terms: Terms = ASKED_FIRST,
) -> int:
    """Put scheduled, retried or dead jobs into their queues, to run now.

    Parameters
    ----------
    jids
        The jobs; without any, those that the filters choose.
    place
        scheduled, retries or dead.
    """
    return _mutate("requeue", "requeued", jids, place, chosen, terms)


@app.command
def kill(
    *jids: str,
    place: In = None,
    chosen: Chosen = EVERY_JOB,
    terms: Terms = ASKED_FIRST,
) -> int:
    """Move waiting jobs to the dead, from where they can be requeued.

    Parameters
    ----------
    jids
        The jobs; without any, those that the filters choose.
    place
        scheduled, retries, or ready with a queue.
    """
    return _mutate("kill", "killed", jids, place, chosen, terms)


@app.command
def delete(
    *jids: str,
    place: In = None,
    chosen: Chosen = EVERY_JOB,
    terms: Terms = ASKED_FIRST,
) -> int:
    """Delete waiting or dead jobs for good.

    Parameters
    ----------
    jids
        The jobs; without any, those that the filters choose.
    place
        scheduled, retries, dead, or ready with a queue.
    """
    return _mutate("discard", "deleted", jids, place, chosen, terms)


def _mutate(
    command: str,
    done: str,
    jids: tuple[str, ...],
    place: str | None,
    chosen: Chosen,
    terms: Terms,
) -> int:
    wanted = chosen.wanted()
    target = _target(command, place, wanted)
    if not jids and not terms.every and not wanted.keys() - ({"queue"} if place == "ready" else set()):
        raise UsageError("say which jobs are meant: jids, --type, --queue, --error, --text, --since, --until, or --all")
    if jids and (terms.every or wanted.keys() - {"queue"}):
        raise UsageError("name jids, or choose by filters, not both")
    with reach(timeout_seconds=3600) as client:
        count = len(jids) or sum(1 for _ in _search(client, (place or "",), wanted, newest=False))
        noun = plural(count, "job")
        if terms.dry_run:
            print(f"{noun} of {target} would be {done}")
            return 0
        if not jids and not is_confirmed(f"is about {noun} of {target}, which will be {done}", yes=terms.yes):
            return 1
        for filter in _filters(jids, place, wanted):
            ask(client, b"MUTATE " + msgspec_json.encode({"cmd": command, "target": target, "filter": filter}))
    print(f"{done}: {noun} of {target}" if not jids else f"{done}, as far as they are there: {', '.join(jids)}")
    return 0


def _target(command: str, place: str | None, wanted: dict[str, Any]) -> str:
    """What MUTATE is told. Raises UsageError."""
    if place in ("scheduled", "retries", "dead"):
        return place
    if place == "ready" and command != "requeue":
        if "queue" not in wanted:
            raise UsageError("jobs that are ready stand in a queue: say --queue")
        return f"queue:{wanted['queue']}"
    allowed = (
        "scheduled, retries or dead" if command == "requeue" else "scheduled, retries, dead, or ready with --queue"
    )
    raise UsageError(f"say with --in where the jobs are: {allowed}")


def _filters(jids: tuple[str, ...], place: str | None, wanted: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The filters of the MUTATEs that it takes."""
    for start in range(0, len(jids), MOST_JIDS):
        yield {"jids": list(jids[start : start + MOST_JIDS])}
    if not jids:
        yield {name: value for name, value in wanted.items() if not (place == "ready" and name == "queue")}
