"""The server beside the speed reference, beanstalkd and the job libraries, in alternation: `make bench`.

Goes through all matches (see `matches`) round by round; each round of a match is played whole (see `play`). Prints the
ratios and their verdict first, then the medians, and keeps every measure in a file under `bench/results/`. That file is
written after each round, and the same command on the same day, commit and scale goes on where it stopped: with
`--seconds`, or after Ctrl-C, a long run can be made in pieces, whenever the machine is quiet.

The data lies under the results too while it runs: /tmp is often memory, where a sync is free.
"""

import argparse
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jobload import Load, LoadFailed, Measure, build_jobload
from library_workers import lacking_libraries, measure_libraries
from loads import LOADS
from machine import commit, describe_machine, other_versions
from matches import Match, matches, missing
from play import Pace, play_round
from ratios import Verdict, judge, judge_all, judge_libraries, medians_table, verdicts_table
from results import Results, results_file
from servers import stop_on_signals
from talk import ServerFailed

__all__ = ["main"]

RESULTS = Path(__file__).resolve().parent / "results"
#: Share of the jobs, and rounds, of a full and of a quick run.
FULL = (1.0, 5)
QUICK = (0.2, 2)


@dataclass(frozen=True)
class Plan:
    """What is to be measured."""

    matches: tuple[Match, ...]
    rounds: int
    pace: Pace
    #: When to begin no more rounds, as the monotonic clock has it.
    until: float
    #: Whether the job libraries are measured too.
    has_libraries: bool


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write the results file; 1 if `--check` was given and a target was missed."""
    options = _parser().parse_args(arguments)
    stop_on_signals()
    options.results.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=options.results))
    try:
        build_jobload()
        plan = _plan(options)
        results = _results(options, plan, scratch)
        _measure_all(plan, results, scratch)
    except (LoadFailed, ServerFailed) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    results.verdicts = [one.as_dict() for one in judge_all(results)]
    results.write()
    verdicts = [one for match in plan.matches for one in judge(match, results.of(match.load.name, match.sync))]
    if plan.has_libraries:
        verdicts += judge_libraries(results.workers)
    _print(plan, results, verdicts)
    return 1 if options.check and not all(one.is_met for one in verdicts) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Load the server beside others, in alternation.")
    parser.add_argument("--quick", action="store_true", help="few rows, two short rounds, beside the reference alone")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds per load (5; quick: 2)")
    parser.add_argument("--scale", type=float, metavar="X", help="share of the jobs of a full run (1; quick: 0.2)")
    parser.add_argument("--sync", choices=("never", "always"), help="only this sync mode")
    parser.add_argument(
        "--only", metavar="TEXT", default="", help="only loads whose name contains TEXT; the libraries: `workers`"
    )
    parser.add_argument("--seconds", type=float, metavar="N", help="begin no round after so long: run again to go on")
    parser.add_argument("--fresh", action="store_true", help="forget what this day's file has of this commit")
    parser.add_argument("--no-others", action="store_true", help="neither beanstalkd nor the job libraries")
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
    loads = tuple(_chosen(options))
    others = not (options.quick or options.no_others)
    has_libraries = others and "workers".startswith(options.only.lower())
    if not (loads or has_libraries):
        names = "; ".join(load.name for load in LOADS)
        raise SystemExit(f"bench: no load has {options.only!r} in its name; there are: {names}; workers")
    lacking = [*(missing(loads) if others else []), *(lacking_libraries() if has_libraries else [])]
    for text in lacking:
        print(f"bench: {text}", file=sys.stderr)
    if any("TLS" in text for text in lacking):
        loads = tuple(load for load in loads if not load.secured)
    syncs = (options.sync,) if options.sync else ("never", "always")
    has_beanstalkd = others and shutil.which("beanstalkd") is not None
    return Plan(
        matches=tuple(matches(loads, syncs, variants=not options.quick, others=has_beanstalkd)),
        rounds=max(1, options.rounds or rounds),
        pace=Pace(options.scale or scale),
        until=time.monotonic() + options.seconds if options.seconds else float("inf"),
        has_libraries=has_libraries,
    )


def _chosen(options: argparse.Namespace) -> Iterator[Load]:
    for load in LOADS:
        if options.only.lower() in load.name.lower() and (load.is_quick or not options.quick):
            yield load


def _results(options: argparse.Namespace, plan: Plan, scratch: Path) -> Results:
    """What this day's file has already, or nothing."""
    path = results_file(options.results, commit=commit(), scale=plan.pace.scale, quick=options.quick)
    results = Results.read(path) if path.exists() and not options.fresh else Results(path, plan.pace.scale)
    results.machine = describe_machine(scratch)
    if not options.quick:
        results.machine["beside"] = other_versions()
    results.commands.append(_command(sys.argv[1:]))
    return results


def _command(words: list[str]) -> str:
    """What was called, but for where the results lie, which is nobody else's concern."""
    for place, word in enumerate(words):
        if word == "--results":
            words = words[:place] + words[place + 2 :]
    return shlex.join(["make", "bench", *([f"ARGS={shlex.join(words)}"] if words else [])])


def _measure_all(plan: Plan, results: Results, scratch: Path) -> None:
    """Round by round through all matches and libraries; what has its rounds already is passed over."""
    for turn in range(plan.rounds):
        for match in plan.matches:
            if len(results.of(match.load.name, match.sync)) > turn:
                continue
            if time.monotonic() > plan.until:
                return
            measures = {}
            for label, measure in play_round(match, turn, pace=plan.pace, scratch=scratch):
                measures[label] = measure
                _say(match, label, measure, f"round {turn + 1}/{plan.rounds}")
            results.add(match.load.name, match.sync, {entry.label: measures[entry.label] for entry in match.entries})
        if plan.has_libraries:
            measure_libraries(results, turn, scale=plan.pace.scale, until=plan.until, scratch=scratch)


def _say(match: Match, label: str, measure: Measure, place: str) -> None:
    text = f"  {place}  sync {match.sync:<6}  {match.load.name:<30} {label:<24} {measure.jobs_per_second:>9,.0f} jobs/s"
    print(text, file=sys.stderr, flush=True)


def _print(plan: Plan, results: Results, verdicts: list[Verdict]) -> None:
    print("\nRatio in jobs/s: median of the rounds, and their range")
    print("(of jobs that ask for a feature: to plain jobs on the same server; in an open loop: the longest p99 in ms)")
    print(verdicts_table(verdicts))
    print("\nMedians (a cycle is PUSH, FETCH and ACK; PUSH of the PUSHB rows is one PUSHB)")
    print(medians_table((match, results.of(match.load.name, match.sync)) for match in plan.matches))
    print("\nMachine")
    for label, text in results.machine.items():
        print(f"  {label:<10} {text}")
    print(f"  {'foreign':<10} others used up to {_worst_foreign_share(results):.0%} of one core during a run")
    lacking = sum(max(0, plan.rounds - len(results.of(one.load.name, one.sync))) for one in plan.matches)
    if lacking:
        print(f"\n{lacking} rounds are still to be played: the same command goes on with them")
    print(f"\nevery measure: {results.path}")


def _worst_foreign_share(results: Results) -> float:
    measures = [measure for one in results.rounds for measure in one.measures.values()]
    return max((one.foreign_share for one in measures), default=0.0)


if __name__ == "__main__":
    sys.exit(main())
