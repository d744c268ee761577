"""`lineshaft restore`: a backup becomes a data directory.

    copied whole, every law holds      exit 0
    the backup is damaged, or short    exit 1, and there is no data directory
    something is in the way            exit 2

The copy is made beside the data directory and looked through as `lineshaft check` does; only then it gets its name.
So a restore that was cut short leaves nothing that a server could start on.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from msgspec import Struct
from msgspec import json as msgspec_json
from msgspec.structs import replace
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from lineshaft.cli.check import Outcome, examine, find_data, require_store, write_report
from lineshaft.cli.flag import Flag
from lineshaft.cli.words import in_bytes, plural
from lineshaft.config.model import Environment
from lineshaft.errors import StoreCorrupt, UsageError
from lineshaft.store.backup import MANIFEST, missing_from, read_manifest
from lineshaft.store.copying import Report, copy_files, sync_directory, total_bytes

__all__ = ["Restored", "restore"]


class Restored(Struct):
    """What was restored; also what `--json` prints."""

    data: str
    backup: str
    taken_at: str | None  #: None when the backup does not say it
    bytes: int
    #: None when it was not checked.
    check: Outcome | None


def restore(
    directory: Annotated[str, Parameter(name="DIR")],
    /,
    *,
    data: Annotated[str | None, Parameter(name=["--data", "-d"], metavar="DATA")] = None,
    environment: Annotated[Environment | None, Parameter(name=["--environment", "-e"])] = None,
    check: Annotated[bool, Parameter(negative="--no-check")] = True,
    json: Flag = False,
) -> int:
    """Make the backup in DIR the data directory of a server that does not run. DIR itself is only read.

    Parameters
    ----------
    directory
        What `lineshaft backup` has made.
    data
        The data directory: not there yet, or empty [default: ~/.lineshaft/data; staging and production:
        /var/lib/lineshaft].
    environment
        Which default applies [default: FAKTORY_ENV, else development].
    check
        Look through everything before it counts as restored.
    json
        Print one line of JSON instead of text.
    """
    source, target = Path(os.path.abspath(directory)), find_data(data, environment)
    _require_backup(source)
    _require_empty(target)
    restored = _restore(source, target, check=check)
    if json:
        sys.stdout.write(msgspec_json.encode(restored).decode() + "\n")
    elif restored.check is not None and _is_bad(restored.check):
        # Nothing was restored: the advice is an older backup, and not what helps a data directory.
        write_report(restored.check, sys.stderr, advise=False)
    if restored.check is not None and _is_bad(restored.check):
        raise StoreCorrupt(
            f"the backup in {source} is damaged, and nothing was restored to {target}: restore an older one"
        )
    if not json:
        _tell(restored)
    return 0


def _require_backup(source: Path) -> None:
    """Raises UsageError when there is no backup, StoreCorrupt when a part of it is missing."""
    require_store(source, hint="`lineshaft backup` makes one")
    manifest = read_manifest(source)
    missing = missing_from(source, manifest) if manifest is not None else []
    if missing:
        raise StoreCorrupt(f"the backup in {source} is not whole: {', '.join(missing[:3])}: copy it here once more")


def _require_empty(target: Path) -> None:
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise UsageError(f"{target} is no directory: --data names one that is empty, or not there yet")
    if target.is_dir() and any(target.iterdir()):
        raise UsageError(
            f"{target} is not empty: stop the server, and move what is there away before something else is restored"
        )
    if not target.parent.is_dir():
        raise UsageError(f"there is no directory {target.parent}: make it first, as the user that the server runs as")


def _restore(source: Path, target: Path, *, check: bool) -> Restored:
    """Copy, check, and only then give the copy its name."""
    manifest = read_manifest(source)
    copy = target.with_name(target.name + ".restoring")
    shutil.rmtree(copy, ignore_errors=True)
    size = total_bytes(source)
    try:
        with _progress(source, size) as report:
            copy_files(source, copy, report)
        (copy / MANIFEST).unlink(missing_ok=True)
        outcome = examine(copy) if check else None
        if outcome is None or not _is_bad(outcome):
            _hand_over(copy, target)
    finally:
        shutil.rmtree(copy, ignore_errors=True)
    if outcome is not None:
        outcome.data = str(target)
        if _is_bad(outcome):
            _tell_of(outcome, source, copy)
    return Restored(str(target), str(source), manifest.taken_at if manifest else None, size, outcome)


def _tell_of(outcome: Outcome, source: Path, copy: Path) -> None:
    """What was found in the copy, which is gone, is wrong with the backup."""
    outcome.data = str(source)
    outcome.findings = [
        replace(finding, what=finding.what.replace(str(copy), str(source))) for finding in outcome.findings
    ]
    if outcome.refusal is not None:
        outcome.refusal = outcome.refusal.replace(str(copy), str(source))


def _hand_over(copy: Path, target: Path) -> None:
    """Give the copy its name, and the owner of the directory that it replaces."""
    if target.is_dir():
        owner = target.stat()
        if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
            for path in (copy, *copy.iterdir()):
                os.chown(path, owner.st_uid, owner.st_gid)
        copy.chmod(owner.st_mode & 0o7777)
    os.rename(copy, target)
    sync_directory(target.parent)


def _is_bad(outcome: Outcome) -> bool:
    return bool(outcome.damage) or outcome.refusal is not None


@contextmanager
def _progress(source: Path, size: int) -> Iterator[Report]:
    columns = (TextColumn("copying {task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(str(source), total=size)
        yield lambda count: progress.update(task, advance=count)


def _tell(restored: Restored) -> None:
    taken = f", taken {restored.taken_at}" if restored.taken_at else ""
    print(f"{restored.data}: restored from {restored.backup}{taken}, {in_bytes(restored.bytes)}")
    if restored.check is not None:
        jobs = ", ".join(f"{place} {count:,}" for place, count in restored.check.jobs.items())
        print(f"{plural(sum(restored.check.jobs.values()), 'job')}: {jobs}")
    print(f"start the server with: lineshaft serve -d {restored.data}")
