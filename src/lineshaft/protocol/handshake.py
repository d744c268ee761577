"""The handshake: who is there, and does it know the password.

    server: +HI {"v":2}                  or, with a password,  +HI {"v":2,"i":ITERATIONS,"s":"SALT"}
    client: HELLO {"v":2,...}                                  HELLO {"v":2,"pwdhash":"...",...}
    server: +OK

The password never crosses the wire: `pwdhash` is SHA-256 over password and salt, hashed again over its own 32 bytes
until there were as many rounds as the greeting asked for; a client of version 1, or one that names no version, does
a single round (docs/protocol.md, "Handshake"; a widely used client depends on it).
"""

import hmac
from hashlib import sha256
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from lineshaft.errors import PeerError, Refusal
from lineshaft.fields import Decoder

__all__ = [
    "Greeting",
    "Hello",
    "greeting",
    "hello_line",
    "parse_greeting",
    "parse_hello",
    "password_hash",
    "verify",
]

VERSION: Final = 2

#: A client hashes no more often than this: some seconds of work, which a server has no reason to ask for.
MAX_ITERATIONS: Final = 10_000_000

#: A wid is an identity, so one that is longer is refused: cut, two could become one.
MAX_WID_LENGTH: Final = 200
#: The rest is only shown, so it is cut: host names end at 255 anyway.
MAX_TEXT_LENGTH: Final = 255
#: Labels unless a server says otherwise, and features always: there are a handful of these.
MAX_LABELS: Final = 50

Number = Annotated[int, Meta(ge=-(2**53), le=2**53)]


class Hello(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a client says of itself; what is None, or empty, it did not say. Without a wid it is a producer."""

    v: Number | None = 1  #: without it a client is of version 1
    hostname: str | None = None
    wid: str | None = None
    pid: Number | None = None
    labels: list[str] | None = None
    username: str | None = None
    pwdhash: str | None = None
    features: list[str] | None = None  #: extensions that the client understands


class Greeting(Struct, frozen=True):
    """What a server asks for: the protocol's version and, with a password, rounds and salt."""

    v: Number
    i: Annotated[int, Meta(ge=1, le=MAX_ITERATIONS)] = 1
    s: str | None = None


_decode_hello: Final = Decoder(Hello).decode
_decode_greeting: Final = msgspec.json.Decoder(Greeting).decode


def greeting(version: int = VERSION, salt: str | None = None, iterations: int | None = None) -> bytes:
    """The server's first line. No space inside, and neither rounds nor salt without a password: clients rely on both.

    Raises ValueError when only one of salt and rounds is given.
    """
    if (salt is None) is not (iterations is None):
        raise ValueError("salt and iterations belong together")
    asked = {"v": version} if salt is None else {"v": version, "i": iterations, "s": salt}
    return b"+HI %b\r\n" % msgspec.json.encode(asked)


def parse_greeting(text: str) -> Greeting:
    """The server's first reply, without its `+`. Raises PeerError when it is none, or asks for too many rounds."""
    word, _, rest = text.partition(" ")
    try:
        if word == "HI":
            return _decode_greeting(rest)
    except (msgspec.DecodeError, RecursionError) as error:
        raise PeerError(f"the server's greeting cannot be used: {error}") from None
    raise PeerError(f"this is no job server: it greets with {text[:50]!r}")


def password_hash(password: str, salt: str, iterations: int) -> str:
    """The proof that a client knows the password, in lower-case hex; takes about a millisecond per 2,000 rounds."""
    digest = sha256((password + salt).encode()).digest()
    for _ in range(iterations - 1):
        digest = sha256(digest).digest()
    return digest.hex()


def verify(hello: Hello, password: str, salt: str, iterations: int) -> bool:
    """Whether a client knows the password; compares in constant time."""
    rounds = iterations if (hello.v or 1) >= VERSION else 1
    expected = password_hash(password, salt, rounds)
    # As bytes, since what the client sent need not be ASCII.
    return hmac.compare_digest(expected.encode(), (hello.pwdhash or "").encode())


def hello_line(hello: Hello) -> bytes:
    """A client's first line, with its end."""
    return b"HELLO %b\r\n" % msgspec.json.encode(hello)


def parse_hello(line: bytes, most_labels: int = MAX_LABELS) -> Hello:
    """A client's first line, without its end; what is only shown comes back cut to a sensible length and number.

    Raises PeerError, with an empty message for what is no HELLO (load balancers and port scanners are not answered),
    and with a reason for a wid that cannot be one.
    """
    if not line.startswith(b"HELLO {"):
        raise PeerError("")
    try:
        hello = _decode_hello(line[len(b"HELLO ") :])
    except Refusal:
        raise PeerError("") from None
    return msgspec.structs.replace(
        hello,
        v=1 if hello.v is None else hello.v,
        wid=_checked_wid(hello.wid),
        hostname=_cut(hello.hostname),
        username=_cut(hello.username),
        labels=_cut_all(hello.labels, most_labels),
        features=_cut_all(hello.features),
    )


def _checked_wid(wid: str | None) -> str | None:
    if wid and (len(wid) > MAX_WID_LENGTH or not wid.isprintable()):
        # Unprintable ones are left to the server, which names connections without a wid by them.
        raise PeerError(f"a wid has at most {MAX_WID_LENGTH} characters, all of them printable")
    return wid or None


def _cut(text: str | None) -> str | None:
    return text[:MAX_TEXT_LENGTH] if text else None


def _cut_all(texts: list[str] | None, most: int = MAX_LABELS) -> list[str] | None:
    return [text[:MAX_TEXT_LENGTH] for text in texts[:most]] if texts else None
