"""Flags of commands: given or not, with no `--no-` form and no default to be told."""

from typing import Annotated

from cyclopts import Parameter

__all__ = ["Flag"]

Flag = Annotated[bool, Parameter(negative=(), show_default=False)]
