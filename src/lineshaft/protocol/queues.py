"""The arguments of the verbs that name queues: FETCH, where a name may have a weight, and QUEUE.

As in `commands`: bounded and of the right types. Whether a name could be a queue's is not checked here: `*` means all
to QUEUE, and FETCH may ask in vain.
"""

from typing import Final

from lineshaft.errors import Refusal
from lineshaft.protocol.commands import SUBCOMMANDS

__all__ = ["parse_fetch", "parse_names", "parse_queue"]

#: A FETCH takes its place in a line for every queue that it names.
MAX_NAMES: Final = 1000
MAX_NAME_LENGTH: Final = 1000

#: A queue this much heavier than another leaves it as good as nothing already.
MAX_WEIGHT: Final = 1_000_000


def parse_names(argument: bytes) -> list[str]:
    """Queue names, as FETCH and QUEUE list them, in their order. Raises Refusal: too many, too long, or not UTF-8."""
    names = argument.split(None, MAX_NAMES)
    if len(names) > MAX_NAMES:
        raise Refusal(f"too many queue names: the limit is {MAX_NAMES}")
    try:
        decoded = [name.decode() for name in names]
    except UnicodeDecodeError:
        raise Refusal("invalid queue name: not UTF-8") from None
    if len(argument) > MAX_NAME_LENGTH and max(map(len, decoded), default=0) > MAX_NAME_LENGTH:
        raise Refusal(f"invalid queue name: longer than {MAX_NAME_LENGTH} characters")
    return decoded


def parse_fetch(argument: bytes) -> tuple[list[str], dict[str, int] | None]:
    """FETCH's queue names, and their weights where any has one (`name:5`); a name without one then weighs 1.

    A name that stands there twice weighs as much as both. Raises Refusal for a bad weight, and as `parse_names`.
    """
    names = parse_names(argument)
    if b":" not in argument:
        return names, None
    weights: dict[str, int] = {}
    for said in names:
        name, colon, weight = said.partition(":")
        weights[name] = weights.get(name, 0) + (_weight(said, weight) if colon else 1)
        if not name:
            raise Refusal(f"invalid queue name in '{said[:100]}': it is empty")
    return list(weights), weights


def _weight(said: str, weight: str) -> int:
    # Not `isdigit` alone: there are digits beyond ASCII.
    if weight.isascii() and weight.isdigit() and len(weight) <= len(str(MAX_WEIGHT)) and 1 <= int(weight) <= MAX_WEIGHT:
        return int(weight)
    raise Refusal(f"invalid weight in '{said[:100]}': a weight is a whole number from 1 to {MAX_WEIGHT}")


def parse_queue(argument: bytes) -> tuple[str, list[str]]:
    """QUEUE's subcommand, in upper case whatever it was, and the names after it. Raises Refusal, as `parse_names`."""
    subcommand, _, rest = argument.lstrip().partition(b" ")
    word = subcommand.decode(errors="replace").strip().upper()
    if word not in SUBCOMMANDS["QUEUE"]:
        raise Refusal(f"no such QUEUE subcommand: {word[:50]}")
    return word, parse_names(rest)
