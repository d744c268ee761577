"""Typed decoding of what clients send: one quick reading for the usual bytes, a patient one for the odd.

Clients spell keys in their own way (`errType`) and send fields that nobody asked for. A record is declared with
`forbid_unknown_fields=True`, so that the quick reading succeeds only when every key is exactly a known one:

    bytes ──> one msgspec call ──────────────────────────────────────────────> record
                    └─ wrong ──> keys matched, unknown ones dropped ──> again ──> record, or Refusal

What is checked of every byte, also inside parts that stay `msgspec.Raw`: that it is UTF-8 (here, since msgspec passes
over strings that it does not decode) and that it is JSON (by msgspec: control characters in strings, escapes, lone
surrogate escapes, NaN and Infinity, leading zeros, trailing commas and trailing bytes are all refused). What is not:
that a key stands once (the last one counts; inside a Raw part all of them stay), and the range of numbers inside Raw
parts, which may be of any size.

Nesting is refused with room to spare (`HEADROOM`). msgspec is bounded by the interpreter's stack alone, so without
that room a job could be accepted in a shallow call and be unreadable in a deeper one, for ever.
"""

from typing import Final, Generic, TypeVar

import msgspec

from lineshaft.clock import parse_instant
from lineshaft.errors import Refusal

__all__ = ["HEADROOM", "Decoder", "instant_of"]

T = TypeVar("T", bound=msgspec.Struct)

#: Levels of nesting that must be left over when something is accepted, for whoever reads it again further down a
#: stack: in Python 3.11 a frame costs one of the interpreter's thousand levels, just as an array or object does.
HEADROOM: Final = 100

#: What is no longer than this is nested at most 400 levels deep, since JSON needs two bytes for each, and can be read
#: anywhere.
_SHALLOW_BYTES: Final = 800

_OPEN: Final = b"[" * HEADROOM
_CLOSE: Final = b"]" * HEADROOM

_TOO_DEEP: Final = "invalid JSON: too deeply nested"

_decode_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_items: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_raw: Final = msgspec.json.Decoder(msgspec.Raw).decode


class Decoder(Generic[T]):
    """Decodes a JSON object, or an array of them, to records of one type.

    `record_type` must be declared with `forbid_unknown_fields=True`; unknown fields are dropped all the same, and
    keys match whatever their case. An exactly spelled key wins over others wherever it stands; of the others the
    spelling that came last wins. With `exact`, only exactly spelled keys count. Both concern the top level: records
    inside a record are read as they are declared.
    """

    __slots__ = ("_decode", "_decode_list", "_prefixes", "_spelling")

    def __init__(self, record_type: type[T], *, exact: bool = False) -> None:
        assert record_type.__struct_config__.forbid_unknown_fields, "the quick reading must notice odd keys"
        self._decode = msgspec.json.Decoder(record_type).decode
        self._decode_list = msgspec.json.Decoder(list[record_type]).decode  # type: ignore[valid-type]
        names = record_type.__struct_encode_fields__
        self._prefixes = {name: msgspec.json.encode(name) + b":" for name in names}
        self._spelling: dict[str, str] = {} if exact else {name.lower(): name for name in names}

    def decode(self, data: bytes) -> T:
        """The record in `data`. Raises Refusal `invalid JSON: ...`, naming what is wrong."""
        if len(data) > _SHALLOW_BYTES or not data.isascii():
            _check(data)
        try:
            return self._decode(data)
        except msgspec.ValidationError:
            pass
        except (msgspec.DecodeError, RecursionError) as error:
            raise _refusal(error) from None
        try:
            return self._decode(self._respell(data))
        except (msgspec.DecodeError, RecursionError) as error:
            raise _refusal(error) from None

    def decode_list(self, data: bytes) -> list[T]:
        """The records in an array. Raises Refusal for the whole when one element is no such record."""
        if len(data) > _SHALLOW_BYTES or not data.isascii():
            _check(data)
        try:
            return self._decode_list(data)
        except msgspec.ValidationError:
            pass
        except (msgspec.DecodeError, RecursionError) as error:
            raise _refusal(error) from None
        try:
            # Put together again and read as one, so that an error names the element.
            elements = [self._respell(element) for element in _decode_items(data)]
            return self._decode_list(b"[%b]" % b",".join(elements))
        except (msgspec.DecodeError, RecursionError) as error:
            raise _refusal(error) from None

    def _respell(self, data: bytes | msgspec.Raw) -> bytes:
        """The same object with known keys only, exactly spelled; what is no object stays as it is."""
        try:
            given = _decode_fields(data)
        except msgspec.ValidationError:
            return bytes(data)
        found: dict[str, msgspec.Raw] = {}
        for key, value in given.items():
            name = key if key in self._prefixes else self._spelling.get(key.lower())
            if name is not None and (name == key or name not in given):
                found[name] = value
        return b"{%b}" % b",".join([self._prefixes[name] + bytes(value) for name, value in found.items()])


def instant_of(name: str, sent: str | None) -> int | None:
    """An instant that was sent as RFC 3339 under that name; None for none. Raises Refusal."""
    if not sent:
        return None
    try:
        return parse_instant(sent)
    except (ValueError, OverflowError):
        raise Refusal(f"invalid timestamp for '{name}': {sent[:100]}") from None


def _check(data: bytes) -> None:
    """Refuse what msgspec would let through: bytes that are not UTF-8, and what is nested too deeply to be kept."""
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError as error:
            raise Refusal(f"invalid JSON: not UTF-8 (byte {error.start}: {error.reason})") from None
    if len(data) > _SHALLOW_BYTES:
        # Read once more, a hundred levels down. Counting brackets first would cost more than it saves.
        try:
            _decode_raw(b"".join((_OPEN, data, _CLOSE)))
        except RecursionError:
            raise Refusal(_TOO_DEEP) from None
        except msgspec.DecodeError:
            return  # the reading proper says it better, and with the right position


def _refusal(error: Exception) -> Refusal:
    if isinstance(error, RecursionError):
        return Refusal(_TOO_DEEP)
    return Refusal(f"invalid JSON: {str(error).removeprefix('JSON is malformed: ')}")
