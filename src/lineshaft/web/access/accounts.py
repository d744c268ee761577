"""Accounts: who may come in, and what each may do.

    reader      looks
    operator    and acts: on jobs, on pauses, on workers
    admin       and does what cannot be taken back on many jobs at once: removes a queue, deletes all that match

Passwords come as HTTP basic credentials with every request, and an argon2 hash is made to be slow. So a password that
was right once is remembered by a keyed digest, for as long as the process and the account's own hash live, and only the
first request of a browser pays; that first one is computed in a thread, since it would hold the loop.

What is true after every call: `known` holds digests of right passwords only, and not more than MOST_KNOWN.
"""

import hashlib
import hmac
import secrets
from collections import OrderedDict
from enum import IntEnum
from typing import Final

import argon2
from msgspec import Struct

__all__ = ["Account", "Keyring", "Role", "Token", "Visitor", "hash_password"]

MOST_KNOWN: Final = 1000

#: How a hash begins; what begins otherwise is the password itself.
HASHED: Final = "$argon2"
DIGESTED: Final = "sha256:"


class Role(IntEnum):
    """What somebody may do; each may do what those before may."""

    NOBODY = 0
    READER = 1
    OPERATOR = 2
    ADMIN = 3

    @property
    def word(self) -> str:
        """The role as the configuration spells it."""
        return self.name.lower()


class Account(Struct, frozen=True):
    """Somebody who may come in."""

    name: str
    password: str  #: an argon2 hash, or the password itself
    role: Role


class Token(Struct, frozen=True):
    """A program that may use the API."""

    name: str
    token: str  #: the token itself, or DIGESTED and the SHA-256 of it: what is long and drawn by chance needs no more
    scopes: frozenset[str]

    def is_it(self, given: bytes) -> bool:
        """Whether this is the token."""
        if self.token.startswith(DIGESTED):
            wanted, told = self.token.removeprefix(DIGESTED).lower(), hashlib.sha256(given).hexdigest()
            return hmac.compare_digest(told.encode(), wanted.encode())
        return hmac.compare_digest(given, self.token.encode())


class Visitor(Struct, frozen=True):
    """Who makes a request."""

    name: str
    role: Role
    scopes: frozenset[str] = frozenset()  #: of a program's token; a person has none

    def may(self, role: Role) -> bool:
        """Whether this visitor may do what `role` may."""
        return self.role >= role


class Keyring:
    """Compares passwords, and remembers which were right."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._hasher = argon2.PasswordHasher()
        self._known: OrderedDict[bytes, None] = OrderedDict()

    def is_quick(self, account: Account, given: bytes) -> bool:
        """Whether `opens` answers at once."""
        return not account.password.startswith(HASHED) or self._digest(account, given) in self._known

    def opens(self, account: Account, given: bytes) -> bool:
        """Whether this is the account's password; slow for a hash that was not asked for before. In any thread."""
        if not account.password.startswith(HASHED):
            return hmac.compare_digest(given, account.password.encode())
        digest = self._digest(account, given)
        if digest in self._known:
            return True
        try:
            self._hasher.verify(account.password, given)
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False
        self._known[digest] = None
        while len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return True

    def _digest(self, account: Account, given: bytes) -> bytes:
        told = b"%d:%b%b" % (len(given), given, account.password.encode())
        return hmac.digest(self._secret, told, hashlib.sha256)


def hash_password(password: str) -> str:
    """A hash for the configuration."""
    return argon2.PasswordHasher().hash(password)
