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
    "password": ("lineshaft.cli.password:password", "Hash a password for [web.users]."),
    "check": ("lineshaft.cli.check:check", "Verify a data directory while no server runs on it."),
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
