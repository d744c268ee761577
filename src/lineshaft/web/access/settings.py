"""What an operator decides about who comes in."""

from msgspec import Struct

from lineshaft.web.access.accounts import Account, Token

__all__ = ["AccessSettings"]


class AccessSettings(Struct, frozen=True):
    """Passwords, names and tokens; a reload hands in another one."""

    password: str | None = None  #: asked for when there are no accounts; None lets everybody in
    accounts: tuple[Account, ...] = ()  #: with any, only these come in
    tokens: tuple[Token, ...] = ()  #: of programs, for the API
    hosts: frozenset[str] = frozenset()  #: names that are ours, in small letters, for those who give no password
    hsts: bool = False  #: have browsers ask over TLS only; never set where it is not served
