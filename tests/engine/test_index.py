"""The jid index writes what has grown old a little at a time: no turn has to carry much of it."""

import pytest

from harness import Harness
from lineshaft.engine import index

JOB = '{"jid":"job-%06d","jobtype":"T","args":[]}'


def test_a_turn_writes_few_of_the_jobs_that_have_grown_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "MOST_YOUNG", 4 * index.MOST_WRITTEN)
    harness = Harness()
    peer = harness.connect()
    pushed = index.MOST_YOUNG
    assert peer.ask("PUSHB [" + ",".join(JOB % number for number in range(pushed)) + "]").endswith(b"{}\r\n")
    before = len(harness.store.log)
    for number in range(pushed, pushed + 3 * index.MOST_WRITTEN):
        peer.ask("PUSH " + JOB % number)
    written = [sum(key[:1] == b"W" for key in commit.changes) for commit in harness.store.log[before:]]
    assert max(written) == index.MOST_WRITTEN, "half of all that are young were written in one turn once"
    assert sum(written) == 3 * index.MOST_WRITTEN
    assert len(harness.server.engine.state.index.young) == index.MOST_YOUNG
