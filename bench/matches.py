"""Who is measured beside whom, and what of it is compared.

A match is one load in one sync mode: all its entries run in turn, round by round. An entry is a server and the load
that it gets, which is the load of the match, or for one entry of a feature's match the plain load.
"""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from contestants import Beanstalkd, Contestant, Lineshaft, Reference
from jobload import Load, has_tls

__all__ = ["PLAIN", "Comparison", "Entry", "Match", "matches", "missing"]

OURS = Lineshaft()
REFERENCE = Reference()
BEANSTALKD = Beanstalkd()
#: What the other entry of a feature's match is called.
PLAIN = "lineshaft, plain jobs"

#: Least ratio of the server without its jid index to the reference, which has none either; 0 in other rows.
WITHOUT_INDEX = {"cycle, 10 x 16 in flight": 0.85, "PUSHB of 100": 0.85}


@dataclass(frozen=True)
class Entry:
    """One server under one load; `label` tells it apart within its match."""

    label: str
    contestant: Contestant
    load: Load


@dataclass(frozen=True)
class Comparison:
    """Two labels of a match, and the least ratio of their jobs per second (0: none is asked for)."""

    subject: str
    yardstick: str
    target: float


@dataclass(frozen=True)
class Match:
    """One load in one sync mode."""

    load: Load
    sync: str
    entries: Sequence[Entry]
    comparisons: Sequence[Comparison]


def matches(loads: Iterable[Load], syncs: Iterable[str], *, variants: bool, others: bool) -> Iterator[Match]:
    """The matches of a run, with other settings of the server (`variants`), and beanstalkd (`others`)."""
    for load in loads:
        for sync in syncs:
            yield _feature(load, sync) if load.plain else _race(load, sync, variants=variants, others=others)


def missing(loads: Iterable[Load]) -> list[str]:
    """What some of the loads need and is not installed, with how to install it."""
    texts = []
    if any(load.beanstalkd for load in loads) and shutil.which("beanstalkd") is None:
        texts.append("beanstalkd is not installed, its rows are left out: apt install beanstalkd")
    if any(load.secured for load in loads) and not (has_tls() and shutil.which("openssl")):
        texts.append("the rows with TLS and password are left out: apt install libssl-dev openssl")
    return texts


def _feature(load: Load, sync: str) -> Match:
    assert load.plain is not None, "a feature is compared with plain jobs"
    subject = Lineshaft(secured=load.secured)
    entries = [Entry(PLAIN, OURS, load.plain), Entry(subject.name, subject, load)]
    return Match(load, sync, entries, [Comparison(subject.name, PLAIN, load.target)])


def _race(load: Load, sync: str, *, variants: bool, others: bool) -> Match:
    entries = [Entry(one.name, one, load) for one in _field(load, sync, variants=variants, others=others)]
    comparisons = [
        Comparison(entry.label, REFERENCE.name, _target(entry.contestant, load))
        for entry in entries
        if isinstance(entry.contestant, Lineshaft)
    ]
    if BEANSTALKD.name in [entry.label for entry in entries]:
        comparisons.append(Comparison(OURS.name, BEANSTALKD.name, load.beanstalkd[sync]))
    return Match(load, sync, entries, comparisons)


def _field(load: Load, sync: str, *, variants: bool, others: bool) -> Iterator[Contestant]:
    yield REFERENCE
    yield OURS
    if variants and load.has_variants:
        if not load.open_share:
            yield Lineshaft(jid_index=False)
        if sync == "never":
            yield Lineshaft(sync="interval")
    if others and sync in load.beanstalkd:
        yield BEANSTALKD


def _target(server: Lineshaft, load: Load) -> float:
    if server.sync is not None or load.open_share:
        return 0.0
    return load.target if server.jid_index else WITHOUT_INDEX.get(load.name, 0.0)
