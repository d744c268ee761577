"""How a method that is a talk becomes a call that blocks, or one that is awaited.

    class Commands(Speaker):            class Client(Commands, Blocking)       client.flush()
        @verb                           class AsyncClient(Commands, Awaiting)  await client.flush()
        def flush(self) -> Talk[None]: ...

A method is written, typed and documented once; which kind of call it is, the class of the object says.
"""

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from lineshaft.client.talk import Pool, Talk

if TYPE_CHECKING:
    # Whoever blocks need not import asyncio.
    from lineshaft.client.awaiting import AwaitingTalker
    from lineshaft.client.blocking import BlockingTalker

__all__ = ["Awaiting", "Blocking", "Speaker", "verb"]

P = ParamSpec("P")
T = TypeVar("T")


class Speaker:
    """Whoever has something to say to a server."""

    _talker: Any

    @property
    def _pool(self) -> Pool:
        pool: Pool = self._talker.pool
        return pool


class Blocking(Speaker):
    """Its verbs block."""

    _talker: "BlockingTalker"


class Awaiting(Speaker):
    """Its verbs are awaited."""

    _talker: "AwaitingTalker"


class verb(Generic[P, T]):  # noqa: N801 - used as a decorator
    """Makes a method out of a talk."""

    def __init__(self, talk: Callable[Concatenate[Any, P], Talk[T]]) -> None:
        self.talk = talk
        self.__doc__ = talk.__doc__

    @overload
    def __get__(self, speaker: None, kind: type) -> "verb[P, T]": ...

    @overload
    def __get__(self, speaker: Blocking, kind: type) -> Callable[P, T]: ...

    @overload
    def __get__(self, speaker: Awaiting, kind: type) -> Callable[P, Coroutine[Any, Any, T]]: ...

    def __get__(self, speaker: Any, kind: type) -> Any:
        """The call, bound to its object."""
        if speaker is None:
            return self

        def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            return speaker._talker.run(self.talk(speaker, *args, **kwargs))

        return call
