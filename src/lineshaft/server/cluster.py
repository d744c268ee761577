"""What the server knows of the cluster that it is a node of: enough to tell, and to be asked to let another lead."""

from typing import TYPE_CHECKING, Annotated, Any, Final, Protocol

import msgspec
from msgspec import Meta, Struct

from lineshaft.errors import Refusal
from lineshaft.fields import Decoder
from lineshaft.protocol.resp import OK, bulk

if TYPE_CHECKING:
    from lineshaft.server.session import Session

__all__ = ["ClusterView", "cluster"]


class ClusterView(Protocol):
    """The cluster, as one of its nodes sees it."""

    def status(self) -> dict[str, Any]:
        """Who leads, and how far each node is."""
        ...

    def summary(self) -> dict[str, Any]:
        """The same in short, as INFO gives it to whoever asks."""
        ...

    def has_leader(self) -> bool:
        """Whether clients of this node reach a leader, here or elsewhere."""
        ...

    def leader_web(self) -> str | None:
        """Where the leader answers HTTP, when that is another node and is known."""
        ...

    def is_leading(self) -> bool:
        """Whether it is this node that leads."""
        ...

    def hand_over(self, node: str) -> str:
        """Let another node lead, the nearest one for an empty name; returns which. Raises Refusal."""
        ...


class _Transfer(Struct, frozen=True, forbid_unknown_fields=True):
    """Which node shall lead."""

    node: Annotated[str, Meta(max_length=100)] = ""


_decode: Final = Decoder(_Transfer).decode


def cluster(session: "Session", argument: bytes) -> bytes:
    """CLUSTER STATUS, and CLUSTER TRANSFER {"node"}."""
    view = session.server.cluster
    if view is None:
        raise Refusal("this server is no node of a cluster")
    what, _, rest = argument.strip().partition(b" ")
    if what == b"STATUS":
        return bulk(msgspec.json.encode(view.status()))
    if what == b"TRANSFER":
        view.hand_over(_decode(rest or b"{}").node)
        return OK
    raise Refusal("CLUSTER knows STATUS and TRANSFER")
