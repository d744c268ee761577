"""The entry point: runs a command, and turns what goes wrong into one line on stderr and an exit code.

    0    done
    1    it went wrong: the server refused or is not there, the disk failed
    2    it was asked for wrongly: an unknown flag, a configuration that cannot be
    130  interrupted

The command line parser is part of the server's extra, so it is not imported before `main` runs: an installation
with only the client then gets told what to install, and no traceback.
"""

import sys
from collections.abc import Sequence
from typing import NoReturn

from lineshaft.errors import LineshaftError, Refusal, UsageError

__all__ = ["main", "run_command"]


def main() -> NoReturn:
    """Run the command that the process was started with, and exit."""
    sys.exit(run_command(sys.argv[1:]))


def run_command(words: Sequence[str]) -> int:
    """Run `lineshaft WORDS...` and return its exit code; what went wrong is on stderr."""
    try:
        return _run(words)
    except KeyboardInterrupt:
        return 130
    except Refusal as refusal:
        return _fail(f"the server refused: {refusal.text}", 1)
    except UsageError as error:
        return _fail(str(error), 2)
    except LineshaftError as error:
        return _fail(str(error), 1)
    except OSError as error:
        # Its own text begins with the error number, which tells nobody anything.
        place = f"{error.filename}: " if error.filename else ""
        return _fail(f"{place}{error.strerror or error}", 1)


def _run(words: Sequence[str]) -> int:
    if words[:1] == ["work"]:
        # It has a parser of its own, since a worker is installed without the server's.
        from lineshaft.cli.work import work  # noqa: PLC0415 - imported when it is the one that runs

        return work(words[1:])
    if words[:1] == ["search-process"]:
        # The server starts this, beside itself; it must be small and begin at once.
        from lineshaft.search.helper import main as search  # noqa: PLC0415 - imported when it is the one that runs

        return search(list(words[1:]))
    try:
        from lineshaft.cli.app import ParserError, build_app  # noqa: PLC0415 - an optional dependency
    except ModuleNotFoundError as missing:
        if missing.name != "cyclopts":
            raise
        return _fail("the command line is part of the server: pip install 'lineshaft[server]'", 1)
    try:
        code = build_app()(words, exit_on_error=False, print_error=False, result_action="return_value")
    except ParserError as error:
        command = " ".join(("lineshaft", *(error.command_chain or ())))
        return _fail(f"{' '.join(str(error).split())} (see: {command} --help)", 2)
    return code if isinstance(code, int) else 0


def _fail(message: str, code: int) -> int:
    print(f"lineshaft: {message}", file=sys.stderr)
    return code
