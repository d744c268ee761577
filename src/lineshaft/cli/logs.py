"""How the log is written: lines for people, or a JSON object a line for programs.

    console    2026-11-25 13:00:00,042 INFO lineshaft.daemon: the configuration was reloaded
    json       {"at":"2026-11-25T13:00:00.042Z","level":"info","logger":"lineshaft.daemon","message":"..."}

A JSON line is one line whatever is in it; a traceback is its field `error`.
"""

import logging
from typing import Final

from msgspec import json

from lineshaft.clock import format_instant
from lineshaft.config.model import LogFormat, LogLevel

__all__ = ["JsonLines", "start_logging"]

_CONSOLE: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class JsonLines(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line = {
            "at": format_instant(int(record.created * 1000)),
            "level": "warn" if record.levelno == logging.WARNING else record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.encode(line).decode()


def start_logging(level: LogLevel, form: LogFormat) -> None:
    """Log to stderr, so that the banner on stdout stays by itself."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if form == "json" else logging.Formatter(_CONSOLE))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    # At info uvicorn tells of its own start and stop, which the banner has said better.
    if level == "info":
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
