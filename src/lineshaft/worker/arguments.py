"""The arguments of a job function: from a call to a JSON array, and from an array to a call, typed both ways.

The array holds the parameters in the order in which they are declared, keyword-only ones too, up to the last that was
given; the function's own defaults stand for the rest. So producers in other languages need to know the order, and a
worker may have a newer signature, with more defaults, than whoever pushed.
"""

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import msgspec

from lineshaft.errors import UsageError

__all__ = ["Arguments"]

_VARIADIC: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Arguments:
    """Those of one function. Raises UsageError for one with `*args` or `**kwargs`, whose array would have no shape."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self._name = name
        self._function = function
        self._signature = inspect.signature(function)
        self._parameters = list(self._signature.parameters.values())
        for parameter in self._parameters:
            if parameter.kind in _VARIADIC:
                raise UsageError(f"the job function {name} cannot have {parameter}: its arguments are a JSON array")
        keyword_only = [parameter.kind is parameter.KEYWORD_ONLY for parameter in self._parameters]
        #: How many of them are passed by position.
        self._positional = keyword_only.index(True) if True in keyword_only else len(keyword_only)

    @cached_property
    def _types(self) -> dict[str, Any]:
        try:
            return typing.get_type_hints(self._function, include_extras=True)
        except (TypeError, NameError, ValueError) as error:
            raise UsageError(f"the types of {self._name} cannot be found: {error}") from None

    @cached_property
    def result_type(self) -> Any:
        """What the function is declared to return."""
        return self._types.get("return", Any)

    @cached_property
    def _decoder(self) -> "msgspec.json.Decoder[Any]":
        """Made when it is first needed: annotations may name what is defined further down in the module."""
        try:
            fields = [_field(parameter, self._types.get(parameter.name, Any)) for parameter in self._parameters]
            record = msgspec.defstruct(self._name, fields, array_like=True, forbid_unknown_fields=True)
            return msgspec.json.Decoder(record)
        except (TypeError, ValueError) as error:
            raise UsageError(f"the arguments of {self._name} cannot be read from JSON: {error}") from None

    def prepare(self) -> None:
        """Find out now whether all types can be read. Raises UsageError."""
        self._decoder  # noqa: B018 - a cached property

    def array(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> msgspec.Raw:
        """A call as a JSON array, checked as the worker will check it. Raises UsageError."""
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise UsageError(f"{self._name}: {error}") from None
        given = max((i for i, one in enumerate(self._parameters, 1) if one.name in bound.arguments), default=0)
        bound.apply_defaults()
        values = [bound.arguments[one.name] for one in self._parameters[:given]]
        try:
            array = msgspec.json.encode(values)
            self.call(array)
        except (TypeError, ValueError, RecursionError) as error:
            raise UsageError(f"{self._name}: {error}") from None
        return msgspec.Raw(array)

    def call(self, array: bytes | msgspec.Raw) -> tuple[list[Any], dict[str, Any]]:
        """A JSON array as the arguments of a call. Raises msgspec.DecodeError, naming the argument."""
        values = msgspec.structs.astuple(self._decoder.decode(array))
        given = [value for value in values if value is not msgspec.UNSET]
        if len(given) <= self._positional:
            return given, {}
        names = [parameter.name for parameter in self._parameters[self._positional : len(given)]]
        return given[: self._positional], dict(zip(names, given[self._positional :], strict=True))


def _field(parameter: inspect.Parameter, kind: Any) -> Any:
    if parameter.default is parameter.empty:
        return (parameter.name, kind)
    # Left out of the call when it is not there, so that the default is made by the function itself.
    return (parameter.name, typing.Union[kind, msgspec.UnsetType], msgspec.UNSET)  # noqa: UP007 - any kind of type
