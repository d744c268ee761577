"""`lineshaft batch`: how far a batch is."""

import sys
from typing import Final

from cyclopts import App
from msgspec import json as msgspec_json
from rich.console import Console

from lineshaft.cli.flag import Flag
from lineshaft.cli.looking import ask, between, table_of
from lineshaft.cli.reach import reach

__all__ = ["app"]

app: Final = App(name="batch", help="Show how far a batch is.")

_STATES: Final = {"": "waits", "1": "enqueued", "2": "done"}


@app.command
def status(bid: str, /, *, json: Flag = False) -> int:
    """Show how far a batch is. FAKTORY_URL says on which server [default: tcp://localhost:7419].

    Parameters
    ----------
    bid
        The batch, as b-...
    json
        Print the answer of the server as one line of JSON.
    """
    with reach() as client:
        answer = ask(client, b"BATCH STATUS " + bid.encode())
    if json:
        sys.stdout.write(msgspec_json.encode(answer).decode() + "\n")
        return 0
    total, pending, failed = (int(answer.get(name, 0)) for name in ("total", "pending", "failed"))
    rows = {
        "description": answer.get("description", ""),
        "created": f"{answer.get('created_at', '')} ({between(answer.get('created_at'))})",
        "jobs": total,
        "ran at least once": max(total - pending, 0),
        "still to run": pending,
        "failed, not yet succeeded": failed,
        "complete callback": _STATES.get(answer.get("complete_st", ""), ""),
        "success callback": _STATES.get(answer.get("success_st", ""), ""),
    }
    if answer.get("parent_bid"):
        rows["parent"] = answer["parent_bid"]
    Console().print(table_of(f"Batch {bid}", ("", ""), rows.items()))
    return 0
