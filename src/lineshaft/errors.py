"""One tree of errors, ordered by who is at fault.

A boundary (session, timer, command line) decides by the class alone what happens next:

* `PeerError`    the other side broke the protocol: tell it, if it can still be told, and close;
* `Refusal`      an expected no: it becomes `-CODE message`, and the connection lives on;
* `UsageError`   our caller (an operator, a programmer) asked for something that cannot be;
* `StoreError`   the disk, or what lies on it.
"""

__all__ = [
    "ConfigError",
    "LineshaftError",
    "NotLeading",
    "PeerError",
    "Refusal",
    "StoreBusy",
    "StoreCorrupt",
    "StoreError",
    "Unavailable",
    "UsageError",
]


class LineshaftError(Exception):
    """What every error of this package descends from."""


class PeerError(LineshaftError):
    """The peer broke the protocol, so its connection ends; an empty message means: close without a word."""


class Refusal(LineshaftError):
    """An expected no: it becomes `-CODE message` on the wire and changes nothing.

    `code` is ERR for almost all: a first word that clients do not know crashes one of them
    (docs/protocol.md, "Errors"). With `reveals` it tells of what somebody else has changed, which must be on disk
    before it goes out.
    """

    def __init__(self, message: str, code: str = "ERR", *, reveals: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.reveals = reveals

    @property
    def text(self) -> str:
        """The message as PUSHB's map gives it: without `ERR`, but with any other code in front."""
        return str(self) if self.code == "ERR" else f"{self.code} {self}"


class Unavailable(Refusal):
    """Not now: the storage is away or asks for a pause, or the server stops. Nothing was changed."""


class UsageError(LineshaftError):
    """Our caller asked for something that cannot be; the message says what would work."""


class ConfigError(UsageError):
    """A configuration that cannot be used; the message names the file, the key and what is allowed."""


class StoreError(LineshaftError):
    """The store failed: whether the last commit is on disk is unknown until the store is opened again."""


class StoreBusy(StoreError):
    """The store asks for a pause (a write stall): nothing was written, and the same commit may be tried again."""


class NotLeading(StoreError):
    """This node of a cluster does not lead it, or does not any more: another one has the jobs."""


class StoreCorrupt(StoreError):
    """What lies on disk cannot be read as it was written; the message names `lineshaft check`."""
