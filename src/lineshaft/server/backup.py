"""Backup: a copy of the store while the server runs, asked for on the wire.

```
BACKUP {"dir": "/backups/monday"} ──> end of the turn: committed ──> a thread copies ──> bulk {"dir", "bytes", ...}
```

The turn in which it was asked for is committed before the copy begins, so the copy holds every job that was accepted
before, on any connection. It is the store at one moment; what comes later may or may not be in it, in whole commits.

It writes where its sender says, as the user that the server runs as. So it is for those who could do all harm anyway:
whoever knows the password, or sits on the same machine while the server listens there alone. Where `[storage] backups`
names a directory, it is for everybody and leads below that directory only.

One backup runs at a time. A connection that asked for one is blocked until it is done, and nobody else is held up; if
it leaves, the backup goes on.
"""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from lineshaft import __version__
from lineshaft.clock import format_instant
from lineshaft.engine.keys import FORMAT_VERSION
from lineshaft.errors import LineshaftError, Refusal, UsageError
from lineshaft.protocol.resp import bulk, error
from lineshaft.server.settings import BackupRule
from lineshaft.store.backup import Manifest, write_manifest
from lineshaft.store.port import Store

if TYPE_CHECKING:
    from lineshaft.server.server import Server
    from lineshaft.server.session import Session

__all__ = ["Backup", "begin_backup", "make_backup"]

log = logging.getLogger(__name__)

GIVEN_UP: Final = error(Refusal("shutdown in progress: the backup is given up"))


class Backup:
    """The backup that a session asked for; it begins with the end of the turn."""

    def __init__(self, server: "Server", session: "Session", directory: str) -> None:
        """Raises Refusal when it cannot be now, or never."""
        rule = server.settings.backups
        if server.backup is not None:
            raise Refusal("a backup is being made already: try again when it is done")
        if not rule.anywhere and rule.root is None:
            raise Refusal(
                "backups are off, since other machines can connect and there is no password: set one, or set `backups`"
                " under [storage]"
            )
        self._server = server
        self._session: Session | None = session
        self._directory = directory
        self._rule = rule
        self.begun = False

    def begin(self) -> None:
        """Everything before it is in the store: copy it, elsewhere."""
        self.begun = True
        store, taken_at, started = self._server.store, self._server.clock(), time.monotonic()

        def work() -> dict[str, Any]:
            target = allowed_target(self._directory, self._rule)
            return make_backup(store, target, taken_at, lambda: round(time.monotonic() - started, 3))

        self._server.shell.apart(work, self._done)

    def give_up(self) -> None:
        """The server stops: whoever waits is told. The copying ends when the store is closed."""
        self.begun = True
        self._answer(GIVEN_UP)

    def _done(self, outcome: dict[str, Any] | None, failure: Exception | None) -> None:
        self._server.backup = None
        if outcome is not None:
            log.info("backup in %s: %d bytes in %.3f s", outcome["dir"], outcome["bytes"], outcome["seconds"])
            self._answer(bulk(msgspec.json.encode(outcome)))
            return
        if isinstance(failure, Refusal | UsageError):
            self._answer(error(Refusal(str(failure))))
            return
        log.error("backup to %s failed: %s", self._directory, failure, exc_info=_unexpected(failure))
        reason = "internal error: it is in the server's log" if _unexpected(failure) else str(failure)
        self._answer(error(Refusal(f"backup failed: {reason}")))

    def _answer(self, reply: bytes) -> None:
        session, self._session = self._session, None
        if session is not None and not session.closed:
            session.copying = False
            session.hand_over(reply)


def begin_backup(server: "Server", session: "Session", directory: str) -> None:
    """A BACKUP: its reply comes when the copy is made. Raises Refusal."""
    server.backup = Backup(server, session, directory)
    session.copying = session.blocked = True
    # Nobody is answered at the end of this turn, so it must be asked for.
    server.need_turn()


def _unexpected(failure: Exception | None) -> Exception | None:
    """The error, if it is one of ours to be mended."""
    return None if isinstance(failure, LineshaftError | OSError) else failure


def allowed_target(directory: str, rule: BackupRule) -> Path:
    """The new directory that is meant, without links on the way to it. Raises Refusal."""
    if not os.path.isabs(directory) or "\0" in directory:
        raise Refusal("dir must be an absolute path on the server's machine")
    path = Path(os.path.normpath(directory))
    target = path.parent.resolve() / path.name
    if not target.parent.is_dir():
        raise Refusal(
            f"there is no directory {target.parent} on the server's machine: make it first, as the user that the server"
            " runs as"
        )
    if target.exists() or target.is_symlink():
        raise Refusal(f"{target} exists: a backup needs the name of a new directory")
    if rule.root is not None and Path(rule.root).resolve() not in target.parents:
        raise Refusal(f"backups lie below {rule.root} here ([storage] backups)")
    if rule.data is not None and target.is_relative_to(Path(rule.data).resolve()):
        raise Refusal(f"{target} lies inside of the data directory")
    return target


def make_backup(store: Store, target: Path, taken_at: int, seconds: Callable[[], float]) -> dict[str, Any]:
    """Copy the store, say in the copy what it is, and return what there is to tell. Raises StoreError, UsageError."""
    store.checkpoint(target)
    manifest = write_manifest(target, Manifest(__version__, FORMAT_VERSION, format_instant(taken_at)))
    return {
        "dir": str(target),
        "taken_at": manifest.taken_at,
        "files": len(manifest.files),
        "bytes": sum(manifest.files.values()),
        "seconds": seconds(),
    }
