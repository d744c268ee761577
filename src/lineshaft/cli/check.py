"""`lineshaft check`: look through a data directory while no server runs on it, and say what is wrong and what to do.

    opens, every law holds          exit 0
    opens, something is damaged     exit 1, with findings (engine/check/check.py has the laws)
    RocksDB refuses to open it      exit 1, with the file that it names and the ways out
    no store, or not ours to open   exit 2

Opening a RocksDB database writes to it: the log is replayed into tables, and files that the manifest does not name
are deleted. So a manifest that has lost its tables is looked for first, reading only: the open would take them away.
"""

import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, TextIO

from cyclopts import Parameter
from msgspec import Struct, field
from msgspec import json as msgspec_json
from rich.console import Console
from rocksdict import DBRecoveryMode

from lineshaft.cli.flag import Flag
from lineshaft.cli.reach import data_of_server, reach
from lineshaft.config.model import ENVIRONMENTS, Environment
from lineshaft.config.places import find_data_directory
from lineshaft.engine.check.check import check as check_store
from lineshaft.engine.check.findings import Finding, Law, Severity, Tally
from lineshaft.errors import LineshaftError, StoreCorrupt, StoreError, UsageError
from lineshaft.store.families import Families
from lineshaft.store.rocks import RocksStore
from lineshaft.store.rocks_options import rocks_options

__all__ = [
    "Outcome",
    "check",
    "examine",
    "find_culprit",
    "find_data",
    "require_own_store",
    "require_store",
    "salvage_copy",
    "write_report",
]

#: Findings of one kind that are shown; one broken thing may have a million consequences.
SHOWN: Final = 10

#: How RocksDB names its files, the guilty before those that only tell of it.
_FILES: Final = (r"\d+\.sst", r"\d+\.log", r"CURRENT", r"MANIFEST-\d+")

_WHAT_IT_IS: Final = {
    "sst": "a table: jobs and records that were written some time ago",
    "log": "the write-ahead log: the changes since the last table was written",
    "MAN": "the manifest: the list of the tables that count",
    "CUR": "the name of the manifest that counts",
}


class Outcome(Struct):
    """What a check has found; also what `--json` prints."""

    data: str
    #: Why RocksDB does not open it; None when it does.
    refusal: str | None = None
    #: The file that RocksDB names, as far as it does.
    file: str | None = None
    rows: int = 0
    #: Jobs by place.
    jobs: dict[str, int] = field(default_factory=dict)
    #: Jobs of removed queues that wait to be swept.
    removed: int = 0
    damage: int = 0
    untidy: int = 0
    #: How many of each law.
    laws: dict[Law, int] = field(default_factory=dict)
    #: The first of each law.
    findings: list[Finding] = field(default_factory=list)


def check(
    *,
    data: Annotated[str | None, Parameter(name=["--data", "-d"], metavar="DIR")] = None,
    environment: Annotated[Environment | None, Parameter(name=["--environment", "-e"])] = None,
    salvage: Annotated[str | None, Parameter(metavar="NEWDIR")] = None,
    json: Flag = False,
) -> int:
    """Verify a data directory on which no server runs. Exit code 0: clean, 1: damaged.

    It reads everything once. Like every start of the server it has RocksDB replay its log; no job is changed.

    Parameters
    ----------
    data
        The directory [default: ~/.lineshaft/data; staging and production: /var/lib/lineshaft].
    environment
        Which default applies [default: FAKTORY_ENV, else development].
    salvage
        When the end of the log is damaged: copy the directory to this new one, and cut the copy off before the damage.
    json
        Print one line of JSON instead of text.
    """
    path = find_data(data, environment)
    require_own_store(path)
    outcome = _salvage(path, Path(os.path.abspath(salvage))) if salvage is not None else examine(path)
    if json:
        sys.stdout.write(msgspec_json.encode(outcome).decode() + "\n")
    else:
        write_report(outcome, sys.stdout)
    if data is None:
        _tell_of_another(path)
    return 1 if outcome.damage or outcome.refusal is not None else 0


def _tell_of_another(path: Path) -> None:
    """Who named no directory may mean that of the server that runs here, which lies elsewhere."""
    try:
        with reach(timeout_seconds=2) as client:
            other = data_of_server(client.info())
    except LineshaftError:
        return  # none runs, or it is not ours to ask
    if other is not None and Path(other) != path:
        print(f"looked at {path}, and the running server has its data in {other}: -d names another", file=sys.stderr)


