"""`lineshaft backup`: have the running server copy its data, while it goes on."""

import os
import sys
from typing import Annotated, Any, Final

from cyclopts import Parameter
from msgspec import json as msgspec_json
from rich.console import Console

from lineshaft.cli.flag import Flag
from lineshaft.cli.reach import reach
from lineshaft.cli.words import in_bytes
from lineshaft.errors import UsageError

__all__ = ["backup"]

#: A copy to another disk may take its time; that nothing goes on any more is for the operator to see.
TIMEOUT_SECONDS: Final = 24 * 3600.0


def backup(
    directory: Annotated[str, Parameter(name="DIR")],
    /,
    *,
    json: Flag = False,
) -> int:
    """Copy the data of the running server into the new directory DIR, on the server's machine.

    The copy holds every job that was accepted before, and is one moment of the server's life; the server goes on
    meanwhile. FAKTORY_URL says which server [default: tcp://localhost:7419]. `lineshaft restore` brings it back.

    Parameters
    ----------
    directory
        A new directory; the one that it is to lie in exists.
    json
        Print one line of JSON instead of text.
    """
    if not directory:
        raise UsageError("DIR is empty (from a shell variable that is not set?): give it the name of a new directory")
    answer = _ask(os.path.abspath(directory))
    if json:
        sys.stdout.write(msgspec_json.encode(answer).decode() + "\n")
    else:
        print(f"{answer['dir']}: {in_bytes(answer['bytes'])} in {answer['files']} files, {answer['seconds']} s")
    return 0


def _ask(directory: str) -> dict[str, Any]:
    with reach(timeout_seconds=TIMEOUT_SECONDS) as client, Console(stderr=True).status(f"backing up to {directory}"):
        reply = client.command(b"BACKUP " + msgspec_json.encode({"dir": directory}))
        answer: dict[str, Any] = msgspec_json.decode(reply if isinstance(reply, bytes) else b"{}")
    return answer
