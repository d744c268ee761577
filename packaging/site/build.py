"""Builds the documentation's site: `make docs`, and `make docs-serve` to look at it while writing.

The pages of `docs/` are its one source, and stay readable as they lie there. They are copied to `build/site/docs`, and
what only a site needs is done to the copies:

* a link that leads out of `docs/` leads to the file's page in the repository;
* the menu is what `docs/README.md` lists, in its order;
* a diagram of states, which would want a script to be drawn, becomes a table of its moves;
* the reference of the API is made of the docstrings, that of the commands of the commands themselves.

The site is then built strictly: a link or an anchor that leads nowhere is an error, and so is a script, a style, a font
or a picture that would be loaded from somewhere else.
"""

import argparse
import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import commands
import interfaces

ROOT: Final = Path(__file__).resolve().parents[2]
HERE: Final = Path(__file__).resolve().parent
WORK: Final = ROOT / "build" / "site"
OUTPUT: Final = WORK / "site"

_FENCE: Final = re.compile(r"^(```.*?^```$)", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"\[([^\]\[]*)\]\(([^)\s]+)\)")
_STATES: Final = re.compile(r"^```mermaid\nstateDiagram-v2\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MOVE: Final = re.compile(r"^ +(\S+) --> (\S+): (.+)$", re.MULTILINE)
_ENTRY: Final = re.compile(r"^\* \[[^\]]+\]\(([^)]+)\)", re.MULTILINE)
#: What a browser fetches by itself.
_LOADED: Final = re.compile(
    r"<(?:script|img|iframe|source|video|audio)\b[^>]*?\bsrc=[\"']?(?:https?:)?//"
    r"|<link\b[^>]*?\brel=[\"']?(?:stylesheet|preload|icon|preconnect|dns-prefetch)[^>]*?\bhref=[\"']?(?:https?:)?//"
    r"|<link\b[^>]*?\bhref=[\"']?(?:https?:)?//[^>]*?\brel=[\"']?(?:stylesheet|preload|icon|preconnect|dns-prefetch)"
    r"|url\([\"']?(?:https?:)?//|@import\s+[\"'](?:https?:)?//"
    # Where the theme's script asks a forge for its figures.
    r"|data-md-component=[\"']?source\b",
)


def main() -> int:
    """Build; with `--serve` build again whenever a page changes, and serve the site on this machine."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--address", default="127.0.0.1:8000", help="where it is served [%(default)s]")
    options = parser.parse_args()
    prepare()
    if options.serve:
        return serve(options.address)
    code = zensical("build", "--strict", "--clean")
    outside = sorted(loaded_from_outside()) if code == 0 else []
    for line in outside:
        print(f"loaded from outside: {line}", file=sys.stderr)
    if code == 0 and not outside:
        print(f"the site is in {OUTPUT.relative_to(ROOT)}: {len(list(OUTPUT.rglob('*.html')))} pages")
    return code or int(bool(outside))


def zensical(*words: str) -> int:
    """Run the generator in the prepared folder; returns its exit code."""
    environment = {**os.environ, "NO_COLOR": "1", "PYTHONPATH": str(HERE)}
    return subprocess.run([sys.executable, "-m", "zensical", *words], cwd=WORK, env=environment, check=False).returncode


def serve(address: str) -> int:
    """Serve until interrupted."""
    words = [sys.executable, "-m", "zensical", "serve", "--dev-addr", address]
    serving = subprocess.Popen(words, cwd=WORK, env={**os.environ, "PYTHONPATH": str(HERE)})
    seen = times()
    try:
        while serving.poll() is None:
            time.sleep(0.5)
            if (now := times()) != seen:
                seen = now
                prepare()
    except KeyboardInterrupt:
        serving.terminate()
    return serving.wait()


def times() -> dict[Path, int]:
    """When each page was changed."""
    return {path: path.stat().st_mtime_ns for path in (ROOT / "docs").rglob("*.md")}


def prepare() -> None:
    """Write the folder that the generator reads; only what has changed, so that it need not build all again."""
    WORK.mkdir(parents=True, exist_ok=True)
    wanted = dict(pages())
    wanted[WORK / "zensical.toml"] = settings().encode()
    for path, content in wanted.items():
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    for path in (WORK / "docs").rglob("*"):
        if path.is_file() and path not in wanted:
            path.unlink()


def pages() -> Iterator[tuple[Path, bytes]]:
    """Every file of the site's source, and its content."""
    docs = ROOT / "docs"
    for path in sorted(docs.rglob("*")):
        if path.suffix == ".md":
            yield WORK / "docs" / path.relative_to(docs), site_text(path, path.read_text("utf-8")).encode()
        elif path.is_file():
            yield WORK / "docs" / path.relative_to(docs), path.read_bytes()
    yield WORK / "docs" / "site.css", (HERE / "site.css").read_bytes()
    yield WORK / "docs" / "reference" / "commands.md", commands.page().encode()
    for name, text in interfaces.pages().items():
        yield WORK / "docs" / "reference" / f"{name}.md", text.encode()


def site_text(page: Path, text: str) -> str:
    """A page as the site has it."""
    text = _STATES.sub(lambda found: moves_table(found[1]), text)
    assert "```mermaid" not in text, f"{page}: only a diagram of states can be shown without a script"
    # Only the prose: what looks like a link in a program is none.
    parts = _FENCE.split(text)
    parts[::2] = [_LINK.sub(lambda found: site_link(page, found[1], found[2]), part) for part in parts[::2]]
    return "".join(parts)


def site_link(page: Path, text: str, link: str) -> str:
    """A link as the site has it: to a page it bears its title, where in the repository it bears its name."""
    path, mark, anchor = link.partition("#")
    target = (page.parent / path).resolve()
    if path and "://" not in link and not target.is_relative_to(ROOT / "docs"):
        kind = "tree" if target.is_dir() else "blob"
        link = f"{repository()}/{kind}/main/{target.relative_to(ROOT)}{mark}{anchor}"
    elif text.endswith(target.name) and target.suffix == ".md":
        text = target.read_text("utf-8").partition("\n")[0].removeprefix("# ")
    return f"[{text}]({link})"


def repository() -> str:
    """The address of the project."""
    urls: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]
    return urls["Changelog"].partition("/blob/")[0]


