"""docs/command-line.md against the commands that there are, and the exit codes that they have."""

import re

import lineshaft.cli.main
from docs.pages import inline, read, section, table
from lineshaft.cli.app import COMMANDS

PAGE = read("docs/command-line.md")


def test_every_command_has_its_line() -> None:
    rows = table(PAGE, head="Command")
    assert {inline(cells[0])[0].split()[0] for cells in rows} == set(COMMANDS)


def test_the_exit_codes() -> None:
    documented = [cells[0] for cells in table(section(PAGE, "Exit codes"), head="Code")]
    assert documented == re.findall(r"^    (\d+) ", lineshaft.cli.main.__doc__ or "", re.MULTILINE)


def test_the_filters_are_those_of_jobs() -> None:
    from lineshaft.cli.jobs import Chosen  # noqa: PLC0415 - the parser's library is slow to import

    rows = table(section(PAGE, "Which jobs are meant"), head="Flag")
    flags = {flag for cells in rows for flag in inline(cells[0]) if flag.startswith("--")}
    said = {"jobtype": "--type"}
    assert flags == {said.get(name, f"--{name}") for name in Chosen.__dataclass_fields__} | {"--in", "--all"}