def find_data(data: str | None, environment: Environment | None) -> Path:
    """The data directory that a command means. Raises UsageError."""
    named = environment or os.environ.get("FAKTORY_ENV") or "development"
    try:
        chosen: Environment = ENVIRONMENTS.read(named)
    except ValueError:
        raise UsageError(f'FAKTORY_ENV must be {ENVIRONMENTS.allowed}, not "{named}"') from None
    return find_data_directory(chosen, data=data, variables=os.environ)


def require_store(path: Path, *, hint: str = "the server prints its `data` when it starts") -> None:
    """Raises UsageError unless a store lies there."""
    if not path.is_dir():
        what = " is no directory" if path.exists() else ": there is no such directory"
        raise UsageError(f"{path}{what}; {hint}")
    names = os.listdir(path)
    if not any(re.fullmatch("|".join(_FILES), name) for name in names):
        what = "there is no store in it" if names else "it is empty"
        raise UsageError(f"{path}: {what}; {hint}")


def require_own_store(path: Path) -> None:
    """Raises UsageError unless a store lies there that is ours to open; nothing is ever created."""
    require_store(path)
    owner = path.stat().st_uid
    if owner != os.geteuid():
        raise UsageError(
            f"{path} belongs to user {owner}, and RocksDB would leave files there that a server of that user cannot"
            f" open: run this as `sudo -u '#{owner}' lineshaft check -d {path}`"
        )


def examine(path: Path) -> Outcome:
    """Open the store in `path` and hold it against every law. Raises StoreError while a server runs on it."""
    outcome = Outcome(str(path))
    try:
        store = _open(path)
    except StoreCorrupt as error:
        outcome.refusal = _words(str(error), path)
        outcome.file = find_culprit(path, outcome.refusal)
        return outcome
    tally = Tally()
    try:
        with _progress(path) as show:
            _collect(outcome, check_store(store, tally=tally, on_slice=show))
    finally:
        store.close()
    outcome.rows, outcome.removed = tally.rows, tally.removed
    outcome.jobs = {place.value: count for place, count in tally.places.items()}
    return outcome


def _open(path: Path) -> RocksStore:
    if not (path / "CURRENT").exists():
        raise StoreCorrupt("the file CURRENT is missing")
    try:
        return RocksStore(path)
    except StoreCorrupt:
        raise
    except StoreError as error:
        if "another server" not in str(error):
            raise
        raise StoreError(f"{error}; stop it first, or check a copy that was made while none ran") from None


def _collect(outcome: Outcome, findings: Iterable[Finding]) -> None:
    counts: Counter[Law] = Counter()
    for finding in findings:
        counts[finding.law] += 1
        if finding.severity is Severity.DAMAGE:
            outcome.damage += 1
        else:
            outcome.untidy += 1
        if counts[finding.law] <= SHOWN:
            what = _words(finding.what, Path(outcome.data))
            outcome.findings.append(Finding(finding.law, finding.key, what, finding.severity))
    outcome.laws = dict(counts)


