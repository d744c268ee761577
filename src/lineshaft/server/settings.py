"""What an operator can set about the conversation with clients; filled by the composition root."""

from enum import StrEnum

from msgspec import Struct

__all__ = ["BackupRule", "ServerSettings", "SyncMode"]


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


class ServerSettings(Struct, frozen=True):
    """All settings of the server; a reload hands in another one (the sync mode stays that of the start)."""

    sync: SyncMode = SyncMode.ALWAYS
    sync_interval_ms: int = 100
    password: str | None = None
    #: Rounds of the password hash. The reference asks for thousands; each connect costs this many hashes.
    password_iterations: int = 2000
    max_connections: int = 10_000
    line_limit_bytes: int = 16 << 20
    description: str = "Lineshaft"
    backups: BackupRule = BackupRule()
