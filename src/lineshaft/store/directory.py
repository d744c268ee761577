"""Whether a directory is one that a store may be made in: nobody's files are to lie between those of somebody else.

a store is there        ours, whatever lies beside it
empty, or not there     ours to be
our own files alone     the same: a first start that was cut short, configuration and certificate, dot files
anything else           refused, and nothing is written
"""

import re
from pathlib import Path
from typing import Final

from lineshaft.errors import UsageError

__all__ = ["require_ours"]

#: What only RocksDB leaves, once a store is there.
_STORE: Final = re.compile(r"CURRENT|MANIFEST-\d+|\d+\.(sst|log)")

#: What may lie there before: of a file system's own, of a start that was cut short, and of our configuration.
_HARMLESS: Final = re.compile(
    r"\..*|lost\+found"
    r"|LOCK|LOG(\.old\.\d+)?|IDENTITY|OPTIONS-\d+|\d+\.dbtmp|backup\.staging|search\.log|snapshot\.(taking|loading)"
    r"|conf\.d|public\.cert\.pem|private\.key\.pem"
)

#: Names that a refusal tells; they only have to remind.
_SHOWN: Final = 3


def require_ours(path: Path) -> None:
    """Raises UsageError for a file, and for a directory with somebody else's files in it; OSError."""
    for above in path.parents:
        if above.exists():
            if not above.is_dir():
                raise UsageError(f"{above} is no directory, so {path} cannot be made: name another with --data")
            break
    if not path.exists():
        return
    if not path.is_dir():
        raise UsageError(f"{path} is no directory: name an empty one or a new one with --data")
    names = sorted(file.name for file in path.iterdir())
    if any(_STORE.fullmatch(name) for name in names):
        return
    foreign = [name for name in names if not _HARMLESS.fullmatch(name)]
    if foreign:
        shown = ", ".join(foreign[:_SHOWN]) + (", ..." if len(foreign) > _SHOWN else "")
        raise UsageError(
            f"{path} is not empty, and there is no store in it ({shown}): name an empty directory or a new one with"
            " --data, or move what is there away"
        )
