"""Fuzz with atheris, which follows the code that its inputs reach.

    make fuzz TARGET=commands SECONDS=600

What it finds that reaches new code joins the corpus of the run under build/fuzz; an input that breaks the invariant is
written beside it. Put it into tests/fuzz/corpus once it is mended, so that it is tried for ever.
"""

import logging
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["lineshaft"]):
    from fuzz.targets import MADE, TARGETS


def main() -> None:
    """TARGET SECONDS"""
    target, seconds = sys.argv[1], sys.argv[2]
    logging.getLogger("lineshaft").setLevel(logging.CRITICAL + 1)
    kept = Path("build/fuzz") / target
    kept.mkdir(parents=True, exist_ok=True)
    for old in kept.glob("made-*"):
        old.unlink()
    for number, data in enumerate(MADE[target]() if target in MADE else []):
        (kept / f"made-{number:03}").write_bytes(data)
    corpus = Path(__file__).with_name("corpus") / target
    options = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=20", f"-artifact_prefix={kept}/broken-"]
    atheris.Setup([sys.argv[0], *options, str(kept), str(corpus)], TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
