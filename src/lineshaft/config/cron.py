"""`[[cron]]`: each table of the array against the model, and all of them together.

Errors name an entry by its number in its file: `cron[2].schedule` is a key of the second `[[cron]]` of the file
that the message begins with.
"""

from typing import Any, Final

from msgspec import structs

from lineshaft.config.entries import Cron, CronJob
from lineshaft.config.tables import read_table
from lineshaft.config.toml import Document, KeyPath, dotted

__all__ = ["read_cron"]

#: Each costs a few milliseconds at a start and at a reload, and a few kilobytes of memory.
MOST_ENTRIES: Final = 10_000


def read_cron(document: Document) -> tuple[Cron, ...]:
    """All periodic jobs, in the order of the files. Raises ConfigError for the first thing that cannot be."""
    whole = document.values.get("cron", [])
    if not isinstance(whole, list) or not all(isinstance(entry, dict) for entry in whole):
        raise document.error(("cron",), "cron must be written [[cron]], once per job, with its job under [cron.job]")
    found: dict[str, tuple[Cron, str]] = {}
    for alone, number, table in document.entries("cron"):
        path: KeyPath = ("cron", number)
        if len(found) == MOST_ENTRIES:
            raise alone.error(path, f"{dotted(path)} is one too many: there may be {MOST_ENTRIES} periodic jobs in all")
        cron = _read(alone, path, table)
        if cron.identity in found:
            _, other = found[cron.identity]
            complaint = "has the same name as" if cron.name else "is the same as"
            raise alone.error(path, f"{dotted(path)} {complaint} {other}: give each a name of its own")
        found[cron.identity] = cron, alone.located(path)
    return tuple(cron for cron, _ in found.values())


def _read(document: Document, path: KeyPath, table: dict[str, Any]) -> Cron:
    if "job" not in table:
        raise document.error(path, f"{dotted(path)} needs a table [cron.job]")
    job = read_table(CronJob, table["job"], (*path, "job"), document)
    own = {key: value for key, value in table.items() if key != "job"}
    return structs.replace(read_table(Cron, own, path, document, job=job), where=document.located(path))
