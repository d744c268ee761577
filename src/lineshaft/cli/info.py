"""`lineshaft info`: what INFO says, as tables or as JSON."""

import sys
from collections.abc import Mapping
from typing import Any

from msgspec import json as msgspec_json
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lineshaft.cli.flag import Flag
from lineshaft.cli.reach import reach

__all__ = ["info", "info_tables"]


def info(*, json: Flag = False) -> int:
    """Show the server, its queues and its sets. FAKTORY_URL says which server [default: tcp://localhost:7419].

    Parameters
    ----------
    json
        Print the answer of the server as one line of JSON instead of tables.
    """
    with reach() as client:
        answer = client.info()
    if json:
        sys.stdout.write(msgspec_json.encode(answer).decode() + "\n")
        return 0
    console = Console()
    for table in info_tables(answer):
        console.print(table)
    return 0


def info_tables(answer: Mapping[str, Any]) -> list[Table]:
    """Three tables: the server and its totals, the queues with the longest first, the sets.

    A server that leaves something out, or says more, is shown as far as it goes.
    """
    jobs = answer.get("faktory", {})
    totals = {name: count for name, count in jobs.items() if name.startswith("total_")}
    queues = sorted(jobs.get("queues", {}).items(), key=lambda row: (-row[1], row[0]))
    return [
        _table("Server", "", {**answer.get("server", {}), **totals}),
        _table("Queues", "jobs", dict(queues)),
        _table("Sets", "jobs", jobs.get("sets", {})),
    ]


def _table(title: str, unit: str, rows: Mapping[str, Any]) -> Table:
    table = Table("", unit, title=title, title_justify="left", title_style="bold", show_header=bool(unit))
    table.columns[1].justify = "right" if unit else "left"
    for name, value in rows.items():
        # Text, since a queue's name must not be read as markup.
        table.add_row(Text(str(name)), Text(f"{value:,}" if isinstance(value, int) else str(value)))
    if not rows:
        table.add_row(Text("none"), Text(""))
    return table
