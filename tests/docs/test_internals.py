"""docs/internals.md names every module of the package, and draws the layers that are checked."""

import re
import tomllib

from docs.pages import ROOT, blocks, read, section, table

PACKAGE = ROOT / "src" / "lineshaft"
PAGE = read("docs/internals.md")


def test_every_module_has_its_line_and_every_line_its_module() -> None:
    rows = table(section(PAGE, "Where each thing lives"), head="File")
    named = [name for cells in rows for name in re.findall(r"`([^`]+)`", cells[0])]
    modules = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if not path.name.startswith("__")}
    assert len(named) == len(set(named))
    assert set(named) == modules


def test_files_named_in_passing_exist() -> None:
    named = re.findall(r"`((?:cli|config|engine|protocol|server|store|web|client)/[\w/]+\.py)`", PAGE)
    assert [name for name in named if not (PACKAGE / name).is_file()] == []


def test_the_layers_are_those_that_are_checked() -> None:
    drawn = [line[:46].strip() for line in blocks(section(PAGE, "Layers"), "")[0].text.splitlines()]
    project = tomllib.loads(read("pyproject.toml"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    # What is in brackets there does not exist yet.
    contract = [re.findall(r"(?<!\()lineshaft\.(\w+)", layer) for layer in layers]
    assert [re.findall(r"\w+", line) for line in drawn] == contract
