"""`lineshaft flush`: delete every job, after asking."""

import os
from typing import Annotated

from cyclopts import Parameter

from lineshaft.cli.confirm import is_confirmed
from lineshaft.cli.reach import reach, shown
from lineshaft.client import find_address

__all__ = ["flush"]


def flush(*, yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative=(), show_default=False)] = False) -> int:
    """Delete every job, queue and counter. FAKTORY_URL says on which server [default: tcp://localhost:7419].

    Parameters
    ----------
    yes
        Do not ask; needed where there is no terminal to ask on.
    """
    where = shown(find_address(None, os.environ))
    if not is_confirmed(f"deletes every job, queue and counter on {where}", yes=yes):
        return 1
    with reach() as client:
        client.flush()
    print(f"every job on {where} is deleted")
    return 0
