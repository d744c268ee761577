"""Every link of every page leads somewhere, and every file that a page names exists."""

import re
from pathlib import Path

import pytest

from docs.pages import PAGES, ROOT, inline, prose, read, table

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_FILE = re.compile(r"(?:src|tests|docs|bench|demo|requirements)/[\w./-]*|[A-Z]{3,}\.md|Makefile|pyproject\.toml")


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub makes addresses of them."""
    headings = _HEADING.findall(prose(page.read_text("utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(prose(page.read_text("utf-8"))):
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_files_exist(page: Path) -> None:
    named = [code for code in inline(page.read_text("utf-8")) if _FILE.fullmatch(code)]
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert pages == {link for link in _LINK.findall(index) if "/" not in link}


def test_the_index_of_decisions() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = [cells for cells in table(read("docs/decisions/README.md"), head="Number") if cells[0]]
    rows = {cells[0].partition("](")[2].rstrip(")"): cells[1:] for cells in listed}
    pages = {page.name: page.read_text("utf-8") for page in folder.glob("[0-9]*.md")}
    assert sorted(rows) == sorted(pages)
    for name, (decision, state) in rows.items():
        assert pages[name].startswith(f"# {name[:4]}: {decision}\n\nState: {state}\n"), name
