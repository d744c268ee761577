"""Finds the job functions that a command line names: `myapp.jobs`, or `myapp.jobs:mail` for one `Jobs` of several."""

import importlib
import os
import sys

from lineshaft.errors import UsageError
from lineshaft.worker.frameworks import set_up_frameworks
from lineshaft.worker.jobs import Jobs

__all__ = ["find_jobs"]


def find_jobs(place: str) -> list[Jobs]:
    """Every `Jobs` of a module, or the one that is named. Raises UsageError; what the module raises passes through."""
    # As `python -m` does, so that a project need not be installed.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    set_up_frameworks()
    name, colon, attribute = place.partition(":")
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name is None or not (name == missing.name or name.startswith(f"{missing.name}.")):
            raise
        raise UsageError(f"there is no module {name}: run this where `import {name}` works") from None
    except (TypeError, ValueError):
        raise UsageError(f"a module is named as in an import, myapp.jobs, not {place!r}") from None
    if colon:
        found = [getattr(module, attribute, None)]
    else:
        # A function that was imported from elsewhere brings its Jobs only if that was imported too.
        found = list({id(value): value for value in vars(module).values() if isinstance(value, Jobs)}.values())
    jobs = [one for one in found if isinstance(one, Jobs)]
    if not jobs:
        raise UsageError(f"there is no Jobs in {place}: `jobs = Jobs()` makes one, and `@jobs.job` fills it")
    return jobs