@contextmanager
def _progress(path: Path) -> Iterator[Any]:
    """How far it came, on a terminal; elsewhere nothing."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    with console.status(f"checking {path}") as status:
        yield lambda tally: status.update(f"checking {path}: {tally.rows:,} rows")


def _words(text: str, path: Path) -> str:
    """What RocksDB says, without our own advice to run this command."""
    command = f"`lineshaft check -d {path}`"
    advice = f". Copy the directory first; then run {command}", f"; see {command}", ": run `lineshaft check`"
    for ours in (f"the store in {path} is damaged: ", *advice):
        text = text.replace(ours, "")
    return " ".join(text.split())


def find_culprit(path: Path, words: str) -> str | None:
    """The damaged file: as RocksDB says with its refusal, else as it wrote into its own LOG."""
    if "write-ahead log is missing" in words:
        return "*.log"
    with_log = [words]
    try:
        lines = (path / "LOG").read_text(errors="replace").splitlines()
        with_log += [line for line in lines if "Corruption" in line and "dropping" in line]
    except OSError:
        pass  # it says more, when it is there
    for text in with_log:
        for name in _FILES:
            found = re.search(rf"(?<![\w-]){name}\b", text)
            if found:
                return found[0]
    return None


# Salvage


def _salvage(path: Path, target: Path) -> Outcome:
    """A copy of a store with a damaged log, cut off before the damage, and what is in it."""
    if target.exists():
        raise UsageError(f"{target} exists; --salvage needs the name of a new directory")
    if target.is_relative_to(path):
        raise UsageError(f"{target} lies inside of {path}; --salvage needs a place beside it")
    before = examine(path)
    if before.refusal is None:
        raise UsageError(f"{path} opens as it is: --salvage has nothing to cut off (see: lineshaft check -d {path})")
    if before.file is None or not before.file.endswith(".log"):
        before.refusal += "; --salvage cuts off a damaged log, and can do nothing about other files"
        return before
    salvage_copy(path, target)
    return examine(target)


def salvage_copy(path: Path, target: Path) -> None:
    """Copy a store, and have RocksDB replay the copy's log up to the damage and drop the rest.

    Commits are whole and in order, so the copy is what the store was at a moment before: every law holds. The store
    itself is not touched. Raises StoreCorrupt when the log is not all that is damaged; the copy is gone then.
    """
    try:
        shutil.copytree(path, target)
        options = rocks_options()
        options.set_wal_recovery_mode(DBRecoveryMode.point_in_time())
        try:
            Families(target, options).close()
        except Exception as error:  # rocksdict raises nothing finer
            raise StoreCorrupt(f"{path} cannot be salvaged, more than its log is damaged: {error}") from None
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


# What is printed


def write_report(outcome: Outcome, out: TextIO, *, advise: bool = True) -> None:
    """The outcome in words, with the ways out unless the caller knows better."""
    if outcome.refusal is not None:
        out.write(f"{outcome.data} cannot be opened: {outcome.refusal}\n")
        if outcome.file is not None:
            out.write(f"  damaged file: {outcome.file}, {_WHAT_IT_IS[_kind(outcome.file)]}\n")
        if advise:
            out.write(f"\nWhat to do:\n{_ways_out(outcome)}\n")
        return
    jobs = ", ".join(f"{place} {count:,}" for place, count in outcome.jobs.items())
    removed = f"; {outcome.removed:,} of removed queues wait to be swept" if outcome.removed else ""
    for law, count in outcome.laws.items():
        out.write(f"{law} ({count:,}):\n")
        shown = [finding for finding in outcome.findings if finding.law == law]
        for finding in shown:
            out.write(f"  {finding.severity}: {finding.key}: {finding.what}\n")
        if count > len(shown):
            out.write(f"  and {count - len(shown):,} more\n")
    if outcome.damage and advise:
        out.write(f"\nWhat to do:\n{_ways_out(outcome)}\n\n")
    out.write(f"{outcome.data}: {outcome.rows:,} rows; jobs: {jobs}{removed}\n")
    verdict = f"damaged: {outcome.damage:,}, untidy: {outcome.untidy:,}"
    out.write(f"{'clean' if not outcome.damage + outcome.untidy else verdict}\n")


def _kind(file: str) -> str:
    return file[-3:] if file.endswith((".log", ".sst")) else file[:3]


def _ways_out(outcome: Outcome) -> str:
    """What an operator can do, most promising first; nothing is promised that we cannot keep."""
    steps = [
        f"Copy {outcome.data} to another disk, whole, and let the copy be. Look into the kernel's log for disk errors.",
        "Restore a backup if there is one.",
    ]
    if outcome.refusal is not None and (outcome.file or "").endswith(".log"):
        steps.append(
            f"If there is none: lineshaft check -d {outcome.data} --salvage NEWDIR makes a copy that ends before the"
            " damage, and checks it. What was committed later is not in it: jobs pushed since are lost, jobs done"
            " since run again."
        )
    elif outcome.refusal is not None:
        steps.append(
            "If there is none: nothing of ours can read around this. RocksDB's own `ldb repair`, on a second copy,"
            " keeps the tables that are whole; jobs that were done may come back, others be lost, and this command"
            " then says what no longer fits."
        )
    elif Law.UNREADABLE in outcome.laws:
        steps.append(
            "If there is none: the rows named above are lost. A server starts on the rest, and serves it until it"
            " comes to those rows; then its storage fails, again and again. Let the workers empty the other queues."
        )
    else:
        steps.append(
            "If there is none: a server starts on this, and what is not named above works. No crash leaves a store"
            " like this: please report it with the lines above."
        )
    return "\n".join(f"  {number}. {step}" for number, step in enumerate(steps, 1))
