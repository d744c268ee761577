"""The record: what one entry of the cluster's log says, as bytes.

```
"LSH" version | epoch (8) | number (8) | more (4) | body
                            0                       an epoch begins; the body says who leads it
                            1, 2, 3, ...   0        whole: the body is a list of transactions
                                           n > 0    a part of one that is too large, and n parts follow
```

A transaction is what one turn of the leader's engine wrote: keys with their new values, and ranges that are cleared
before. It is applied whole or not at all; several small ones share a record, and one that is larger than a record may
be is cut into parts, of which only the last makes it count.

What is true of every record: for an epoch and a number there is one content. Who sends a record again sends the same
bytes.
"""

from collections.abc import Sequence
from struct import Struct as Layout
from typing import Final

import msgspec
from msgspec import Raw, Struct, msgpack

from lineshaft.errors import StoreError
from lineshaft.store.port import Changes, KeyRange

__all__ = [
    "HEADER_BYTES",
    "VERSION",
    "Leadership",
    "Record",
    "Transaction",
    "UnknownVersion",
    "cut",
    "decode_leadership",
    "decode_record",
    "decode_transactions",
    "encode_leadership",
    "encode_transaction",
    "join",
]

#: Raise it with any change of what stands above, and go on reading all versions before. A node goes no further at a
#: record of a newer version than its own, and does not lead; so the standbys are upgraded first.
VERSION: Final = 1

_MAGIC: Final = b"LSH"
_HEADER: Final = Layout(">3sBQQI")
HEADER_BYTES: Final = _HEADER.size

Transaction = tuple[dict[bytes, bytes | None], list[KeyRange]]
"""What one turn wrote: changes, and the ranges that are cleared before them."""

_transactions: Final = msgpack.Decoder(list[Transaction])


class UnknownVersion(StoreError):
    """The log was written by a newer Lineshaft: this node can follow no further until it is upgraded."""


class Record(Struct, frozen=True):
    """One entry of the log."""

    epoch: int
    number: int  #: 0 begins the epoch
    more: int  #: how many parts follow before the transaction is whole
    body: bytes

    def encode(self) -> bytes:
        """As it stands in the log."""
        return _HEADER.pack(_MAGIC, VERSION, self.epoch, self.number, self.more) + self.body


class Leadership(Struct, frozen=True):
    """The body of a record that begins an epoch."""

    node: str  #: who leads it
    life: str  #: which life of that process, so that a restarted node does not take it for its own


def decode_record(data: bytes) -> Record | None:
    """The record in an entry, or None when somebody else wrote it. Raises UnknownVersion."""
    if len(data) < HEADER_BYTES or not data.startswith(_MAGIC):
        return None
    _, version, epoch, number, more = _HEADER.unpack_from(data)
    if version > VERSION:
        raise UnknownVersion(
            f"the log has records of version {version}, and this Lineshaft reads {VERSION}: upgrade this node"
        )
    return Record(epoch, number, more, data[HEADER_BYTES:])


def encode_transaction(changes: Changes, cleared: Sequence[KeyRange] = ()) -> bytes:
    """A turn as bytes, to be joined with others into a record's body."""
    return msgpack.encode((changes, cleared))


def join(transactions: Sequence[bytes]) -> bytes:
    """Encoded transactions as the body of one record."""
    return msgpack.encode([Raw(one) for one in transactions])


def cut(body: bytes, limit: int) -> list[bytes]:
    """A body in pieces of at most `limit` bytes; one piece when it is small."""
    return [body[start : start + limit] for start in range(0, len(body), limit)]


def decode_transactions(body: bytes) -> list[Transaction]:
    """The transactions in a whole body, in order. Raises StoreError for what no leader wrote."""
    try:
        return _transactions.decode(body)
    except msgspec.DecodeError as error:
        raise StoreError(f"a record of the log cannot be read: {error}") from None


def encode_leadership(leadership: Leadership) -> bytes:
    """The body of a record that begins an epoch."""
    return msgpack.encode(leadership)


def decode_leadership(body: bytes) -> Leadership:
    """Who leads the epoch that such a record begins. Raises StoreError."""
    try:
        return msgpack.decode(body, type=Leadership)
    except msgspec.DecodeError as error:
        raise StoreError(f"a record of the log cannot be read: {error}") from None
