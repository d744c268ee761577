"""Bytes made from a corpus by chance: cut, doubled, joined, and with letters that mean something put in."""

from random import Random

__all__ = ["mutated"]

TOKENS = [
    b"\r\n", b"\n", b"\r", b" ", b"\0", b"\xff", b"{", b"}", b"[", b"]", b'"', b":", b",", b"null", b"-1", b"1e999",
    b"9" * 40, b"$-1", b"PUSH ", b"PUSHB ", b"FETCH ", b"ACK ", b"FAIL ", b"MUTATE ", b"BATCH ", b"TRACK ", b"QUEUE ",
    b"CRON ", b"CANCEL ", b"REQUEUE ", b"BEAT ", b"INFO", b"FLUSH", b"END", b'{"jid":"held-0001"}', b"\\u0000",
    b"\\ud800", b"held-0002", b"b-0000000000000000", b'"custom":{"bid":"x"}', b"[[", b"=", b"#", b"\xc3\x28", b"\x91",
    b"\xc4", b"\xdd",
]  # fmt: skip


def mutated(chance: Random, corpus: list[bytes]) -> bytes:
    """One more input."""
    data = bytearray(chance.choice(corpus))
    for _ in range(chance.choice([1, 1, 2, 5, 20])):
        at = chance.randint(0, len(data))
        kind = chance.randrange(6)
        if kind == 0:
            data[at:at] = chance.choice(TOKENS)
        elif kind == 1:
            del data[at : at + chance.choice([1, 1, 4, 30])]
        elif kind == 2 and data:
            data[at % len(data)] = chance.randrange(256)
        elif kind == 3:
            other = chance.choice(corpus)
            data[at:] = other[chance.randint(0, len(other)) :]
        elif kind == 4:
            data[at:at] = data[at : at + 30]
        else:
            data[at:at] = chance.randbytes(chance.randint(1, 8))
    return bytes(data[:5000])
