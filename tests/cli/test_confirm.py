"""Nothing is lost without a yes."""

import io

import pytest

from lineshaft.cli.confirm import is_confirmed
from lineshaft.errors import UsageError


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("typed", "is_yes"), [("yes\n", True), (" YES \n", True), ("y\n", False), ("\n", False), ("", False)]
)
def test_only_yes_is_a_yes(typed, is_yes):
    questions = io.StringIO()
    assert is_confirmed("deletes it all", yes=False, answers=Terminal(typed), questions=questions) is is_yes
    answer = "" if is_yes else "nothing was done\n"
    assert questions.getvalue() == f"This deletes it all. Type yes to go on: {answer}"


def test_nobody_to_ask():
    questions = io.StringIO()
    with pytest.raises(UsageError, match="this deletes it all, and there is no terminal to ask on: add --yes"):
        is_confirmed("deletes it all", yes=False, answers=io.StringIO("yes\n"), questions=questions)
    assert is_confirmed("deletes it all", yes=True, answers=io.StringIO(), questions=questions)
    assert questions.getvalue() == ""
