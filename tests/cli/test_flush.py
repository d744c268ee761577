"""Nothing is deleted without a yes."""

import io

import pytest

from lineshaft.cli.flush import is_confirmed
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
    assert is_confirmed("tcp://jobs:7419", Terminal(typed), questions) is is_yes
    assert questions.getvalue() == ("This deletes every job, queue and counter on tcp://jobs:7419. Type yes to go on: ")


def test_nobody_to_ask():
    questions = io.StringIO()
    with pytest.raises(UsageError, match="add --yes"):
        is_confirmed("tcp://jobs:7419", io.StringIO("yes\n"), questions)
    assert questions.getvalue() == ""
