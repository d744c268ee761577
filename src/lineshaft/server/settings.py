"""What an operator can set about the conversation with clients; filled by the composition root."""

from enum import StrEnum

from msgspec import Struct

__all__ = ["BackupRule", "Permission", "ServerSettings", "SyncMode", "User"]


class SyncMode(StrEnum):
    """When a reply may promise that a change is kept."""

    ALWAYS = "always"  #: once it is synced to disk
    INTERVAL = "interval"  #: once the process has written it; synced every so often
    NEVER = "never"  #: once the process has written it; synced when the operating system likes


class BackupRule(Struct, frozen=True):
    """Where a backup may be written that a client asks for; see `backup`."""

    root: str | None = None  #: below this directory
    anywhere: bool = False  #: wherever the server may write; there is no root then
    data: str | None = None  #: but never inside of this one


class Permission(StrEnum):
    """What a client may do that came in with a user name."""

    PUSH = "push"  #: add jobs
    WORK = "work"  #: fetch jobs, and say what became of them
    ADMIN = "admin"  #: everything


class User(Struct, frozen=True):
    """Who may come in with a user name; see `rights`."""

    name: str
    #: Itself, since a handshake proves that both sides know it.
    password: str
    may: frozenset[Permission]
    #: Names of queues; `*` stands for any characters.
    queues: tuple[str, ...] = ("*",)


class ServerSettings(Struct, frozen=True):
    """All settings of the server; a reload hands in another one (the sync mode stays that of the start)."""

    sync: SyncMode = SyncMode.ALWAYS
    sync_interval_ms: int = 100
    password: str | None = None
    users: dict[str, User] = {}
    #: Rounds of the password hash. The reference asks for thousands; each connect costs this many hashes.
    password_iterations: int = 2000
    max_connections: int = 10_000
    line_limit_bytes: int = 16 << 20
    #: What all connections together may hold in lines that have no end yet; who would exceed it is closed.
    unfinished_bytes: int = 256 << 20
    #: How many queues all FETCHes together may wait for.
    waiting_places: int = 1_000_000
    #: How many labels of a worker are kept.
    most_labels: int = 50
    description: str = "Lineshaft"
    backups: BackupRule = BackupRule()
    #: Where the data lies; None when all is in memory.
    data: str | None = None

    @property
    def asks_for_password(self) -> bool:
        """Whether a client must prove something to come in."""
        return bool(self.password or self.users)
