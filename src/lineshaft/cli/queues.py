"""`lineshaft queues`: list, pause, resume and remove queues."""

from typing import Annotated, Final

from cyclopts import App, Parameter

from lineshaft.cli.confirm import is_confirmed
from lineshaft.cli.flag import Flag
from lineshaft.cli.looking import Row, look, print_rows
from lineshaft.cli.reach import reach
from lineshaft.cli.words import in_seconds, plural
from lineshaft.client import Client
from lineshaft.errors import UsageError

__all__ = ["app"]

app: Final = App(name="queues", help="List, pause, resume and remove queues.")


@app.default
@app.command(name="list")
def show(*names: str, json: Flag = False) -> int:
    """List queues: all, or those named. FAKTORY_URL says on which server [default: tcp://localhost:7419].

    Parameters
    ----------
    names
        Queues to list.
    json
        Print a line of JSON per queue.
    """
    with reach() as client:
        rows = [row for name in names for row in _existing(client, name)] if names else list(look(client, "queues"))
    columns = ("queue", ">jobs", ">oldest", "state", ">pushed", ">processed", ">failed")
    print_rows(rows, columns, _cells, json=json, title="Queues")
    return 0


def _existing(client: Client, name: str) -> list[Row]:
    found = list(look(client, "queues", queue=name))
    if not found:
        raise UsageError(f"there is no queue {name}; `lineshaft queues` lists them")
    return found


def _cells(row: Row) -> tuple[object, ...]:
    oldest = in_seconds(row["latency"]) if row["size"] else ""
    state = "paused" if row["paused"] else "full" if row["max_jobs"] and row["size"] >= row["max_jobs"] else ""
    return row["name"], row["size"], oldest, state, row["pushed"], row["processed"], row["failed"]


@app.command
def pause(name: str, /, *names: str) -> int:
    """Let nothing be fetched from these queues until they are resumed; pushes go on. `*` is all."""
    return _change("pause", "paused", (name, *names))


@app.command
def resume(name: str, /, *names: str) -> int:
    """Let jobs be fetched from these queues again. `*` is all."""
    return _change("resume", "resumed", (name, *names))


@app.command
def remove(
    name: str,
    /,
    *names: str,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative=(), show_default=False)] = False,
) -> int:
    """Remove these queues with the jobs that wait in them; what workers hold goes on. `*` is all.

    Parameters
    ----------
    yes
        Do not ask; needed where there is no terminal to ask on.
    """
    chosen = (name, *names)
    with reach() as client:
        sizes = {row["name"]: row["size"] for row in look(client, "queues")}
    count = sum(size for queue, size in sizes.items() if "*" in chosen or queue in chosen)
    if not is_confirmed(f"removes {', '.join(chosen)} with {plural(count, 'job')}", yes=yes):
        return 1
    return _change("remove", "removed", chosen)


def _change(subcommand: str, done: str, names: tuple[str, ...]) -> int:
    with reach() as client:
        client.queue(subcommand, *names)
    print(f"{done}: {', '.join(names)}")
    return 0
