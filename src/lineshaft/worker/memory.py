"""How much memory this process has."""

import os
import resource
import sys
from pathlib import Path

__all__ = ["resident_kb"]


def resident_kb() -> int:
    """The resident set in KiB: at the moment on Linux, elsewhere the most that it has been."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") >> 10
    except (OSError, ValueError, IndexError):
        usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        # macOS counts it in bytes.
        return usage >> 10 if sys.platform == "darwin" else usage
