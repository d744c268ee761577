"""The simple kinds of values, and secrets."""

import pytest

from lineshaft.config.kinds import Secret, choice, secret, switch, text, whole


def test_a_secret_does_not_show_itself():
    password = secret().read("hunter2")
    assert password == "hunter2"
    assert isinstance(password, Secret)
    assert "hunter2" not in repr([password])


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (choice("a", "b"), "b", ["c", 1, None, ["a"], {}]),
        (switch(), False, ["false", 0, 1, None]),
        (text(), "A name", ["", "  ", "two\nlines", 3]),
        (whole(1, 3), 3, [0, 4, 2.0, "2", True]),
        (secret(), Secret("x"), ["", " ", 5, True]),
    ],
)
def test_the_simple_kinds(kind, good, bad):
    assert kind.read(good) == good
    for value in bad:
        with pytest.raises(ValueError):  # noqa: PT011 - the message is the caller's
            kind.read(value)


def test_a_choice_is_told_in_words():
    assert choice("always", "interval", "never").allowed == '"always", "interval" or "never"'
