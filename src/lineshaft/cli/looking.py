"""Looking at a running server: the rows of an INSPECT, page by page, and how they are printed.

With `--json` every row is one line of JSON, as the server gave it; otherwise all rows are one table.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from msgspec import Raw, Struct
from msgspec import json as msgspec_json
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lineshaft.cli.words import in_seconds
from lineshaft.client import Client
from lineshaft.client.lines import decoded, readable
from lineshaft.clock import parse_instant, system_clock
from lineshaft.errors import Refusal, UsageError
from lineshaft.protocol.resp import Reply

__all__ = ["ask", "between", "look", "print_rows", "relative_instant", "table_of"]

#: Rows of a page; a page is one command, and others have their turn in between.
PAGE: Final = 200

Row = dict[str, Any]

#: The members of a job that are its producer's and its worker's affair.
_CARRIED: Final = frozenset({"args", "custom"})


class _Page(Struct):
    rows: list[dict[str, Raw]]
    cursor: str


def ask(client: Client, line: bytes) -> Any:
    """A command whose answer is JSON. Raises UsageError when the server does not know the verb."""
    reply = _reply(client, line)
    return decoded(reply, lenient=True) if isinstance(reply, bytes) else reply


def _reply(client: Client, line: bytes) -> Reply:
    try:
        return client.command(line)
    except Refusal as refusal:
        if str(refusal).startswith("unknown command"):
            raise UsageError(f"this server does not know how: {refusal} (is it a Lineshaft, and new enough?)") from None
        raise


def _job(sent: Raw) -> dict[str, Any]:
    """A job; what it carries for others is not read, and printed as it came."""
    members: dict[str, Raw] = msgspec_json.decode(sent, type=dict[str, Raw])
    return {name: value if name in _CARRIED else readable(value) for name, value in members.items()}


def look(client: Client, what: str, *, limit: int | None = None, **wanted: Any) -> Iterator[Row]:
    """The rows of an INSPECT, at most `limit` of them; what is None is not asked for."""
    asked = {name: value for name, value in wanted.items() if value is not None}
    cursor, found = "", 0
    while True:
        page = PAGE if limit is None else max(1, min(PAGE, limit - found))
        # A search looks at more rows than it returns: a small page would only make it slow.
        size = PAGE if set(asked) & {"jobtype", "errtype", "text"} else page
        message = {"what": what, "cursor": cursor, "limit": size, **asked}
        answer: _Page = decoded(_reply(client, b"INSPECT " + msgspec_json.encode(message)), _Page)
        for row in answer.rows:
            yield {name: _job(value) if name == "job" else readable(value) for name, value in row.items()}
            found += 1
            if found == limit:
                return
        cursor = answer.cursor
        if not cursor:
            return


def print_rows(rows: Iterable[Row], columns: Sequence[str], cells: Any, *, json: bool, title: str) -> int:
    """Print the rows, each as `cells(row)` gives it, or as JSON; returns how many."""
    if json:
        count = 0
        for row in rows:
            sys.stdout.write(msgspec_json.encode(row).decode(errors="replace") + "\n")
            count += 1
        return count
    found = list(rows)
    Console().print(table_of(title, columns, [cells(row) for row in found]))
    return len(found)


def table_of(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table; nothing in it is read as markup.

    How a column's name begins says what it is: `>` a number, to the right; `!` never broken nor cut; `~` cut where the
    screen is narrow. All others are broken over lines there.
    """
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in columns:
        justify: Literal["left", "right"] = "right" if name.startswith(">") else "left"
        table.add_column(name.lstrip(">!~"), justify=justify, overflow="fold", no_wrap=name.startswith("!"))
    for row in rows:
        table.add_row(*map(_cell, columns, row))
    if not table.row_count:
        table.add_row(Text("none"))
    return table


def _cell(column: str, cell: object) -> Text:
    text = f"{cell:,}" if isinstance(cell, int) else str(cell)
    return Text(text, no_wrap=True, overflow="ellipsis") if column.startswith("~") else Text(text)


def between(stamp: str | None, now: int | None = None) -> str:
    """An instant as people ask for it: how long ago, or in what time."""
    if not stamp:
        return ""
    passed = ((system_clock() if now is None else now) - parse_instant(stamp)) / 1000
    return f"{in_seconds(passed)} ago" if passed >= 0 else f"in {in_seconds(-passed)}"


def relative_instant(flag: str, text: str | None, now: int) -> str | None:
    """An instant of the command line: RFC 3339, a date, or as far back as `2h`, `3d`. Raises UsageError."""
    if text is None:
        return None
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
    try:
        if text[:-1].isdigit() and text[-1:] in units:
            moment = datetime.fromtimestamp(now / 1000, UTC) - timedelta(**{units[text[-1]]: int(text[:-1])})
            return moment.isoformat(timespec="milliseconds")
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise UsageError(
            f'{flag} must be a time (2026-01-31T08:00:00Z), a date, or as 2h, 3d ago, not "{text}"'
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()
