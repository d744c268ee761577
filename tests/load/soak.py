"""A soak: an hour of mixed load on a real server, and whether memory, file handles and latencies stay flat.

    make soak                                  # an hour
    make soak SOAK=600 ARGS="--pace 0.5"       # ten minutes of twice the load

The load (`stage`, and the actors on it) uses every feature at a steady, moderate pace: some 150 commands a second, a
third of a core in all. Every so often the server process is looked at, and a probe, which pushes 20 jobs a second
whatever the server does, says how long a PUSH takes. At the end the server is stopped, its files are held against what
the clients were promised, and the series are judged (`judge`). The run fails when one of them grows, when a reply was
an error that nobody expected, when a feature was not used at all, or when a job is missing.
"""

import argparse
import asyncio
import json
import os
import random
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import uvloop

from faults.laws import check_disk
from faults.ledger import Ledger as Promised
from load.admin import admin
from load.figures import Usage, percentile, usage_of
from load.graph import draw
from load.judge import RULES, Verdict, judge
from load.probe import Probe
from load.producer import producer
from load.stage import CONFIG, Ledger, Stage
from load.visitors import browser, crowd, get_page
from load.wire import Wire
from load.worker import worker
from processes import ServerProcess, stop_on_sigterm

__all__ = ["Outcome", "main", "soak"]

SAMPLES = 240
ACTORS = {"producer": producer, "worker": worker, "admin": admin, "browser": browser, "crowd": crowd}
CAST = {"producer": 2, "worker": 4, "admin": 1, "browser": 2, "crowd": 1}


@dataclass(frozen=True)
class Sample:
    """The server at an instant, and how it answered since the one before."""

    seconds: float
    memory: float  #: MB, anonymous
    rss: float  #: MB
    files: int
    threads: int
    cpu: float  #: per cent of a core
    load_cpu: float  #: per cent of a core, of this program
    backlog: int
    disk: float  #: MB
    push_p50: float  #: ms
    push_p99: float
    push_max: float
    loop_max: float  #: ms: the longest that the server's loop was held in the last five minutes
    own_p99: float  #: ms: by how much this program was late itself


@dataclass
class Outcome:
    """What a run has found; a short one ends when every feature was used."""

    is_short: bool = False
    samples: list[Sample] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    done: dict[str, int] = field(default_factory=dict)

    def series(self, name: str) -> list[float]:
        """One figure of all samples."""
        return [float(getattr(sample, name)) for sample in self.samples]

    def judge(self) -> None:
        """Hold every series against its rule."""
        times = self.series("seconds")
        self.verdicts = [judge(times, self.series(rule.series), rule) for rule in RULES]
        self.faults += [f"{each.rule.series} grows" for each in self.verdicts if not each.is_flat]


class Watch:
    """Takes the samples."""

    def __init__(self, server: ServerProcess, stage: Stage, wire: Wire, probe: Probe, outcome: Outcome) -> None:
        self.stage = stage
        assert server.process is not None
        self.server, self.pid = server, server.process.pid
        self.wire, self.probe, self.outcome = wire, probe, outcome
        self.began = self.last = time.monotonic()
        self.before = (usage_of(self.pid), usage_of(os.getpid()))

    async def run(self, every: float) -> None:
        """Take one every so many seconds."""
        while True:
            await asyncio.sleep(every)
            self.outcome.samples.append(await self._sample())

    async def _sample(self) -> Sample:
        backlog = (await self.wire.ask_json(b"INFO"))["faktory"]["total_enqueued"]
        _, told = await get_page(self.stage.web_port, "/metrics")
        held = re.search(rb"^lineshaft_loop_delay_highest_seconds (.*)$", told, re.MULTILINE)
        assert held is not None
        now, usage, own = time.monotonic(), usage_of(self.pid), usage_of(os.getpid())
        taken, late = self.probe.take()

        def share(before: Usage, after: Usage) -> float:
            return 100 * (after.cpu_seconds - before.cpu_seconds) / (now - self.last)

        sample = Sample(
            seconds=now - self.began,
            memory=usage.anonymous_bytes / 1e6,
            rss=usage.rss_bytes / 1e6,
            files=usage.files,
            threads=usage.threads,
            cpu=share(self.before[0], usage),
            load_cpu=share(self.before[1], own),
            backlog=backlog,
            disk=sum(path.stat().st_size for path in self.server.data.iterdir() if path.is_file()) / 1e6,
            push_p50=percentile(taken, 50),
            push_p99=percentile(taken, 99),
            push_max=max(taken, default=0.0),
            loop_max=float(held[1]) * 1000,
            own_p99=percentile(late, 99),
        )
        self.last, self.before = now, (usage, own)
        return sample


