"""`lineshaft flush`: delete every job, after asking."""

import os
import sys
from typing import Annotated, TextIO

from cyclopts import Parameter

from lineshaft.cli.reach import reach, shown
from lineshaft.client import find_address
from lineshaft.errors import UsageError

__all__ = ["flush", "is_confirmed"]


def flush(*, yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative=(), show_default=False)] = False) -> int:
    """Delete every job, queue and counter. FAKTORY_URL says on which server [default: tcp://localhost:7419].

    Parameters
    ----------
    yes
        Do not ask; needed where there is no terminal to ask on.
    """
    where = shown(find_address(None, os.environ))
    if not yes and not is_confirmed(where, sys.stdin, sys.stderr):
        print("nothing was deleted", file=sys.stderr)
        return 1
    with reach() as client:
        client.flush()
    print(f"every job on {where} is deleted")
    return 0


def is_confirmed(where: str, answers: TextIO, questions: TextIO) -> bool:
    """Ask whether to delete everything on the server `where`; only `yes`, spelled out, is a yes.

    Raises UsageError when nobody is there to ask.
    """
    if not answers.isatty():
        raise UsageError(f"flush deletes every job on {where}, and there is no terminal to ask on: add --yes")
    questions.write(f"This deletes every job, queue and counter on {where}. Type yes to go on: ")
    questions.flush()
    return answers.readline().strip().lower() == "yes"
