"""Commands as the lines that they are on the wire, without their ends, and replies as what they hold."""

from collections.abc import Sequence
from typing import Any

import msgspec

from lineshaft.errors import PeerError, UsageError
from lineshaft.protocol.resp import Reply

__all__ = ["decoded", "line", "readable", "words"]


def line(verb: bytes, **members: Any) -> bytes:
    """A verb and a JSON object of those members that are not None. Raises UsageError for what JSON cannot hold."""
    given = {key: value for key, value in members.items() if value is not None}
    try:
        return b"%b %b" % (verb, msgspec.json.encode(given))
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"this cannot be written as JSON: {error}") from None


def words(names: Sequence[str], what: str = "a queue's name") -> bytes:
    """Words with a space between them. Raises UsageError for what is no word."""
    for word in names:
        if not word or word.split() != [word]:
            raise UsageError(f"{what} has no spaces in it, and is not empty: {word!r}")
    return " ".join(names).encode()


def decoded(reply: Reply, kind: Any = Any, *, lenient: bool = False) -> Any:
    """The JSON in a bulk; a lenient one is `readable`, and of no kind. Raises PeerError."""
    data = reply if isinstance(reply, bytes) else b""
    try:
        return readable(data) if lenient else msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise PeerError(f"the server's reply is not the JSON that it should be: {error}") from None


def readable(data: bytes | msgspec.Raw) -> Any:
    """The JSON as values; what JSON allows and no value of ours can hold (1e999, 5,000 digits) stays `msgspec.Raw`.

    So one odd number hides nothing around it, and is written again as it was. Raises msgspec.DecodeError.
    """
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        match bytes(data).lstrip()[:1]:
            case b"{":
                members = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
                return {name: readable(value) for name, value in members.items()}
            case b"[":
                return [readable(element) for element in msgspec.json.decode(data, type=list[msgspec.Raw])]
            case _:
                # Raises for what is no JSON.
                return msgspec.json.decode(data, type=msgspec.Raw).copy()