def moves_table(diagram: str) -> str:
    """A diagram of states as a table."""
    moves = [(source, target, word) for source, target, word in _MOVE.findall(diagram)]
    assert len(moves) == len(diagram.strip().splitlines()), f"not all of it is moves: {diagram}"
    pairs = list(dict.fromkeys((source, target) for source, target, _ in moves))
    rows = [["From", "To", "By"], ["---"] * 3]
    for pair in sorted(pairs, key=lambda pair: [one for one, _ in pairs].index(pair[0])):
        words = [word for source, target, word in moves if (source, target) == pair]
        rows.append([*map(name, pair), " · ".join(words)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def name(state: str) -> str:
    """A state in words."""
    return "outside" if state == "[*]" else state


def menu() -> list[Any]:
    """What `docs/README.md` lists, under its headings."""
    _, *sections = re.split(r"^## (.+)$", (ROOT / "docs" / "README.md").read_text("utf-8"), flags=re.MULTILINE)
    found: list[Any] = [{"Home": "README.md"}]
    for heading, text in zip(sections[::2], sections[1::2], strict=True):
        entries = [entry for entry in _ENTRY.findall(text) if not entry.startswith("..")]
        if heading == "Reference":
            entries += ["reference/commands.md", *(f"reference/{page}.md" for page in interfaces.PAGES)]
        if entries:
            found.append({heading: entries})
    return found


def settings() -> str:
    """The generator's configuration, with the menu and the address of the project."""
    lines = [
        f"  {{ {', '.join(f'{as_toml(key)} = {as_toml(value)}' for key, value in one.items())} }}" for one in menu()
    ]
    values = {"menu": "[\n" + ",\n".join(lines) + "\n]", "repository": repository(), "sources": ROOT / "src"}
    text = (HERE / "zensical.toml").read_text("utf-8")
    for name, value in values.items():
        text = text.replace(f"${name}", str(value))
    return text


def as_toml(value: Any) -> str:
    """A text, or a list of texts."""
    if isinstance(value, list):
        return f"[{', '.join(as_toml(one) for one in value)}]"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def loaded_from_outside() -> Iterator[str]:
    """Every place of the site where a browser would fetch something that is not part of it."""
    for path in OUTPUT.rglob("*"):
        if path.suffix in (".html", ".css"):
            for found in _LOADED.finditer(path.read_text("utf-8")):
                yield f"{path.relative_to(OUTPUT)}: {found[0]}"


if __name__ == "__main__":
    sys.exit(main())
