"""`lineshaft work`: a worker for the job functions of a module.

Parsed by argparse, unlike the server's commands: who installs only the worker has no other parser.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from lineshaft.cli.reach import with_advice
from lineshaft.errors import Refusal, UsageError
from lineshaft.worker.find import find_jobs
from lineshaft.worker.logs import log_to
from lineshaft.worker.process import run_worker
from lineshaft.worker.reload import run_reloading
from lineshaft.worker.worker import Worker

__all__ = ["parser", "work"]


def work(words: Sequence[str], command: Sequence[str] = (sys.executable, "-m", "lineshaft", "work")) -> int:
    """Run a worker until it is told to end; returns the exit code. Raises UsageError, Unreachable for a password that
    is not right, SystemExit for the parser's.

    `command` is what is typed before the words, should it have to be run again.
    """
    options = parser().parse_args(words)
    log_to(options.log_format, options.log_level)
    if options.reload:
        return run_reloading([*command, *(word for word in words if word != "--reload")])
    found = [jobs for module in options.modules for jobs in find_jobs(module)]
    unique = list({id(jobs): jobs for jobs in found}.values())
    worker = Worker(
        *unique,
        queues=options.queues.split(","),
        concurrency=options.concurrency,
        prefetch=options.prefetch,
        stop_seconds=options.stop_seconds,
        labels=options.label or None,
        wid=options.wid,
    )
    try:
        return run_worker(worker)
    except (Refusal, UsageError) as error:
        raise with_advice(error, os.environ) from None


def parser() -> argparse.ArgumentParser:
    """What it understands."""
    made = argparse.ArgumentParser(
        prog="lineshaft work",
        description="Run the job functions of a module. FAKTORY_URL says for which server [tcp://localhost:7419].",
        epilog="SIGTSTP: fetch no more. SIGTERM, Ctrl-C: end when nothing runs any more; twice: end now.",
        allow_abbrev=False,
    )

    def add(flag: str, kind: Any, default: Any, what: str, **more: Any) -> None:
        shown = "" if default is None else " [%(default)s]"
        made.add_argument(flag, type=kind, default=default, help=what + shown, **more)

    made.add_argument("modules", nargs="+", metavar="MODULE", help="where the functions are: myapp.jobs, or :NAME")
    add("--queues", str, "default", "in strict order, or by weight: critical:5,default:1", metavar="Q,Q")
    add("--concurrency", int, 10, "how many jobs run at a time", metavar="N")
    add("--prefetch", int, 0, "how many are fetched ahead", metavar="N")
    add("--stop-seconds", float, 25.0, "how long running jobs have at the end", metavar="S")
    add("--label", str, None, "shown on the server's pages; may be repeated", action="append", metavar="TEXT")
    add("--wid", str, None, "the worker's name, which no other process may have [random]", metavar="NAME")
    add("--log-format", str, "console", "console or json", choices=["console", "json"])
    add("--log-level", str, "info", "debug, info, warning or error", choices=["debug", "info", "warning", "error"])
    made.add_argument("--reload", action="store_true", help="for development: start anew when a source file changes")
    return made
