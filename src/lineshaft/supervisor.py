"""The supervisor: systemd, or whoever else listens at NOTIFY_SOCKET, is told how the server is.

    READY=1                          it has started: every address is bound
    RELOADING=1, then READY=1        it reads its configuration again
    STOPPING=1                       it was told to stop
    WATCHDOG=1                       its event loop turns; twice in the time that WATCHDOG_USEC allows

Where nobody listens every call does nothing. That nobody can be told is logged once and harms nothing.
"""

import logging
import os
import socket
import time
from collections.abc import Mapping
from typing import Final

__all__ = ["Supervisor"]

log = logging.getLogger(__name__)

_MICROSECONDS: Final = 1_000_000


class Supervisor:
    """Who watches over this process, if anybody does."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        address = variables.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the abstract name space of Linux.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._has_failed = False
        #: How often it wants to hear that the process is alive; None when it does not.
        self.every_seconds = _watchdog_seconds(variables) if address else None

    def ready(self) -> None:
        """It has started, or has taken its configuration over."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """It reads its configuration again; `ready` follows, whatever came of it."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """It was told to stop."""
        self._tell("STOPPING=1")

    def alive(self) -> None:
        """Its event loop turns."""
        self._tell("WATCHDOG=1")

    def _tell(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
                # A supervisor that does not read must not hold the loop.
                out.setblocking(False)
                out.sendto(text.encode(), self._address)
        except OSError as error:
            if not self._has_failed:
                log.warning("the supervisor at NOTIFY_SOCKET cannot be told anything: %s", error)
            self._has_failed = True


def _watchdog_seconds(variables: Mapping[str, str]) -> float | None:
    """Half of what systemd allows, if it is this process that it means."""
    limit, pid = variables.get("WATCHDOG_USEC", ""), variables.get("WATCHDOG_PID", "")
    if not limit.isdigit() or (pid and pid != str(os.getpid())) or int(limit) == 0:
        return None
    return int(limit) / _MICROSECONDS / 2
