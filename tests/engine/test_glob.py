"""Globs: what Redis' MATCH would say, in a time that no pattern can stretch."""

import fnmatch
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineshaft.engine.search.glob import Glob
from lineshaft.errors import Refusal

CASES = [
    ("", "", True),
    ("", "a", False),
    ("*", "", True),
    ("*", "anything\nat all", True),
    ("**", "x", True),
    ("a*", "a", True),
    ("a*", "ba", False),
    ("*a", "ba", True),
    ("*a", "ab", False),
    ("a*b*c", "a--b--c", True),
    ("a*b*c", "a--c--b", False),
    ("*ab*ab*", "ab", False),
    ("*ab*ab*", "abab", True),
    ("*ab*ab", "xabab", True),
    ("a*a", "a", False),
    ("?", "a", True),
    ("?", "", False),
    ("?", "\n", True),
    ("a?c", "abc", True),
    ("*?", "", False),
    ("[abc]", "b", True),
    ("[abc]", "d", False),
    ("[abc]", "bb", False),
    ("[a-c]x", "bx", True),
    ("[c-a]x", "bx", True),
    ("[^a-c]", "b", False),
    ("[^a-c]", "d", True),
    ("[!a]", "!", True),
    ("[]", "", False),
    ("[]", "[]", False),
    ("[^]", "x", True),
    ("[^]", "", False),
    ("[[]", "[", True),
    ("[\\]]", "]", True),
    ("[\\^]", "^", True),
    ("[a^]", "^", True),
    ("[a-]", "-", True),
    ("[-a]", "-", True),
    ("[a--]", "b", False),
    ("[a&&b]", "&", True),
    ("[a||b]", "|", True),
    ("[\\d]", "d", True),
    ("[\\d]", "5", False),
    ("[abc", "b", True),
    ("[abc", "[abc", False),
    ("x[", "x", False),
    ("[a*]", "*", True),
    ("[a*]", "aa", False),
    ("\\*", "*", True),
    ("\\*", "x", False),
    ("\\?\\[\\]\\\\", "?[]\\", True),
    ("\\a", "a", True),
    ("\\", "\\", True),
    ("(a|b)+.$^{2}", "(a|b)+.$^{2}", True),
    (".", "a", False),
    ("A", "a", False),
    ('*"jobtype":"Resize"*', '{"args":[],"jobtype":"Resize"}', True),
    ('*"args":\\["fizz"]*', '{"args":["fizz"]}', True),
    ('*"args":["fizz"]*', '{"args":["fizz"]}', False),
    ("*é?*", "caféx", True),
]


@pytest.mark.parametrize(("pattern", "text", "expected"), CASES)
def test_matches(pattern: str, text: str, expected: bool) -> None:
    assert Glob(pattern).matches(text) is expected


LETTERS = st.text(alphabet="ab*?", max_size=8)


@given(pattern=LETTERS, text=st.text(alphabet="ab", max_size=10))
def test_agrees_with_fnmatch_where_they_mean_the_same(pattern: str, text: str) -> None:
    assert Glob(pattern).matches(text) is fnmatch.fnmatchcase(text, pattern)


@given(pattern=st.text(alphabet="ab[]^-\\*?", max_size=12), text=st.text(alphabet="ab[]^-\\*?", max_size=6))
def test_every_pattern_is_one(pattern: str, text: str) -> None:
    Glob(pattern).matches(text)


@given(st.text(max_size=20))
def test_an_escaped_text_matches_itself_alone(text: str) -> None:
    pattern = re.sub(r"([\\*?\[\]^-])", r"\\\1", text)
    assert Glob(pattern).matches(text)
    assert not Glob(pattern).matches(text + "x")


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("*a*a*a*a*a*a*a*a*a*b", "a" * 100_000),
        ("*a" * 400 + "*b", "a" * 100_000),
        ("*" * 1000, "a" * 100_000),
        ("*" + "[ab]" * 20 + "c", "a" * 100_000),
        ("*" + "a" * 500 + "b*", "a" * 100_000),
    ],
    ids=lambda value: value[:12],
)
def test_no_pattern_takes_long(pattern: str, text: str) -> None:
    glob = Glob(pattern)
    began = time.perf_counter()
    assert glob.matches(text) is (set(pattern) == {"*"})
    assert time.perf_counter() - began < 20, "backtracking would take years"


def test_a_long_pattern_is_refused() -> None:
    assert Glob("a" * 1000).matches("a" * 1000)
    with pytest.raises(Refusal, match="at most 1000 characters"):
        Glob("a" * 1001)
