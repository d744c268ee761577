"""`lineshaft password`: a hash to write into the configuration instead of a password."""

import sys
from getpass import getpass

from lineshaft.errors import UsageError
from lineshaft.web.access.accounts import hash_password

__all__ = ["password"]


def password() -> None:
    """Ask for a password, twice on a terminal, else by the first line of the input; print its argon2 hash."""
    if sys.stdin.isatty():
        given = getpass("Password: ")
        if getpass("Once more: ") != given:
            raise UsageError("the two are not the same")
    else:
        given = sys.stdin.readline().rstrip("\r\n")
    if not given:
        raise UsageError("a password is not empty")
    print(hash_password(given))
