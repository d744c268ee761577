"""`lineshaft doctor`: look at the machine that a server runs on, or is to run on, and say what to do.

    everything is as it should be, or nearly    exit 0
    something will hurt                         exit 1

It starts nothing and changes nothing; for the disk it writes a small file into the data directory's file system and
removes it again. A running server at FAKTORY_URL is asked how it is.
"""

import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter
from msgspec import Struct
from msgspec import json as msgspec_json

from lineshaft import __version__
from lineshaft.cli.flag import Flag
from lineshaft.cli.reach import data_of_server, reach
from lineshaft.cli.words import in_bytes
from lineshaft.config import Config, Environment, Flags, load_config
from lineshaft.errors import ConfigError, LineshaftError

__all__ = ["Finding", "Verdict", "doctor", "examine_machine", "sync_milliseconds"]

#: fsyncs that are measured: enough for a median that is not luck, and less than a second on most disks.
SYNCS: Final = 50

#: A push waits for one sync, so more than this is felt; a disk behind a network may take it.
SLOW_SYNC_MS: Final = 20.0
#: Faster than any disk can be: the file system only says that it has written.
NO_SYNC_MS: Final = 0.02

#: Open files that are wanted beside one for each connection: tables of the store, its log, listening sockets.
OTHER_FILES: Final = 1024


class Verdict(StrEnum):
    """How it is."""

    GOOD = "good"
    NOTE = "note"  #: worth knowing
    BAD = "bad"  #: will hurt


class Finding(Struct, frozen=True):
    """One thing that was looked at; also a line of `--json`."""

    what: str
    verdict: Verdict
    found: str
    advice: str = ""


def doctor(
    *,
    data: Annotated[str | None, Parameter(name=["--data", "-d"], metavar="DIR")] = None,
    config: Annotated[str | None, Parameter(name=["--config", "-c"], metavar="DIR")] = None,
    environment: Annotated[Environment | None, Parameter(name=["--environment", "-e"])] = None,
    json: Flag = False,
) -> int:
    """Look at this machine: versions, limits, memory, disk and its speed, configuration, the running server.

    Exit code 1: something will hurt; what to do stands beside it.

    Parameters
    ----------
    data
        The data directory [default: as of `lineshaft serve`].
    config
        The configuration directory [default: as of `lineshaft serve`].
    environment
        Which defaults apply [default: FAKTORY_ENV, else development].
    json
        Print a line of JSON per finding.
    """
    flags = Flags(data=data, config=config, environment=environment)
    findings = list(examine_machine(flags))
    for finding in findings:
        if json:
            sys.stdout.write(msgspec_json.encode(finding).decode() + "\n")
        else:
            print(f"{finding.verdict:<5} {finding.what:<14} {finding.found}")
            if finding.advice:
                print(f"      {'':<14} -> {finding.advice}")
    return 1 if any(finding.verdict is Verdict.BAD for finding in findings) else 0


def examine_machine(flags: Flags) -> Iterator[Finding]:
    """Everything that there is to say."""
    yield from _versions()
    try:
        config = load_config(flags, os.environ)
    except ConfigError as error:
        yield Finding("configuration", Verdict.BAD, str(error), "correct it: the server does not start with it")
        return
    files = f"{len(config.files)} file{'' if len(config.files) == 1 else 's'} in conf.d"
    yield Finding("configuration", Verdict.GOOD, f"{config.config_dir} ({files}), {config.environment}")
    yield _password(config)
    yield _open_files(config)
    yield _memory(config)
    yield from _disk(config)
    yield from _server(config)


def _versions() -> Iterator[Finding]:
    python = f"Python {sys.version.split()[0]}, Lineshaft {__version__}"
    yield Finding("versions", Verdict.GOOD, python)
    missing = [name for name in ("rocksdict", "uvicorn", "starlette") if _version(name) is None]
    if missing:
        advice = "pip install 'lineshaft[server]'"
        yield Finding("packages", Verdict.BAD, f"the server needs {', '.join(missing)}", advice)
    if _version("uvloop") is None:
        found = "uvloop is not installed, so Python's own event loop is used"
        yield Finding("event loop", Verdict.NOTE, found, "pip install uvloop: the server is faster with it")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _password(config: Config) -> Finding:
    binding = config.faktory.binding
    if config.password is not None or config.auth.users:
        found = "asked for" + (", over TLS" if config.tls else "")
        if config.tls is None and not binding.is_local:
            advice = "jobs cross the network in the clear: a certificate beside conf.d switches TLS on"
            return Finding("password", Verdict.NOTE, f"{found}, without TLS on {binding}", advice)
        return Finding("password", Verdict.GOOD, found)
    if binding.is_local:
        return Finding("password", Verdict.GOOD, f"none, and only this machine can connect ({binding})")
    advice = "set FAKTORY_PASSWORD, or bind to 127.0.0.1"
    return Finding("password", Verdict.BAD, f"none, and other machines can connect ({binding})", advice)


def _open_files(config: Config) -> Finding:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    connections = config.server.connections + config.web.connections
    wanted = connections + OTHER_FILES
    if hard == resource.RLIM_INFINITY or hard >= wanted:
        most = "no limit" if hard == resource.RLIM_INFINITY else f"up to {hard:,}"
        return Finding("open files", Verdict.GOOD, f"{most}; {connections:,} connections want {wanted:,}")
    advice = (
        f"raise it (LimitNOFILE={wanted} in a systemd unit, `ulimit -Hn` in a shell), or lower [server] connections"
    )
    found = f"at most {hard:,}; {connections:,} connections want {wanted:,}"
    return Finding("open files", Verdict.BAD, found, advice)


