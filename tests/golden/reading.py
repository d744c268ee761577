"""The jobs of a data directory as lines, but for those that say when and by what they were written."""

from pathlib import Path

from lineshaft.cli.export import Export, open_for_reading


def lines_of(data: Path) -> list[bytes]:
    """Every line of an export but the first."""
    complaints: list[str] = []
    with open_for_reading(data) as store:
        lines = list(Export(store, complaints).lines(0))
    assert complaints == []
    return lines[1:]
