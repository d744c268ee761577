r"""Transcripts: conversations between clients and the server as text, one step a line.

```
# what this is about                    a comment; empty lines are nothing
@ password foobar                       a setting of the server (SETTINGS below)
C: PUSH {"jid":"..."}                   the client sends a line, with CRLF
C| HELLO {"v":2}\n                      the client sends these bytes; \r \n \t \\ \xNN are what they are in Python
S: +OK                                  the server answers with exactly this line
S~ -ERR invalid JSON: .*                ... with a line that this regular expression matches in full
S$ {"jid":"abcdefgh","at":"<instant>"}  ... with a bulk string of JSON that is equal to this, up to placeholders
S= {"args":[1.0]}                       ... with a bulk string of exactly these bytes
S-                                      ... with the null bulk
S.                                      ... with nothing, so far
S!                                      the server closes the connection
X                                       the client breaks the connection
E                                       the client sends no more (half a close), but still reads
W 2                                     two seconds pass
R                                       the server is killed and started again on the same disk
```

`C` lines that follow one another go out in one packet. `C2:`, `S2$`, `X2` and so on are another connection; one is
opened by its first line, and unless that is an `S` line, the greeting is read and checked on the way.

Placeholders in `S$`: `"<instant>"` any RFC 3339 time in UTC, `"<count>"` an integer from 0, `"<seconds>"` a number
with four digits after its point, `"<text>"` a non-empty string, `"<any>"` anything; the key `"..."` lets an object
have more keys than are listed. `<pwdhash:SECRET>` in a `C` line is the hash for this connection's greeting,
`<pwdhash1:SECRET>` the one that a client of version 1 would send.
"""

import hashlib
import json
import re
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("transcripts")

_STEP = re.compile(r"([CSXE])(\d*)([:|~$=.!-]?)(?: (.*))?", re.DOTALL)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")
_HASH = re.compile(r"<pwdhash(1?):([^>]*)>")

#: What `@` may set, and how its value is read.
SETTINGS = {
    "password": str,
    "password_iterations": int,
    "salt": str,
    "max_connections": int,
    "line_limit_bytes": int,
    "max_jobs": int,
    "backoff": str,
    "refuse_duplicate_jids": json.loads,
    "jid_index": json.loads,
    "recover_after": int,
    "throttles": json.loads,  # by queue, as the configuration has it, but times in milliseconds
    "description": str,
    "cron": json.loads,  # name to schedule and custom
    "box_only": json.loads,  # true: needs an order between connections that real sockets do not promise
}


@dataclass(frozen=True)
class Step:
    """One line of a transcript: `kind` is its marks without the connection's number (`C:`, `S$`, `W` ...)."""

    number: int
    kind: str
    connection: str
    text: str


@dataclass
class Transcript:
    """A transcript as it was read."""

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)

    @property
    def takes_time(self) -> bool:
        """Whether it needs a clock or a disk that the test moves: then no real socket can replay it."""
        return self.settings.get("box_only", False) or any(step.kind in {"W", "R"} for step in self.steps)


def read(path: Path) -> Transcript:
    """Read a transcript; a line that is no step is an error."""
    transcript = Transcript(path.relative_to(FOLDER).with_suffix("").as_posix())
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        mark, _, rest = line.partition(" ")
        if mark == "@":
            name, _, value = rest.partition(" ")
            transcript.settings[name] = SETTINGS[name](value)
        elif mark in {"W", "R"}:
            transcript.steps.append(Step(number, mark, "", rest))
        else:
            found = _STEP.fullmatch(line)
            assert found, f"{path.name}:{number}: not a step: {line}"
            transcript.steps.append(Step(number, found[1] + found[3], found[2], found[4] or ""))
    return transcript


def everyone() -> list[Transcript]:
    """Every transcript there is."""
    return [read(path) for path in sorted(FOLDER.rglob("*.txt"))]


