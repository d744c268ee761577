"""The results that the page shows, as they are published beside it: `docs/data`.

`bench/results` is nobody's but the machine's; what the page says comes from these files alone, so that whoever reads it
can count again. They have the form of `results`, with a round in a line, fewer digits, and neither verdicts, which the
page makes anew, nor servers that today's bench does not know.

Files that are shown together must have measured the same server with the same tools on the same machine: what is in git
at their commits is compared. An earlier version of the server stands apart, with no more than its open loop.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loads import LOADS
from machine import contents
from matches import matches
from results import Results, Round

__all__ = ["DATA", "Published", "Unlike", "newest", "publish", "published"]

DATA = Path(__file__).resolve().parents[1] / "docs" / "data"
SHOWN, EARLIER = "bench-", "earlier-"
#: What must be the same in git for two runs to be rounds of one: the server, who it is compared with, the load.
MEASURED = ("src", "bench/speed_reference.py", "bench/jobload.c", "bench/loads.py")


class Unlike(Exception):
    """Files that cannot be shown together; the message says why."""


@dataclass(frozen=True)
class Published:
    """What the page is made of."""

    #: All rounds of one version of the server.
    results: Results
    #: The files that these rounds are from, in the order of their time.
    files: Sequence[Results]
    #: Of earlier versions, the rounds in an open loop.
    earlier: Sequence[Results]


def published(folder: Path = DATA) -> Published:
    """What lies in the folder. Raises FileNotFoundError where there is nothing."""
    files = sorted(map(Results.read, folder.glob(f"{SHOWN}*.json")), key=_began)
    if not files:
        raise FileNotFoundError(f"there are no results in {folder}")
    return Published(_together(files), files, sorted(map(Results.read, folder.glob(f"{EARLIER}*.json")), key=_began))


def publish(files: Iterable[Path], earlier: Iterable[Path], folder: Path = DATA) -> None:
    """Replace what lies in the folder by these files, trimmed; earlier ones stay unless others are given.

    Raises Unlike, OSError, ValueError, KeyError.
    """
    shown = sorted(map(Results.read, files), key=_began)
    for other in shown[1:]:
        if difference := _difference(shown[0], other):
            raise Unlike(f"{shown[0].path.name} and {other.path.name} differ in {difference}")
    texts = {_name(SHOWN, one): _trimmed(one, lambda _: True) for one in shown}
    texts |= {_name(EARLIER, one): _trimmed(one, _is_open) for one in map(Results.read, earlier)}
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.json"):
        if old.name.startswith(tuple(name.partition("-")[0] + "-" for name in texts)):
            old.unlink()
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")


def newest(files: Iterable[Path]) -> list[Path]:
    """The file with the newest rounds, and those that measured the same."""
    found = sorted(map(Results.read, files), key=_began)
    return [one.path for one in found if not _difference(found[-1], one)]


def _difference(one: Results, other: Results) -> str:
    """In what they are no rounds of one run; empty where they are."""
    if one.scale != other.scale:
        return "scale"
    for label in ("processor", "python", "libraries"):
        if one.machine.get(label) != other.machine.get(label):
            return label
    commits = [results.machine.get("sources", "unknown") for results in (one, other)]
    if commits[0] == commits[1]:
        return ""
    trees = [contents(commit, MEASURED) for commit in commits]
    return "" if trees[0] == trees[1] and trees[0] else "sources"


def _together(files: Sequence[Results]) -> Results:
    """One run of all of them. The machine is that of the first."""
    first = files[0]
    commands = list(dict.fromkeys(command for one in files for command in one.commands))
    rounds = [one for each in files for one in each.rounds]
    return Results(first.path, first.scale, first.machine, commands, rounds, [w for one in files for w in one.workers])


def _began(results: Results) -> str:
    return min([one.at for one in results.rounds] + [one["at"] for one in results.workers], default="")


def _name(prefix: str, results: Results) -> str:
    return prefix + results.path.name.removeprefix(SHOWN).removeprefix(EARLIER)


def _is_open(one: Round) -> bool:
    return any(load.name == one.load and load.open_share for load in LOADS)


def _trimmed(results: Results, is_wanted: Callable[[Round], bool]) -> str:
    rounds = [line for one in results.rounds if is_wanted(one) for line in _round(one)]
    # The workers belong to all rounds, or to none of those that are wanted.
    workers = [_line(_few_digits(one)) for one in results.workers]
    parts = [f'"{name}":{_line(getattr(results, name))}' for name in ("scale", "machine", "commands")]
    lists = {"rounds": rounds, "workers": workers if len(rounds) == len(results.rounds) else [], "verdicts": []}
    parts += [f'"{name}":[\n{_joined(lines)}]' for name, lines in lists.items()]
    return "{" + ",\n".join(parts) + "}\n"


def _joined(lines: Sequence[str]) -> str:
    return ",\n".join(lines) + ("\n" if lines else "")


def _round(one: Round) -> Iterator[str]:
    """Nothing where today's bench does not know the load."""
    known = {
        entry.label
        for match in matches(LOADS, ("never", "always"), variants=True, others=True)
        if (match.load.name, match.sync) == (one.load, one.sync)
        for entry in match.entries
    }
    measures = {label: _few_digits(measure.as_dict()) for label, measure in one.measures.items() if label in known}
    if measures:
        yield _line({"load": one.load, "sync": one.sync, "at": one.at, "measures": measures})


def _few_digits(value: Any, digits: int = 5) -> Any:
    """Numbers with five digits; latencies with three, and without the longest: far finer than rounds scatter."""
    if isinstance(value, dict):
        return {key: _few_digits(one, digits) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_few_digits(one, 3) for one in value[:3]]
    if isinstance(value, float):
        few = float(f"{value:.{digits}g}")
        return int(few) if few.is_integer() else few
    return value


def _line(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
