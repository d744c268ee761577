"""The arguments of operators' verbs, and how bad ones are refused."""

import pytest

from lineshaft.errors import Refusal
from lineshaft.protocol.admin import Filter, Mutate, parse_mutate


def refusal(parse: object, argument: bytes) -> str:
    with pytest.raises(Refusal) as caught:
        parse(argument)  # type: ignore[operator]
    return str(caught.value)


def test_mutate() -> None:
    assert parse_mutate(b'{"cmd":"clear","target":"dead"}') == Mutate("clear", "dead")
    assert parse_mutate(b'{"cmd":"clear","target":"dead","filter":null}') == Mutate("clear", "dead")
    assert parse_mutate(b'{"filter":{},"cmd":"kill","target":"retries"}') == Mutate("kill", "retries", Filter())
    assert parse_mutate(
        b'{"filter":{"regexp":"*a b*","jobtype":"T","jids":["a","b"]}, "cmd":"discard", "target":"scheduled"}'
    ) == Mutate("discard", "scheduled", Filter(["a", "b"], "T", "*a b*"))
    assert parse_mutate(b'{"filter":{"jids":null,"jobtype":""},"cmd":"kill","x":1}').filter == Filter(jobtype="")


@pytest.mark.parametrize(
    "argument",
    [
        b"", b"{", b"[]", b'{"cmd":5}', b'{"cmd":"kill","target":[]}', b'{"filter":[]}', b'{"filter":{"jids":"a"}}',
        b'{"filter":{"jids":[5]}}', b'{"filter":{"JobType":"a"}}', b'{"filter":{"kind":"a"}}', b'{"cmd":"\xff"}',
    ],
)  # fmt: skip
def test_malformed_mutate(argument: bytes) -> None:
    """An odd filter too: dropping what is not understood would do the command to more jobs than were meant."""
    assert refusal(parse_mutate, argument) == "invalid format"
