"""Every target holds for its corpus, in which each case that was found stands, and for bytes made from it by chance."""

import logging
import os
import re
from pathlib import Path
from random import Random

import pytest

from docs.pages import read, section
from fuzz.mutate import mutated
from fuzz.stock import ALL_KINDS, kind_of, stock
from fuzz.targets import MADE, TARGETS

CORPUS = Path(__file__).with_name("corpus")
#: How many inputs each target is given beside its corpus.
INPUTS = int(os.environ.get("LINESHAFT_FUZZ", "150"))


def corpus_of(target: str) -> list[bytes]:
    made = MADE[target]() if target in MADE else []
    return [path.read_bytes() for path in sorted((CORPUS / target).iterdir())] + made


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL + 1, logger="lineshaft")


def test_every_kind_of_row_is_there_to_be_damaged() -> None:
    assert {kind_of(key) for key in stock()} == ALL_KINDS
    page = read("docs/format.md")
    assert {kind[0] for kind in ALL_KINDS} == set(re.findall(r"^\| `([A-Z])", section(page, "Keys"), re.MULTILINE))


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus(target: str) -> None:
    for data in corpus_of(target):
        TARGETS[target](data)


@pytest.mark.timeout(120 + INPUTS)
@pytest.mark.parametrize("target", TARGETS)
def test_bytes_made_by_chance(target: str) -> None:
    chance, corpus = Random(f"{target}/{INPUTS}"), corpus_of(target)
    for _ in range(INPUTS):
        data = mutated(chance, corpus)
        try:
            TARGETS[target](data)
        except Exception as error:
            pytest.fail(f"{target} does not hold for {data!r}: {type(error).__name__}: {error}")
