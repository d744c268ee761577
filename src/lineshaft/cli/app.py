"""All commands in one place. Each is named as a string, and imported when it is the one that runs."""

from cyclopts import App
from cyclopts import CycloptsError as ParserError

from lineshaft import __version__

__all__ = ["ParserError", "build_app"]

COMMANDS = {
    "serve": ("lineshaft.cli.serve:serve", "Start the server."),
    "work": ("lineshaft.cli.work:work", "Run a worker for the job functions of a module."),
    "push": ("lineshaft.cli.push:push", "Push one job and print its jid."),
    "info": ("lineshaft.cli.info:info", "Show the server, its queues and its sets."),
    "top": ("lineshaft.cli.top:top", "Watch the server: rates, queues, sets and workers."),
    "queues": ("lineshaft.cli.queues:app", "List, pause, resume and remove queues."),
    "jobs": ("lineshaft.cli.jobs:app", "List and search jobs; requeue, kill or delete them."),
    "workers": ("lineshaft.cli.workers:app", "List worker processes, and tell them to go quiet or to terminate."),
    "batch": ("lineshaft.cli.batch:app", "Show how far a batch is."),
    "cron": ("lineshaft.cli.cron:app", "List, run, pause and resume periodic jobs."),
    "cluster": ("lineshaft.cli.cluster:app", "Show the cluster; let another node lead."),
    "backup": ("lineshaft.cli.backup:backup", "Copy the data of the running server."),
    "restore": ("lineshaft.cli.restore:restore", "Make a backup a data directory."),
    "export": ("lineshaft.cli.export:export", "Write the jobs of a data directory or backup as lines of JSON."),
    "import": ("lineshaft.cli.import_jobs:import_jobs", "Bring jobs, as lines of JSON, into the running server."),
    "import-faktory": ("lineshaft.cli.import_faktory:import_faktory", "Bring the jobs of a Faktory server."),
    "password": ("lineshaft.cli.password:password", "Hash a password for [web.users]."),
    "check": ("lineshaft.cli.check:check", "Verify a data directory while no server runs on it."),
    "doctor": ("lineshaft.cli.doctor:doctor", "Look at this machine and the server, and say what to do."),
    "bench": ("lineshaft.cli.bench:bench", "Load the running server for some seconds."),
    "completion": ("lineshaft.cli.completion:completion", "Print the completion script for a shell."),
    "flush": ("lineshaft.cli.flush:flush", "Delete every job on the server."),
}
"""Command to where it is and what it does; the order is that of the help page."""


def build_app() -> App:
    """The parser with every command, fresh: calling it with words runs one and returns its exit code."""
    app = App(
        name="lineshaft",
        help="A language-agnostic background job server: one engine, every machine.",
        version=f"lineshaft {__version__}",
        version_flags=["--version", "-v"],
        help_format="plaintext",
    )
    for position, (name, (place, what)) in enumerate(COMMANDS.items()):
        app.command(place, name=name, help=what, sort_key=position)
    return app
