"""The server beside the speed reference, in alternation: `make bench`.

Every measure is one fresh server on an empty directory, warmed up with a small run of the same load,
then loaded and stopped; the same for each contestant, and only one runs at a time. In each round each
contestant runs once, and the order turns from round to round, so that neither always has the warmer
machine. For jobs that ask for a feature the contestants are the same server with and without it.
FLUSH is not used to start afresh: the reference only drops its memory, while the server has data to
delete, which would burden one of the two.

Prints the ratios and their verdict first, then the medians, and keeps every measure in a file under
`bench/results/`. The data lies there too while it runs: /tmp is often memory, where a sync is free.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jobload import LOADS, Load, LoadFailed, Measure, build_jobload, run_jobload
from machine import describe_machine
from ratios import Ratio, Series, compare, medians_table, ratios_table
from servers import Contestant, Lineshaft, Reference, Server, ServerFailed, stop_on_signals

__all__ = ["main"]

RESULTS = Path(__file__).resolve().parent / "results"
#: Share of the jobs, and rounds, of a full and of a quick run.
FULL = (1.0, 5)
QUICK = (0.2, 2)
#: The warm-up's share of a measured run's jobs: enough to fill caches and grow what grows once.
WARM_UP = 0.05
#: No load is run with fewer: every connection should have a few jobs to do.
FEWEST_JOBS = 1_000


@dataclass(frozen=True)
class Plan:
    """What is to be measured."""

    contestants: tuple[Contestant, ...]
    syncs: tuple[str, ...]
    loads: tuple[Load, ...]
    rounds: int
    scale: float

    def jobs(self, load: Load, sync: str) -> int:
        """How many jobs a measured run of `load` has."""
        return max(FEWEST_JOBS, round(load.jobs[sync] * self.scale))


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write the results file; 1 if `--check` was given and a target was missed."""
    options = _parser().parse_args(arguments)
    plan = _plan(options)
    stop_on_signals()
    options.results.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=options.results))
    try:
        build_jobload()
        machine = describe_machine(scratch)
        matches = list(_measure_all(plan, scratch))
    except (LoadFailed, ServerFailed) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    series = [one for match in matches for one in match]
    ratios = [compare(one, match[0]) for match in matches for one in match[1:]]
    _print(plan, machine, series, ratios)
    print(f"\nevery measure: {_write(options.results, plan, machine, series, ratios)}")
    missed = [ratio for ratio in ratios if not ratio.is_met]
    return 1 if options.check and missed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Load the server beside the speed reference, in alternation.")
    parser.add_argument("--quick", action="store_true", help="fewer jobs, two rounds, only with the jid index")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds per load (5; quick: 2)")
    parser.add_argument("--scale", type=float, metavar="X", help="share of the jobs of a full run (1; quick: 0.2)")
    parser.add_argument("--sync", choices=("never", "always"), help="only this sync mode")
    parser.add_argument("--only", metavar="TEXT", default="", help="only loads whose name contains TEXT")
    parser.add_argument(
        "--no-index",
        action=argparse.BooleanOptionalAction,
        help="also run the server with jid_index = false (default: unless --quick)",
    )
    parser.add_argument(
        "--subject",
        choices=("lineshaft", "reference"),
        default="lineshaft",
        help="`reference` runs the reference against itself: how much this machine's ratios scatter",
    )
    parser.add_argument(
        "--results",
        type=Path,
        metavar="DIR",
        default=RESULTS,
        help="for the measures, and the data meanwhile",
    )
    return parser


def _plan(options: argparse.Namespace) -> Plan:
    scale, rounds = QUICK if options.quick else FULL
    without_index = not options.quick if options.no_index is None else options.no_index
    subjects: list[Contestant]
    if options.subject == "reference":
        subjects = [Reference("itself", jid_index=True)]
    else:
        subjects = [Lineshaft(), Lineshaft(jid_index=False)] if without_index else [Lineshaft()]
    loads = tuple(load for load in LOADS if options.only.lower() in load.name.lower())
    if not loads:
        names = "; ".join(load.name for load in LOADS)
        raise SystemExit(f"bench: no load has {options.only!r} in its name; there are: {names}")
    return Plan(
        contestants=(Reference(), *subjects),
        syncs=(options.sync,) if options.sync else ("never", "always"),
        loads=loads,
        rounds=max(1, options.rounds or rounds),
        scale=options.scale or scale,
    )


