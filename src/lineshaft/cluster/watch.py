"""The watch: who is taken to lead, and since when nobody is.

A standby listens in two ways: to the board, where a leader puts up its notice every second, and to the log, where an
epoch begins. When neither has told of a leader for the lease's time, nobody is taken to lead. That only says when to
try; whether the try succeeds the log decides.

Silence counts as far as it was listened to: up to the moment in which the last look at the board was asked for. A node
that slept, or that the board did not answer, has heard nothing of a leader that is well.

What is true after every call: `leader` is another node, or None; `heard_at` is when one was last heard, or when this
node began to listen; `listened_until` is when the last look that was answered was asked for.
"""

from collections.abc import Mapping

from lineshaft.cluster.presence import LEASE_MS, Presence, Presences, Role

__all__ = ["Watch"]


class Watch:
    """What one node knows of who leads."""

    def __init__(self, node: str) -> None:
        """`node` is the one that watches."""
        self._node = node
        self.presences = Presences()
        self.leader: Presence | None = None
        self.heard_at: int | None = None
        self.listened_until = 0

    def read(self, notices: Mapping[str, bytes], now: int) -> None:
        """Take in what stands on the board."""
        self.presences.read(notices, now)

    def look(self, asked_at: int, now: int) -> bool:
        """See who leads, by what was asked for then and read just now; whether that is another than before."""
        self.listened_until = asked_at
        leader, before = self.presences.leader(asked_at), self.leader
        if leader is not None and leader.node == self._node:
            # What this node, or its life before, said while it led.
            leader = None
        if leader is not None:
            self.heard_at = self.presences.seen[leader.node].at
        elif self.heard_at is None:
            self.heard_at = now
        self.leader = leader
        return _which(before) != _which(leader)

    def heard(self, now: int) -> None:
        """Something else has told of a leader: it has the lease's time to say so on the board."""
        self.heard_at = now

    def is_vacant(self) -> bool:
        """Whether nobody has been heard to lead for the lease's time."""
        if self.leader is not None or self.heard_at is None:
            return False
        return self.listened_until - self.heard_at >= LEASE_MS

    def is_heir(self, epoch: int) -> bool:
        """Whether the leader of this epoch has asked this node to go on."""
        return self.leader is None and self.presences.heir(epoch) == self._node

    def standbys(self, now: int) -> list[Presence]:
        """The nodes that are alive and follow the log."""
        return [one for one in self.presences.alive(now) if one.role is Role.STANDBY]

    def nearest(self, now: int) -> str:
        """The live standby that has applied most of the log, this node aside; empty when there is none."""
        others = [one for one in self.standbys(now) if one.node != self._node]
        return max(others, key=lambda one: one.sequence).node if others else ""


def _which(leader: Presence | None) -> tuple[str, str, int] | None:
    return None if leader is None else (leader.node, leader.life, leader.epoch)
