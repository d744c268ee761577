"""Every target holds for its corpus, in which each case that was found stands, and for bytes made from it by chance."""

import logging
import os
from pathlib import Path
from random import Random

import pytest

from fuzz.mutate import mutated
from fuzz.targets import TARGETS

CORPUS = Path(__file__).with_name("corpus")
#: How many inputs each target is given beside its corpus.
INPUTS = int(os.environ.get("LINESHAFT_FUZZ", "150"))


def corpus_of(target: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / target).iterdir())]


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL + 1, logger="lineshaft")


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