async def _play(server: ServerProcess, stage: Stage, seconds: float, outcome: Outcome) -> None:
    """Let everybody act for so long."""
    wire = await stage.connect()
    job = '{"jid":"probe-%08d","jobtype":"Probe","args":[],"queue":"probe"}'
    probe = Probe(await stage.connect(), lambda number: f"PUSH {job % number}".encode(), rate=20)
    tasks = [
        asyncio.create_task(stage.forever(ACTORS[name], f"{name}{number}"))
        for name, count in CAST.items()
        for number in range(count)
    ]
    tasks.append(asyncio.create_task(probe.run()))
    tasks.append(asyncio.create_task(Watch(server, stage, wire, probe, outcome).run(max(seconds / SAMPLES, 0.5))))
    end = time.monotonic() + seconds
    ended: set[asyncio.Task[None]] = set()
    while not ended and time.monotonic() < end and not (outcome.is_short and _has_seen_all(stage, outcome)):
        left = end - time.monotonic()
        ended, _ = await asyncio.wait(
            tasks, timeout=min(left, 0.5) if outcome.is_short else left, return_when=asyncio.FIRST_COMPLETED
        )
    outcome.faults += [f"a probe failed: {error}" for error in probe.failed[:3]]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await stage.close()
    for task in ended:
        task.result()


def _has_seen_all(stage: Stage, outcome: Outcome) -> bool:
    """Whether a short run may end: every feature was used, and there is something to draw."""
    return not stage.ledger.unused() and len(outcome.samples) > 1


def soak(seconds: float, root: Path, *, pace: float = 1.0, is_short: bool = False) -> Outcome:
    """Run one; `pace` stretches the pauses of the load. The series are not judged yet."""
    outcome, ledger, life = Outcome(is_short), Ledger(), 40 if is_short else 400
    server = ServerProcess(root, CONFIG, web=True)
    with server:
        stage = Stage(server.port, server.web_port, root, ledger, random.Random(2026), pace, life)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_play(server, stage, seconds, outcome))
        if (code := server.stop()) != 0:
            outcome.faults.append(f"the server ended with {code}: {server.log.read_text()[-2000:]}")
    outcome.done = dict(sorted(ledger.done.items()))
    outcome.faults += [f"{count} times {what}" for what, count in ledger.errors.items()]
    if unused := ledger.unused():
        outcome.faults.append(f"never used: {' '.join(sorted(unused))}")
    if "Traceback" in (said := server.log.read_text()):
        outcome.faults.append(f"in the server's log: {said[said.index('Traceback') :][:2000]}")
    check_disk(server.data, Promised(pushed=ledger.live))
    return outcome


def report(outcome: Outcome) -> str:
    """For people."""
    last = outcome.samples[-1]
    half = outcome.samples[len(outcome.samples) // 4 :]
    mean = {name: sum(getattr(s, name) for s in half) / len(half) for name in ("cpu", "load_cpu")}
    return "\n".join(
        [
            f"{last.seconds / 60:.1f} minutes, {len(outcome.samples)} samples; server {mean['cpu']:.0f} % of a core, "
            f"load {mean['load_cpu']:.0f} %; {last.disk:.0f} MB on disk at the end",
            ", ".join(f"{count} {what}" for what, count in outcome.done.items()),
            *[verdict.line() for verdict in outcome.verdicts],
            *[f"FAULT: {fault}" for fault in outcome.faults],
            "flat" if not outcome.faults else "FAILED",
        ]
    )


def picture(outcome: Outcome) -> str:
    """The graph of a run."""
    times = outcome.series("seconds")
    series = outcome.series
    panels = {
        "Memory of the server, MB": {"resident": series("rss"), "its own": series("memory")},
        "Files open": {"files": series("files")},
        "PUSH, ms": {
            "99 %": series("push_p99"),
            "50 %": series("push_p50"),
            "this program itself late": series("own_p99"),
        },
        "Jobs that wait": {"jobs": series("backlog")},
        "On disk, MB": {"data": series("disk")},
        "Processor, % of a core": {"server": series("cpu"), "load": series("load_cpu")},
    }
    title = f"{times[-1] / 60:.0f} minutes of mixed load, every feature in use (grey: not judged)"
    return draw(title, times, panels, judged_from=times[len(times) // 4])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, write; 1 when something was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--pace", type=float, default=1.0, help="stretches the pauses of the load")
    parser.add_argument("--json", type=Path, help="write the samples here")
    parser.add_argument("--svg", type=Path, help="draw them here")
    options = parser.parse_args(arguments)
    stop_on_sigterm()
    with tempfile.TemporaryDirectory(prefix="soak-") as scratch:
        outcome = soak(options.seconds, Path(scratch), pace=options.pace)
    outcome.judge()
    print(report(outcome))
    if options.json:
        told = asdict(outcome)
        options.json.write_text(json.dumps(told, indent=1) + "\n")
    if options.svg:
        options.svg.write_text(picture(outcome))
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
