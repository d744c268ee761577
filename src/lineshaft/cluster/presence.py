"""Presences: what the nodes say of themselves on the board, and what a node makes of it.

Each node posts one notice, anew every second, and reads all of them. Whether a node is alive is judged by the reader's
own clock: its notice has changed within the lease. No two clocks are compared, and nothing that must be safe hangs on
any of this: it only says when to try, and where clients are to be sent.

What is true after every call: `seen` has for each node its last notice and when that was first read here.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Struct, json

__all__ = [
    "LEASE_MS",
    "NOTE",
    "RENEW_MS",
    "Presence",
    "Presences",
    "Role",
    "encode_presence",
    "notice_name",
    "snapshots_of",
]

#: How often a node says that it is there.
RENEW_MS: Final = 1000
#: Who has said nothing for so long is taken to be gone.
LEASE_MS: Final = 3000

#: How the names of these notices begin; there may be others on the board.
_PREFIX: Final = "node."

#: How the names of the notes of snapshots begin; the sequence follows, and the note is the copy's digest.
NOTE: Final = "snapshot."


class Role(StrEnum):
    """What a node is at the moment."""

    STARTING = "starting"  #: it has not reached the log yet
    STANDBY = "standby"  #: it follows the log
    CLAIMING = "claiming"  #: it tries to lead
    LEADER = "leader"
    OUTDATED = "outdated"  #: the log is of a newer version than this node
    STOPPED = "stopped"  #: it said goodbye


class Presence(Struct, frozen=True):
    """One node's notice."""

    node: str
    life: str  #: which run of the process
    role: Role
    beat: int  #: counts the notices of this life
    epoch: int  #: the newest that it knows; its own where it leads
    sequence: int  #: up to where it has applied the log
    address: str  #: where its job port can be reached
    web: str  #: the same of its HTTP port, empty when there is none
    version: str = ""
    heir: str = ""  #: whom it asks to lead in its place
    problem: str = ""  #: why it does not follow the log


class Seen(Struct):
    """A notice, and since when it stands there unchanged."""

    presence: Presence
    at: int


class Presences:
    """All notices, as one node has read them."""

    def __init__(self) -> None:
        self.seen: dict[str, Seen] = {}

    def read(self, notices: Mapping[str, bytes], now: int) -> None:
        """Take in what stands on the board."""
        for name, notice in notices.items():
            if not name.startswith(_PREFIX):
                continue
            try:
                presence = json.decode(notice, type=Presence)
            except msgspec.DecodeError:
                # A newer version may say it in another way. It is not alive for us, which only concerns forwarding.
                continue
            known = self.seen.get(presence.node)
            if known is None or known.presence != presence:
                self.seen[presence.node] = Seen(presence, now)

    def alive(self, now: int) -> list[Presence]:
        """The nodes that have said something within the lease."""
        return [
            one.presence
            for one in self.seen.values()
            if now - one.at <= LEASE_MS and one.presence.role is not Role.STOPPED
        ]

    def leader(self, now: int) -> Presence | None:
        """Who leads, as far as is known; of several who say so, the one with the newest epoch."""
        leaders = [one for one in self.alive(now) if one.role is Role.LEADER]
        found = max(leaders, key=lambda one: one.epoch, default=None)
        return found if found is not None and found.epoch >= self.newest_epoch() else None

    def newest_epoch(self) -> int:
        """The newest epoch that any node knows."""
        return max((one.presence.epoch for one in self.seen.values()), default=0)

    def heir(self, epoch: int) -> str:
        """Whom the leader of this epoch has asked to go on, if it has."""
        if self.newest_epoch() != epoch:
            return ""
        heirs = (one.presence.heir for one in self.seen.values() if one.presence.epoch == epoch)
        return next((heir for heir in heirs if heir), "")


def snapshots_of(notices: Mapping[str, bytes]) -> list[int]:
    """The sequences of the snapshots that count, in order."""
    names = [name[len(NOTE) :] for name, digest in notices.items() if name.startswith(NOTE) and digest]
    return sorted(int(name) for name in names if name.isdigit())


def notice_name(node: str) -> str:
    """Under which name a node's notice stands."""
    return _PREFIX + node


def encode_presence(presence: Presence) -> bytes:
    """A notice as it is posted."""
    return json.encode(presence)
