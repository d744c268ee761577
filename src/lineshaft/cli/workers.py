"""`lineshaft workers`: list worker processes, and tell them to go quiet or to terminate."""

from typing import Annotated, Final

from cyclopts import App, Parameter
from msgspec import json as msgspec_json

from lineshaft.cli.flag import Flag
from lineshaft.cli.looking import Row, ask, between, look, print_rows
from lineshaft.cli.reach import reach
from lineshaft.cli.words import in_bytes
from lineshaft.errors import UsageError

__all__ = ["app", "worker_cells"]

app: Final = App(name="workers", help="List worker processes, and tell them to go quiet or to terminate.")

All = Annotated[bool, Parameter(name="--all", negative=(), show_default=False)]

COLUMNS: Final = ("worker", "host", ">pid", "state", ">jobs", ">memory", "heard", "started", "labels")


@app.default
@app.command(name="list")
def show(*, json: Flag = False) -> int:
    """List the worker processes that are connected. FAKTORY_URL says to which server [default: tcp://localhost:7419].

    Parameters
    ----------
    json
        Print a line of JSON per worker.
    """
    with reach() as client:
        print_rows(look(client, "workers"), COLUMNS, worker_cells, json=json, title="Workers")
    return 0


def worker_cells(row: Row) -> tuple[object, ...]:
    """A worker as a row of a table; the columns are COLUMNS."""
    memory = in_bytes(row["rss_kb"] * 1024) if row["rss_kb"] else ""
    heard, started = between(row["heard_at"]), between(row["started_at"])
    # A pid is a name, not a number to be read with commas.
    return (
        row["wid"],
        row["hostname"],
        str(row["pid"]),
        row["state"],
        row["jobs"],
        memory,
        heard,
        started,
        " ".join(row["labels"]),
    )


@app.command
def quiet(*wids: str, every: All = False) -> int:
    """Let workers finish what they have and fetch no more; they hear it with their next heartbeat.

    Parameters
    ----------
    wids
        The workers.
    every
        All of them.
    """
    return _signal("quiet", wids, every=every)


@app.command
def terminate(*wids: str, every: All = False) -> int:
    """Let workers end; what they do not finish within their own time they give back.

    Parameters
    ----------
    wids
        The workers.
    every
        All of them.
    """
    return _signal("terminate", wids, every=every)


def _signal(state: str, wids: tuple[str, ...], *, every: bool) -> int:
    if bool(wids) == every:
        raise UsageError("name the workers that are meant (`lineshaft workers` lists them), or say --all")
    with reach() as client:
        for wid in wids or ("all",):
            ask(client, b"SIGNAL " + msgspec_json.encode({"wid": wid, "state": state}))
    print(f"told to {'go quiet' if state == 'quiet' else state}: {', '.join(wids) or 'all workers'}")
    return 0
