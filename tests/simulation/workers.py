"""Workers: they fetch, and finish, fail, give back, keep, forget, or lie about what they have.

An honest worker tells only of what it holds. A lying one also acknowledges what it never had, twice, and late. A crash
of a worker is a new process: with the same wid or another, and without any memory of what it held. With the first BEAT
of a connection an honest one may say what it holds.
"""

import json
from collections.abc import Callable
from typing import Any

from simulation.client import Client, Habits
from simulation.entries import Answer, Fetching, GivenBack, Hold, JobEntry
from simulation.ledger import ONE_LEAP_MS, SURELY_THERE, Ledger
from simulation.producers import QUEUES, Kinds
from simulation.world import World

__all__ = ["Worker"]


class Worker(Client):
    """It works."""

    def __init__(
        self,
        world: World,
        ledger: Ledger,
        name: str,
        seed: str,
        habits: Habits,
        *,
        lies: float,
        dies: float,
        kinds: Kinds = frozenset(),
    ) -> None:
        super().__init__(world, ledger, name, seed, habits)
        self.lies, self.dies = lies, dies
        self.is_weighted = "weighted" in kinds
        self.lives = 0
        self.has_wid = self.chance.random() < 0.8
        self.beats = self.has_wid and self.chance.random() < 0.7
        self.holds: dict[str, Hold] = {}
        self.fetching = 0
        #: On this connection it has not said yet what it holds.
        self.is_back = False
        recover_after = world.rules.recover_after * 1000
        #: For so long the server waits for a word of it without any doubt.
        self._patience = min(SURELY_THERE, recover_after // 2) if recover_after else SURELY_THERE
        #: By wid: since when the server has heard of it without a long pause, when it last did, and how far the
        #: clock had leapt by then.
        self.heard: dict[str, tuple[int, int, int]] = {}

    @property
    def wid(self) -> str:
        """Who it is."""
        return f"{self.name}.{self.lives}"

    def hello(self) -> dict[str, Any]:
        """As a worker, or as somebody without a name."""
        if not self.has_wid:
            return {"v": 2}
        return {"v": 2, "wid": self.wid, "hostname": "h", "pid": 1, "labels": [], "features": ["cancel"]}

    def act(self) -> None:
        """As any client; and sometimes it dies."""
        if self.chance.random() < self.dies:
            self.ledger.count("worker crashes")
            self.holds.clear()
            self.chance.choice([self.drop, self.vanish])()
            if self.chance.random() < 0.5:
                self.lives += 1
            return
        super().act()

    def left_alone(self) -> None:
        """What it had without a wid nobody can finish in its name any more."""
        self.fetching = 0
        self.is_back = True
        if not self.has_wid:
            self.holds.clear()

    def presence(self) -> Callable[[], bool]:
        """Tells whether the server has known all the time that the worker as it is now lives.

        A worker without a wid or BEATs cannot vanish.
        """
        wid, since = self.wid, self.world.time
        return lambda: not self.beats or self._is_there(wid, since)

    def _is_there(self, wid: str, since: int) -> bool:
        first, last, leapt = self.heard.get(wid, (0, 0, 0))
        return first <= since and self.world.time - last < self._patience and self.ledger.leapt - leapt <= ONE_LEAP_MS

    def _note_heard(self, wid: str, at: int) -> None:
        """The server has heard of it at this time, at the earliest."""
        first, last, leapt = self.heard.get(wid, (at, at, 0))
        is_steady = at - last < self._patience and self.ledger.leapt - leapt <= ONE_LEAP_MS
        self.heard[wid] = (first if is_steady else at, max(at, last), self.ledger.leapt)

    def do(self) -> None:
        """Fetch, or do something with what it has."""
        draw = self.chance.random()
        if self.beats and draw < 0.2:
            self._beat()
        elif self.lies and draw < 0.2 + self.lies * 0.3:
            self._lie()
        elif self.holds and draw < 0.8:
            self._finish()
        elif not self.fetching and len(self.holds) < 5:
            for _ in range(self.chance.choice([1, 1, 1, 3])):
                self._fetch()

    def choose_queues(self) -> list[str]:
        """The queues of the next FETCH."""
        return self.chance.sample(QUEUES, self.chance.randint(1, len(QUEUES)))

    def _fetch(self) -> None:
        queues = self.choose_queues()
        asked = Fetching(
            self.wid if self.has_wid else f"{self.name}/{self.connections}",
            queues, self.world.wall(), dict(self.ledger.paused),
            self.ledger.resumes, self.ledger.jumps,
        )  # fmt: skip
        self.fetching += 1
        at, wid = self.world.time, self.wid
        named = [f"{name}:{self.chance.randint(1, 9)}" for name in queues] if self.is_weighted else queues
        self.ask("FETCH " + " ".join(named), lambda answer: self._fetched(asked, wid, at, answer))

    def _fetched(self, asked: Fetching, wid: str, at: int, answer: Answer) -> None:
        self.fetching = max(self.fetching - 1, 0)
        if answer.kind == "lost" or not answer.ok:
            return
        self._note_heard(wid, at)
        if answer.body is None:
            return
        entry = self.ledger.fetched(answer.json(), answer, asked, self.presence())
        assert entry.hold is not None
        self.holds[entry.jid] = entry.hold

    def _beat(self) -> None:
        at, wid = self.world.time, self.wid
        message: dict[str, Any] = {"wid": wid, "rss_kb": 1}
        if self.is_back and not self.lies:
            self.is_back = False
            message["holding"] = sorted(self.holds)
            self.ledger.names(wid, self.holds)
        self.ask("BEAT " + json.dumps(message), lambda answer: self._beaten(wid, at, answer))

    def _beaten(self, wid: str, at: int, answer: Answer) -> None:
        if answer.ok:
            self._note_heard(wid, at)

    def _finish(self) -> None:
        jid = self.chance.choice(sorted(self.holds))
        draw = self.chance.random()
        if draw < 0.55:
            self._ack(jid, self.holds.pop(jid))
        elif draw < 0.75:
            self._fail(jid)
        elif draw < 0.82:
            self._requeue(jid)
        elif draw < 0.9:
            self._track(jid)
        # Else it goes on working.

    def _ack(self, jid: str, hold: Hold | None) -> None:
        entry = self.ledger.jobs[jid]
        surely = self.ledger.is_surely_held(entry, hold)
        message: dict[str, Any] = {"jid": jid}
        if self.chance.random() < 0.2:
            message["result"] = {"of": jid}
        life = self.world.life

        def answered(answer: Answer) -> None:
            if answer.ok:
                sure = surely and life == self.world.life
                self.ledger.acked(entry, hold, answer, surely=sure)

        asked = self.ask("ACK " + json.dumps(message), answered)
        self.ledger.letting_go(jid, "ack", asked.is_possible)

    def _fail(self, jid: str) -> None:
        self.holds.pop(jid)
        entry = self.ledger.jobs[jid]
        message: dict[str, Any] = {"jid": jid, "errtype": "E", "message": "m"}
        if self.chance.random() < 0.3:
            message["retry_in"] = self.chance.choice([0, 1, 30])
        asked = self.ask("FAIL " + json.dumps(message), lambda answer: self._failed(entry, answer))
        self.ledger.letting_go(jid, "fail", asked.is_possible)

    def _failed(self, entry: JobEntry, answer: Answer) -> None:
        if answer.ok:
            self.ledger.failed(entry, answer)

    def _requeue(self, jid: str) -> None:
        hold, entry = self.holds.pop(jid), self.ledger.jobs[jid]
        message: dict[str, Any] = {"jid": jid}
        if self.chance.random() < 0.4:
            message["in"] = self.chance.choice([0, 1, 60])
        wall, jumps = self.world.wall(), self.ledger.jumps

        def answered(answer: Answer) -> None:
            if answer.ok:
                self.ledger.gave_back(entry, GivenBack(hold.holder, wall, jumps, answer))

        asked = self.ask("REQUEUE " + json.dumps(message), answered)
        self.ledger.letting_go(jid, "requeue", asked.is_possible)

    def _track(self, jid: str) -> None:
        percent = self.chance.randint(0, 100)
        self.ledger.jobs[jid].percents.add(percent)
        message: dict[str, Any] = {"jid": jid, "percent": percent, "desc": "going on"}
        self.ask("TRACK SET " + json.dumps(message), lambda _: None)

    def _lie(self) -> None:
        """Tell of a job that it does not have, or has told of already."""
        jid = self.chance.choice(sorted(self.ledger.jobs) or ["nobody-knows"])
        self.ledger.count("lies")
        draw = self.chance.random()
        if jid not in self.ledger.jobs or draw < 0.2:
            self.ask('ACK {"jid":"nobody-knows"}', lambda _: None)
        elif draw < 0.7:
            self._ack(jid, None)
        else:
            self.holds.setdefault(jid, Hold(self.wid, 0, 0, 0, 0, self.presence(), large=False, void=True))
            self._fail(jid) if draw < 0.85 else self._requeue(jid)
