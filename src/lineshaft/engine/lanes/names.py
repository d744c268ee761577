"""Lane names: which lane of its queue a job is to stand in, read from its `custom`.

The name is the JSON under the key, so that `1` and `"1"` are two lanes, and one may read it in a key. Strings are
brought into one form, since `"\\u00e9"` and `"é"` are one value; all else is compared as it was sent. Without the key,
and with null, a job stands in the common lane, whose name is empty. A long value is told apart by its digest: its name
stands in the key of each of its jobs.
"""

from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from typing import Final

from msgspec import Raw, Struct, defstruct, field, json

from lineshaft.job import UNREADABLE, Job

__all__ = ["lane_namer"]

#: A value of more bytes is told apart by its digest.
MOST_BYTES: Final = 100

_NOTHING: Final = Raw(b"")


def lane_namer(key: str) -> Callable[[Job], bytes]:
    """A function from a job to the name of its lane, by this key of `custom`."""
    # A struct of one field: what stands under other keys is not even decoded.
    shape: type[Struct] = defstruct("Custom", [("value", Raw, field(default=_NOTHING, name=key))])
    decode = json.Decoder(shape).decode

    def name(job: Job) -> bytes:
        custom = bytes(job.custom)
        return _name(bytes(decode(custom).value)) if custom else b""  # type: ignore[attr-defined]  # made just above

    return name


def _name(sent: bytes) -> bytes:
    if sent in {b"", b"null"}:
        return b""
    if sent[:1] == b'"':
        with suppress(*UNREADABLE):
            sent = json.encode(json.decode(sent, type=str))
    if len(sent) > MOST_BYTES or not _is_text(sent):
        # No JSON begins like this.
        return b"#" + blake2b(sent, digest_size=16).hexdigest().encode()
    return sent


def _is_text(sent: bytes) -> bool:
    """Whether it can be shown; a row that was damaged on disk may hold anything."""
    try:
        sent.decode()
    except UnicodeDecodeError:
        return False
    return True
