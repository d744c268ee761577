"""The site of the pages, as `make docs` prepares it; that it can be built without warnings, `make docs` shows."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from docs.pages import ROOT, read
from lineshaft.cli.app import COMMANDS

SITE = ROOT / "packaging" / "site"


def load(name: str) -> ModuleType:
    """A part of the builder, which is a program and no package."""
    spec = importlib.util.spec_from_file_location(name, SITE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


commands, interfaces = load("commands"), load("interfaces")
build = load("build")


def test_every_command_is_in_its_reference() -> None:
    headings = re.findall(r"^## lineshaft (\S+)$", commands.page(), re.MULTILINE)
    assert headings == list(COMMANDS)
    assert "--prefetch N" in commands.page()
    assert "--ephemeral" in commands.page()
    assert str(ROOT) not in commands.page()


def test_every_public_name_is_in_its_reference() -> None:
    for file, text in interfaces.pages().items():
        page = interfaces.PAGES[file]
        names = re.findall(rf"^::: {page.module}\.(\w+)$", text, re.MULTILINE)
        assert sorted(names) == sorted(importlib.import_module(page.module).__all__)


def test_the_menu_has_every_page() -> None:
    listed = [
        path for entry in build.menu() for one in entry.values() for path in ([one] if isinstance(one, str) else one)
    ]
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    decisions = {page for page in pages if page.startswith("decisions/0")}
    assert len(listed) == len(set(listed))
    assert pages - decisions == {path for path in listed if not path.startswith("reference/")}
    assert [next(iter(entry)) for entry in build.menu()] == ["Home", "Tutorial", "How-to", "Reference", "Explanation"]


@pytest.mark.parametrize(
    ("link", "leads_to"),
    [
        ("[x](retries.md)", "[x](retries.md)"),
        ("[x](../security.md#what)", "[x](../security.md#what)"),
        ("[../security.md](../security.md)", "[Security: the threat model](../security.md)"),
        ("[README](../../README.md#why)", "[README](https://github.com/lineshaft/lineshaft/blob/main/README.md#why)"),
        ("[x](../../examples)", "[x](https://github.com/lineshaft/lineshaft/tree/main/examples)"),
        ("[x](https://example.org/a.md)", "[x](https://example.org/a.md)"),
        ("```\n[x](../../README.md)\n```\n", "```\n[x](../../README.md)\n```\n"),
    ],
)
def test_links(link: str, leads_to: str) -> None:
    assert build.site_text(ROOT / "docs" / "howto" / "batches.md", link) == leads_to


def test_the_diagram_of_moves_is_a_table() -> None:
    page = ROOT / "docs" / "lifecycle.md"
    text = build.site_text(page, read("docs/lifecycle.md"))
    assert "mermaid" not in text
    assert "| leased | outside | ACK · FAIL · " in text
    with pytest.raises(AssertionError, match="without a script"):
        build.site_text(page, "```mermaid\nflowchart\n```\n")


@pytest.mark.parametrize(
    ("text", "is_outside"),
    [
        ('<script src="https://unpkg.com/x.js">', True),
        ('<script src="../assets/x.js">', False),
        ('<link rel="stylesheet" href="https://fonts.example/x.css">', True),
        ('<link href="//fonts.example/x.css" rel="preconnect">', True),
        ('<link rel="canonical" href="https://example.org/">', False),
        ('<a href="https://example.org/">', False),
        ("src: url(https://example.org/x.woff2)", True),
        ("background: url(data:image/svg+xml;utf8,<svg>)", False),
        ('<div class="md-source" data-md-component="source">', True),
    ],
)
def test_what_is_loaded_from_outside_is_found(
    text: str, is_outside: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "OUTPUT", tmp_path)
    (tmp_path / "index.html").write_text(text)
    assert bool(list(build.loaded_from_outside())) == is_outside