def outgoing(step: Step, greeting: bytes) -> bytes:
    """The bytes of a `C` step on a connection that was greeted like this."""
    text = _HASH.sub(lambda found: password_hash(found[2], greeting, once=bool(found[1])), step.text)
    if step.kind == "C:":
        return text.encode() + b"\r\n"
    assert step.kind == "C|", step
    return text.encode().decode("unicode_escape").encode("latin-1")


def password_hash(password: str, greeting: bytes, *, once: bool = False) -> str:
    """What a client sends as `pwdhash` after this greeting; written from the protocol, not from the server."""
    asked = json.loads(greeting.removeprefix(b"+HI "))
    digest = hashlib.sha256((password + asked["s"]).encode()).digest()
    for _ in range(0 if once else asked["i"] - 1):
        digest = hashlib.sha256(digest).digest()
    return digest.hex()


def cut_reply(data: bytes) -> tuple[bytes, bytes]:
    """The first complete reply, and what comes behind it; an empty reply when there is none yet."""
    head, end, rest = data.partition(b"\r\n")
    if not end:
        return b"", data
    if head[:1] == b"$" and head != b"$-1":
        size = int(head[1:])
        if len(rest) < size + 2:
            return b"", data
        assert rest[size : size + 2] == b"\r\n", data[:200]
        return head + end + rest[: size + 2], rest[size + 2 :]
    return head + end, rest


def check_reply(step: Step, reply: bytes, where: str) -> None:
    """Compare a reply with what an `S` step expects."""
    head, _, body = reply.removesuffix(b"\r\n").partition(b"\r\n")
    if step.kind == "S:":
        assert reply == step.text.encode() + b"\r\n", f"{where}: {reply[:2000]!r}"
    elif step.kind == "S~":
        assert re.fullmatch(step.text, head.decode()), f"{where}: {reply[:2000]!r}"
        assert not body, f"{where}: {reply[:2000]!r}"
    elif step.kind == "S-":
        assert reply == b"$-1\r\n", f"{where}: {reply[:2000]!r}"
    else:
        assert step.kind in {"S$", "S="}, f"{where}: {step.kind} is no kind of step"
        assert head == b"$%d" % len(body), f"{where}: {reply[:2000]!r}"
        assert b"\n" not in body, f"{where}: more than one line"
        if step.kind == "S=":
            assert body == step.text.encode(), f"{where}: {body[:2000]!r}"
        else:
            got = json.loads(body, parse_float=Decimal)
            assert matches(json.loads(step.text, parse_float=Decimal), got), f"{where}: {body.decode()[:2000]}"


def matches(wanted: Any, got: Any) -> bool:
    """Whether `got` is `wanted`, placeholders filled in. Kinds count: 1 is not 1.0, and not true."""
    if isinstance(wanted, str) and wanted[:1] == "<" and wanted[-1:] == ">":
        return _fills(wanted[1:-1], got)
    if type(wanted) is not type(got):
        return False
    if isinstance(wanted, dict):
        listed = {key: value for key, value in wanted.items() if key != "..."}
        return (listed.keys() == got.keys() or ("..." in wanted and listed.keys() <= got.keys())) and all(
            matches(value, got[key]) for key, value in listed.items()
        )
    if isinstance(wanted, list):
        return len(wanted) == len(got) and all(map(matches, wanted, got))
    return bool(wanted == got)


def _fills(placeholder: str, got: Any) -> bool:
    if placeholder == "instant":
        return isinstance(got, str) and _INSTANT.fullmatch(got) is not None
    if placeholder == "count":
        return type(got) is int and got >= 0
    if placeholder == "seconds":
        return isinstance(got, Decimal) and got >= 0 and -int(got.as_tuple().exponent) >= 4
    if placeholder == "text":
        return isinstance(got, str) and got != ""
    assert placeholder == "any", f"unknown placeholder <{placeholder}>"
    return True
