"""The rows of the bench: how servers are loaded, and what is asked of ours under each load.

A feature that jobs ask for is a job body here; a new row needs no more than a line.
"""

from dataclasses import replace

from jobload import Load

__all__ = ["LOADS"]


def _asking(name: str, plain: Load, body: str) -> Load:
    """The load of `plain` with jobs that ask for a feature; that they have half the speed is an aim of our own."""
    jobs = {sync: count // 2 for sync, count in plain.jobs.items()}
    load = replace(plain, name=name, jobs=jobs, target=0.5, body=body, plain=plain)
    return replace(load, own_aims=("never", "always"), beanstalkd={}, has_variants=False, is_quick=True)


def _cycle(connections: int, never: int, always: int, **more: object) -> Load:
    """A job is pushed, fetched and acknowledged by one connection, which then begins the next."""
    name = f"cycle, {connections:,} connection{'s' if connections > 1 else ''}"
    load = Load(name, "cycle", connections, {"never": never, "always": always})
    return replace(load, **{"beanstalkd": {"never": 0.0, "always": 0.0}, **more})  # type: ignore[arg-type]


def _like_50(name: str, never: int, always: int, **more: object) -> Load:
    return replace(_cycle(50, never, always, **more), name=f"{name}, 50 connections")


def _pushed(name: str, bulk: int, never: int, always: int, **more: object) -> Load:
    load = Load(name, "push", 10, {"never": never, "always": always}, bulk=bulk)
    return replace(load, **{"beanstalkd": {"never": 0.0, "always": 0.0}, **more})  # type: ignore[arg-type]


CYCLE_50 = _cycle(
    50, 100_000, 60_000, target=0.9, beanstalkd={"never": 1.0, "always": 5.0}, has_variants=True, is_quick=True
)
IN_FLIGHT = Load(
    "cycle, 10 x 16 in flight",
    "cycle",
    10,
    {"never": 300_000, "always": 200_000},
    target=0.75,
    in_flight=16,
    beanstalkd={"never": 2.5, "always": 2.5},
    has_variants=True,
    is_quick=True,
)
PLAIN_50 = _cycle(50, 100_000, 60_000)

LOADS = (
    _cycle(1, 15_000, 3_000),
    _cycle(
        10,
        80_000,
        30_000,
        target=0.9,
        own_aims=("always",),
        beanstalkd={"never": 1.0, "always": 0.0},
        has_variants=True,
        is_quick=True,
    ),
    CYCLE_50,
    _cycle(200, 100_000, 80_000),
    _cycle(1000, 80_000, 80_000),
    IN_FLIGHT,
    replace(_pushed("PUSH", 1, 150_000, 90_000), connections=50),
    _pushed("PUSHB of 10", 10, 400_000, 250_000),
    _pushed("PUSHB of 100", 100, 800_000, 500_000, target=0.65, has_variants=True, is_quick=True),
    _pushed("PUSHB of 1,000", 1000, 900_000, 600_000),
    replace(PLAIN_50, name="drain, 50 connections", mode="drain", jobs={"never": 120_000, "always": 120_000}),
    _like_50("args of 1 kB", 90_000, 40_000, args_bytes=1_024),
    _like_50("args of 64 kB", 8_000, 6_000, args_bytes=65_536),
    _like_50("5 queues per FETCH", 100_000, 60_000, queues=5, per_fetch=5),
    # beanstalkd takes a tube per connection, so it cannot be asked for this many.
    _like_50("10,000 queues", 60_000, 40_000, queues=10_000, beanstalkd={}),
    _like_50("priorities 1 to 9", 100_000, 60_000, body='"jobtype":"SomeJob","args":[1,"string",3],"priority":%P'),
    replace(PLAIN_50, name="TLS, 50 connections", plain=PLAIN_50, secured="tls", beanstalkd={}),
    replace(PLAIN_50, name="password, 50 connections", plain=PLAIN_50, secured="password", beanstalkd={}),
    *(
        _asking(f"{name}, {plain.name.removeprefix('cycle, ')}", plain, body)
        for plain in (CYCLE_50, IN_FLIGHT)
        for name, body in {
            "unique": '"jobtype":"SomeJob","args":["%J"],"custom":{"unique_for":600}',
            "tracked": '"jobtype":"SomeJob","args":[1,"string",3],"custom":{"track":1}',
            "batched": '"jobtype":"SomeJob","args":[1,"string",3],"custom":{"bid":"%B"}',
        }.items()
    ),
    # 200 connections: so many that a job nearly always finds an idle one, and waits for the server alone.
    replace(
        _cycle(200, 100_000, 60_000),
        name="open loop at half the maximum",
        open_share=0.5,
        p99_limit_ms={"never": 2.0, "always": 5.0},
        has_variants=True,
    ),
)
