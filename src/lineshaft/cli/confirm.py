"""Asking before something is lost."""

import sys
from typing import TextIO

from lineshaft.errors import UsageError

__all__ = ["is_confirmed"]


def is_confirmed(what: str, *, yes: bool, answers: TextIO | None = None, questions: TextIO | None = None) -> bool:
    """Whether it is to be done; only `yes`, spelled out, is a yes. `what` completes "this ...".

    Raises UsageError when nobody is there to ask.
    """
    answers, questions = answers or sys.stdin, questions or sys.stderr
    if yes:
        return True
    if not answers.isatty():
        raise UsageError(f"this {what}, and there is no terminal to ask on: add --yes")
    questions.write(f"This {what}. Type yes to go on: ")
    questions.flush()
    if answers.readline().strip().lower() == "yes":
        return True
    questions.write("nothing was done\n")
    return False