def _memory(config: Config) -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    total = min(total, _container_limit() or total)
    # What the process has beside the store: some 80 MB, and what stands in its windows.
    wanted = config.storage.memory_bytes + (256 << 20)
    found = f"{in_bytes(total)}; the store takes up to {in_bytes(config.storage.memory_bytes)}"
    if total < wanted:
        return Finding("memory", Verdict.BAD, found, f"give it {in_bytes(wanted)}, or lower [storage] memory")
    if config.storage.memory_bytes == 64 << 20 and total > 8 << 30:
        return Finding("memory", Verdict.NOTE, found, "with a large backlog, [storage] memory may have more")
    return Finding("memory", Verdict.GOOD, found)


def _container_limit() -> int | None:
    """What a container may have, as far as this machine says."""
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            said = Path(path).read_text("ascii").strip()
        except OSError:
            continue
        return int(said) if said.isdigit() else None
    return None


def _disk(config: Config) -> Iterator[Finding]:
    if config.ephemeral:
        return
    place = _nearest(config.data_dir)
    try:
        times = sync_milliseconds(place, SYNCS)
    except OSError as error:
        advice = f"let the user that the server runs as own {config.data_dir}"
        found = f"{config.data_dir}: nothing can be written to {place}: {error.strerror}"
        yield Finding("data", Verdict.BAD, found, advice)
        return
    usage = shutil.disk_usage(place)
    found = f"{config.data_dir}: {in_bytes(usage.free)} free of {in_bytes(usage.total)}"
    least = config.storage.min_free_bytes
    if usage.free < least:
        yield Finding("data", Verdict.BAD, found, f"pushes are refused below min_free ({in_bytes(least)}): make room")
    elif usage.free < 4 * least:
        yield Finding("data", Verdict.NOTE, found, f"pushes are refused below min_free ({in_bytes(least)})")
    else:
        yield Finding("data", Verdict.GOOD, found)
    yield _sync_speed(config, times)


def _nearest(path: Path) -> Path:
    """The directory itself, or the nearest above it that exists."""
    while not path.is_dir():
        path = path.parent
    return path


def _sync_speed(config: Config, times: list[float]) -> Finding:
    median, worst = statistics.median(times), max(times)
    found = f"{median:.2f} ms to sync (slowest of {SYNCS}: {worst:.1f} ms)"
    if median < NO_SYNC_MS:
        advice = "a power cut may take what was accepted: is it a disk, and not memory?"
        return Finding("disk speed", Verdict.NOTE, f"{found}: nothing is really written", advice)
    if median > SLOW_SYNC_MS and config.storage.sync == "always":
        advice = 'a push waits for a sync: take a faster disk, push in bulk, or see [storage] sync = "interval"'
        return Finding("disk speed", Verdict.BAD, found, advice)
    return Finding("disk speed", Verdict.GOOD, found)


def sync_milliseconds(place: Path, count: int, clock: Callable[[], float] = time.perf_counter) -> list[float]:
    """How long appending a little and syncing takes, as a commit does; the file is gone afterwards."""
    times = []
    with tempfile.NamedTemporaryFile(dir=place, prefix=".lineshaft-doctor-", buffering=0) as file:
        for _ in range(count):
            file.write(b"x" * 500)
            began = clock()
            os.fsync(file.fileno())
            times.append((clock() - began) * 1000)
    return times


def _server(config: Config) -> Iterator[Finding]:
    try:
        with reach(timeout_seconds=5) as client:
            began = time.perf_counter()
            info = client.info()
            passed = (time.perf_counter() - began) * 1000
    except LineshaftError as error:
        # Without a word of where it should be, one that is not there may be still to come.
        is_named = any(os.environ.get(name) for name in ("FAKTORY_PROVIDER", "FAKTORY_URL"))
        is_absent = str(error).startswith("no server answers")
        yield Finding("server", Verdict.NOTE if is_absent and not is_named else Verdict.BAD, str(error))
        return
    yield _how_it_is(info, passed)
    other = data_of_server(info)
    if other is not None and not config.ephemeral and Path(other) != config.data_dir:
        found = f"the running server has its data in {other}; what is said above is of {config.data_dir}"
        yield Finding("data of server", Verdict.NOTE, found, f"lineshaft doctor -d {other} looks there")


def _how_it_is(info: dict[str, Any], passed: float) -> Finding:
    server, jobs = info["server"], info["faktory"]
    version = server.get("lineshaft_version", server.get("faktory_version", "?"))
    found = f"{version}, up {server['uptime']} s, {server['connections']} connections, answers in {passed:.1f} ms"
    dead = jobs["sets"]["dead"] if "sets" in jobs else 0
    if version not in (__version__, "?"):
        return Finding("server", Verdict.NOTE, f"{found}; this command is {__version__}", "restart it after an upgrade")
    if dead > 1000:
        advice = "lineshaft jobs --in dead says why"
        return Finding("server", Verdict.NOTE, f"{found}; {dead:,} dead jobs", advice)
    return Finding("server", Verdict.GOOD, found)
