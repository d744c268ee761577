"""Connections by the thousand: every day a few hundred, for what does not depend on the machine; at night all."""

from pathlib import Path

import pytest

from load.connections import Figure, main, measure

#: What depends on how busy the machine is.
TIMES = ("PUSH of others", "PUSH of those", "processor", "ratio", "connections a second")


@pytest.mark.parametrize("name", ["parked", "no_files"])
def test_connections_in_short(tmp_path: Path, name: str) -> None:
    figures: list[Figure] = []
    measure(300, 0.5, tmp_path, [name], figures.append)
    assert figures
    missed = [figure.line() for figure in figures if not figure.is_met and not any(one in figure.name for one in TIMES)]
    assert not missed


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_ten_thousand_connections() -> None:
    assert main(["--seconds", "60"]) == 0
