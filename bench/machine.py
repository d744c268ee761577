"""What the numbers were taken on: without it they mean nothing to the next reader."""

import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

__all__ = ["commit", "contents", "describe_machine", "other_versions", "versions"]

LIBRARIES = ("lineshaft", "msgspec", "rocksdict", "uvloop")
#: What a change in makes another run.
SOURCES = ("src", "bench")
#: Where the job libraries that others made are pinned.
LIBRARIES_OF_OTHERS = Path(__file__).resolve().parent / "libraries"


def describe_machine(scratch: Path) -> dict[str, str]:
    """Processor, system, versions, and the disk that `scratch` lies on, as label and text."""
    one, five, _ = os.getloadavg()
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "kernel": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "libraries": ", ".join(f"{name} {version}" for name, version in versions(*LIBRARIES).items()),
        "sources": commit(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "disk": f"{_filesystem(scratch)}, fsync of 4 KiB takes {_fsync_ms(scratch):.2f} ms (median)",
        "load": f"{one:.2f} (1 min), {five:.2f} (5 min) before the start",
    }


def versions(*libraries: str) -> dict[str, str]:
    """The installed version of each."""
    return {name: _version(name) for name in libraries}


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        label, _, value = line.partition(":")
        if label.strip() == "model name":
            return value.strip()
    return platform.machine()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "(not installed)"


def commit() -> str:
    """The last commit that changed the server or the bench, and `-dirty` when one of them has changed since."""
    found = _git("log", "-1", "--format=%h", "--", *SOURCES)
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", *SOURCES)
    return f"{found}{'-dirty' if changed else ''}" if found else "unknown"


def contents(commit: str, paths: Iterable[str]) -> list[str]:
    """What git calls the content of these files and folders at a commit; empty where it does not know them all."""
    found = [_git("rev-parse", "--quiet", "--verify", f"{commit}:{path}") for path in paths]
    return found if all(found) else []


def _git(*words: str) -> str:
    git = shutil.which("git")
    if git is None:
        return ""
    root = Path(__file__).resolve().parents[1]
    return subprocess.run([git, "-C", str(root), *words], capture_output=True, text=True, check=False).stdout.strip()


def other_versions() -> str:
    """The versions of what the server is compared with, as far as it is installed."""
    texts = []
    for program in ("beanstalkd -v", "redis-server --version", "node --version"):
        name, flag = program.split()
        if path := shutil.which(name):
            said = subprocess.run([path, flag], capture_output=True, text=True, check=False).stdout
            number = re.search(r"\d+(\.\d+)+", said)
            texts.append(f"{name} {number[0] if number else '?'}")
    pins = (LIBRARIES_OF_OTHERS / "requirements.txt").read_text().splitlines()
    texts += [re.sub(r"(\[.*])?==", " ", pin) for pin in pins if not pin.startswith("#")]
    wanted = json.loads((LIBRARIES_OF_OTHERS / "package.json").read_text())["dependencies"]
    return ", ".join([*texts, *(f"{name} {version}" for name, version in wanted.items())])


def _filesystem(directory: Path) -> str:
    """The type of the file system below `directory`; on tmpfs a sync costs nothing and proves nothing."""
    best, found = "", "unknown file system"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, kind, *_ = line.split()
        if directory.resolve().is_relative_to(mount) and len(mount) >= len(best):
            best, found = mount, kind
    return found


def _fsync_ms(directory: Path) -> float:
    times = []
    path = directory / "fsync.probe"
    with path.open("wb", buffering=0) as file:
        for _ in range(50):
            file.write(bytes(4096))
            began = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    path.unlink()
    return statistics.median(times) * 1000