Match = list[tuple[Contestant, Load]]
"""Who runs in turn, each under which load; the first is the yardstick of the others."""


def _matches(plan: Plan, load: Load) -> list[Match]:
    if load.plain is None:
        return [[(contestant, load) for contestant in plan.contestants]]
    return [[(subject, load.plain), (subject, load)] for subject in plan.contestants[1:]]


def _measure_all(plan: Plan, scratch: Path) -> Iterator[list[Series]]:
    for sync in plan.syncs:
        for load in plan.loads:
            for match in _matches(plan, load):
                yield _play(plan, match, sync, scratch)


def _play(plan: Plan, match: Match, sync: str, scratch: Path) -> list[Series]:
    """All rounds of one match; its series in the order of the match."""
    measures: list[list[Measure]] = [[] for _ in match]
    for round_number in range(plan.rounds):
        turn = round_number % len(match)
        for place in [*range(turn, len(match)), *range(turn)]:
            contestant, load = match[place]
            measure = _measure(contestant, load, sync, jobs=plan.jobs(load, sync), scratch=scratch)
            measures[place].append(measure)
            print(
                f"  round {round_number + 1}/{plan.rounds}  sync {sync:<6}  {load.name:<26} "
                f"{contestant.name:<20} {measure.jobs_per_second:>9,.0f} jobs/s",
                file=sys.stderr,
                flush=True,
            )
    return [
        Series(load, sync, contestant.name, contestant.jid_index, rounds)
        for (contestant, load), rounds in zip(match, measures, strict=True)
    ]


def _measure(contestant: Contestant, load: Load, sync: str, *, jobs: int, scratch: Path) -> Measure:
    directory = Path(tempfile.mkdtemp(prefix="server-", dir=scratch))
    try:
        with Server(contestant, directory, sync=sync) as server:
            try:
                warm_up = max(FEWEST_JOBS, round(jobs * WARM_UP))
                _run(server, load, jobs=warm_up)
                return _run(server, load, jobs=jobs)
            except LoadFailed as error:
                raise LoadFailed(f"{contestant.name}, {error}\nits log:\n{server.log_tail()}") from error
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _run(server: Server, load: Load, *, jobs: int) -> Measure:
    bid = server.contestant.begin_batch(server.port) if load.has_batch else ""
    return run_jobload(load, jobs=jobs, port=server.port, pid=server.pid, bid=bid)


def _print(plan: Plan, machine: dict[str, str], series: list[Series], ratios: list[Ratio]) -> None:
    print(f"\nRatio to the speed reference in jobs/s: median of {plan.rounds} rounds, and their range")
    print("(of jobs that ask for a feature: to plain jobs on the same server)")
    print(ratios_table(ratios))
    print("\nMedians (a cycle is PUSH, FETCH and ACK; PUSH of the PUSHB rows is one PUSHB)")
    print(medians_table(series))
    print("\nMachine")
    for label, text in machine.items():
        print(f"  {label:<10} {text}")
    print(f"  {'foreign':<10} others used up to {_worst_foreign_share(series):.0%} of one core during a run")


def _worst_foreign_share(series: list[Series]) -> float:
    return max(measure.foreign_cpu_seconds / measure.seconds for one in series for measure in one.rounds)


def _write(results: Path, plan: Plan, machine: dict[str, str], series: list[Series], ratios: list[Ratio]) -> Path:
    now = datetime.now(UTC)
    report: dict[str, Any] = {
        "at": now.isoformat(timespec="seconds"),
        "machine": machine,
        "rounds": plan.rounds,
        "scale": plan.scale,
        "ratios": [{**asdict(ratio), "is_met": ratio.is_met} for ratio in ratios],
        "series": [
            {
                "sync": one.sync,
                "load": one.load.name,
                "contestant": one.contestant,
                "jid_index": one.jid_index,
                "rounds": [measure.as_dict() for measure in one.rounds],
            }
            for one in series
        ],
    }
    path = results / f"speed-{now:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(report, indent=1) + "\n")
    return path


if __name__ == "__main__":
    sys.exit(main())
