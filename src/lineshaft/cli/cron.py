"""`lineshaft cron`: the periodic jobs: list them, run one now, pause and resume."""

from typing import Final

from cyclopts import App

from lineshaft.cli.flag import Flag
from lineshaft.cli.looking import Row, ask, between, print_rows
from lineshaft.cli.reach import reach

__all__ = ["app"]

app: Final = App(name="cron", help="List, run, pause and resume periodic jobs.")

COLUMNS: Final = ("name", "schedule", "time zone", "type", "queue", "state", "last run", "next run", ">runs")


@app.default
@app.command(name="list")
def show(*, json: Flag = False) -> int:
    """List the periodic jobs. FAKTORY_URL says of which server [default: tcp://localhost:7419].

    Parameters
    ----------
    json
        Print a line of JSON per periodic job.
    """
    with reach() as client:
        rows = ask(client, b"CRON LIST")
    print_rows(rows, COLUMNS, _cells, json=json, title="Periodic jobs")
    return 0


def _cells(row: Row) -> tuple[object, ...]:
    return (
        row["name"],
        row["schedule"],
        row.get("tz") or "",
        row["jobtype"],
        row["queue"],
        "paused" if row["paused"] else "",
        between(row.get("last_run")),
        between(row.get("next_run")),
        row.get("runs", 0),
    )


@app.command
def run(name: str, /) -> int:
    """Push the job of this entry now, whether it is paused or not; its schedule stays as it is."""
    return _change("RUN", "pushed now", name)


@app.command
def pause(name: str, /) -> int:
    """Let the due times of this entry pass without a push, until it is resumed; over restarts too."""
    return _change("PAUSE", "paused", name)


@app.command
def resume(name: str, /) -> int:
    """Let this entry run again; what was due in between is not made up for."""
    return _change("RESUME", "resumed", name)


def _change(subcommand: str, done: str, name: str) -> int:
    with reach() as client:
        ask(client, f"CRON {subcommand} {name}".encode())
    print(f"{done}: {name}")
    return 0
