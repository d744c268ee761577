"""Plugins through real entry points: what they may do, and that they can harm nobody."""

import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.pages import read
from harness import Harness
from invariants import check_memory, check_store
from lineshaft.engine.engine import Engine
from lineshaft.errors import ConfigError
from lineshaft.plugin_host import PluginHost, load_plugins

PAGE = read("docs/howto/plugins.md")

HEAD = "from lineshaft.plugins import *\nimport time\n"


class Installer:
    """Puts packages where Python finds them, with the metadata that an installation leaves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0

    def __call__(self, source: str, **points: str) -> None:
        self.count += 1
        module = f"plugin_{self.folder.name}_{self.count}".replace("-", "_")
        (self.folder / f"{module}.py").write_text(source)
        info = self.folder / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        lines = [f"{name} = {module}:{what}" for name, what in points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[lineshaft.plugins]", *lines, ""]))


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installer:
    monkeypatch.syspath_prepend(str(tmp_path))
    return Installer(tmp_path)


def box_of(install: Installer, body: str, *, slow_ms: float = 1000) -> Harness:
    install(HEAD + body, mine="Mine")
    return Harness(hooks=PluginHost(load_plugins(None, ()), slow_ms).hooks())


def push(jid: str, queue: str = "default", more: str = "") -> str:
    return f'PUSH {{"jid":"{jid}","jobtype":"T","args":[1],"queue":"{queue}"{more}}}'


def test_the_page(install: Installer) -> None:
    source, _ = re.findall(r"```(?:python|toml)\n(.*?)```", PAGE, re.DOTALL)[:2]
    install(source, tenants="Tenants")
    box = Harness(hooks=PluginHost(load_plugins(["tenants"], ()), 5).hooks())
    peer = box.connect()
    assert peer.ask(push("tenant-01")) == b"-ERR custom.tenant is missing\r\n"
    assert peer.ask(push("tenant-02", more=',"retry":-1,"custom":{"tenant":"a"}')) == b"+OK\r\n"
    job = peer.ask_json("FETCH tenant-a")
    assert job["custom"] == {"tenant": "a", "checked": True}
    peer.ask('FAIL {"jid":"tenant-02","message":"oh"}')
    report = peer.ask_json("FETCH reports")
    assert (report["jobtype"], report["args"]) == ("report", ["tenant-02", "oh"])
    check_store(box.store)
    check_memory(box.server.engine)


def test_every_hook_is_called_with_a_copy(install: Installer) -> None:
    box = box_of(
        install,
        """
class Mine(Plugin):
    def push(self, job):
        job.args.append("changed")
    def fetch(self, job, worker):
        return Follow([NewJob("fetch", [job.jid, worker], queue="told")])
    def ack(self, job, worker):
        return Follow([NewJob("ack", [job.jid, worker], queue="told")])
    def fail(self, job, worker):
        return Follow([NewJob("fail", [job.jid, worker, job.failure.errtype], queue="told")])
    def dead(self, job):
        return Follow([NewJob("dead", [job.jid, job.failure.message], queue="told")])
""",
    )
    peer = box.worker("w1")
    peer.ask(push("job-00001"))
    assert peer.ask_json("FETCH default")["args"] == [1]
    peer.ask('ACK {"jid":"job-00001"}')
    peer.ask(push("job-00002", more=',"retry":-1'))
    peer.ask("FETCH default")
    peer.ask('FAIL {"jid":"job-00002","errtype":"E","message":"m"}')
    peer.ask(push("job-00003", more=',"retry":0'))
    peer.ask("FETCH default")
    peer.ask('FAIL {"jid":"job-00003","errtype":"E"}')
    size = box.server.engine.figures()["queues"]["told"]
    told = [peer.ask_json("FETCH told") for _ in range(size)]
    assert [(job["jobtype"], *job["args"]) for job in told if "job-" in job["args"][0]] == [
        ("fetch", "job-00001", "w1"),
        ("ack", "job-00001", "w1"),
        ("fetch", "job-00002", "w1"),
        ("fail", "job-00002", "w1", "E"),
        ("dead", "job-00002", "m"),
        ("fetch", "job-00003", "w1"),
        ("fail", "job-00003", "w1", "E"),
    ]
    check_store(box.store)


@pytest.mark.parametrize(
    "body",
    [
        "raise ValueError('mine')",
        "raise SystemExit(3)",
        "return 5",
        "return Change(queue='no good')",
        "return Change(priority=0)",
        "return Change(priority=7, args='text')",
        "return Change(custom={1: object()})",
        "return Change(retry=True)",
        "return Follow([NewJob('')])",
        "return Follow([NewJob('T')] * 101)",
        "return Follow(5)",
        "def f(): f()\n        f()",
    ],
)
def test_a_broken_hook_harms_nothing_and_is_named(
    install: Installer, body: str, caplog: pytest.LogCaptureFixture
) -> None:
    box = box_of(install, f"class Mine(Plugin):\n    def push(self, job):\n        {body}\n")
    peer = box.connect()
    assert peer.ask(push("job-00001")) == b"+OK\r\n"
    assert peer.ask_json("FETCH default")["args"] == [1]
    assert "the plugin mine failed in push" in caplog.text
    check_store(box.store)


def test_a_change_within_the_rules(install: Installer) -> None:
    body = "Change(args=[2, 'x'], queue='q', custom={'track': 1}, priority=9, retry=3, reserve_for=90)"
    box = box_of(install, f"class Mine(Plugin):\n    def push(self, job):\n        return {body}\n")
    peer = box.connect()
    peer.ask(push("job-00001"))
    job = peer.ask_json("FETCH q")
    assert (job["args"], job["retry"], job["reserve_for"]) == ([2, "x"], 3, 90)
    assert peer.ask_json("TRACK GET job-00001")["state"] == "working"


def test_pushb_and_a_refusal_for_one(install: Installer) -> None:
    box = box_of(
        install,
        """
class Mine(Plugin):
    def push(self, job):
        if job.jid == "job-00002":
            return Refuse("not\\r\\nthis one")
        if job.queue == "default":
            return Follow([NewJob("after", jid=job.jid + "-after", queue="q")])
""",
    )
    peer = box.connect()
    jobs = ",".join(push(f"job-0000{n}").removeprefix("PUSH ") for n in (1, 2, 3))
    assert peer.ask_json(f"PUSHB [{jobs}]") == {"job-00002": "not this one"}
    assert [peer.ask_json("FETCH q")["jid"] for _ in range(2)] == ["job-00001-after", "job-00003-after"]


TELLS = """
class Mine(Plugin):
    def ack(self, job, worker):
        return Follow([NewJob("ack", [job.jid, worker], queue="told")])
    def fail(self, job, worker):
        return Follow([NewJob("fail", [job.jid, worker, job.failure.errtype], queue="told")])
    def dead(self, job):
        return Follow([NewJob("dead", [job.jid, job.failure and job.failure.errtype], queue="told")])
"""


def told_in(box: Harness) -> list[list[object]]:
    """What a plugin that tells everything has told."""
    peer = box.connect()
    size = box.server.engine.figures()["queues"].get("told", 0)
    return [[job["jobtype"], *job["args"]] for job in (peer.ask_json("FETCH told") for _ in range(size))]


def test_a_late_ack_is_told(install: Installer) -> None:
    box = box_of(install, TELLS)
    peer = box.worker("w1")
    peer.ask(push("job-00001"))
    peer.ask("FETCH default")
    peer.leave()
    box.advance(61)
    assert box.worker("w1").ask('ACK {"jid":"job-00001"}') == b"+OK\r\n"
    assert told_in(box) == [["ack", "job-00001", "w1"]]


def test_an_ack_with_a_result_is_told(install: Installer) -> None:
    box = box_of(install, TELLS)
    peer = box.worker("w1")
    peer.ask(push("job-00001"))
    peer.ask("FETCH default")
    peer.ask('ACK {"jid":"job-00001","result":1}')
    assert told_in(box) == [["ack", "job-00001", "w1"]]


@pytest.mark.parametrize("more", ['"filter":{"jids":["job-00001"]}', '"filter":{"jobtype":"T"}'])
def test_a_job_that_is_killed_is_told(install: Installer, more: str) -> None:
    box = box_of(install, TELLS)
    peer = box.connect()
    peer.ask(push("job-00001", more=',"at":"2099-01-01T00:00:00Z"'))
    for _ in range(2):
        peer.ask(f'MUTATE {{"cmd":"kill","target":"scheduled",{more}}}')
        peer.ask(f'MUTATE {{"cmd":"kill","target":"dead",{more}}}')
    assert told_in(box) == [["dead", "job-00001", None]]
    check_store(box.store)


def test_a_reservation_that_ends_and_a_worker_that_is_lost_for_good_are_told(install: Installer) -> None:
    box = box_of(install, TELLS)
    peer = box.worker("w1", beats=False)
    peer.ask(push("job-00001", more=',"retry":-1,"reserve_for":60'))
    peer.ask(push("job-00002", more=',"retry":-1'))
    peer.ask("FETCH default")
    peer.leave()
    box.advance(61)
    for _ in range(3):
        peer = box.worker("w2")
        peer.ask("FETCH default")
        peer.leave()
        box.advance(61)
    assert told_in(box) == [
        ["fail", "job-00001", "w1", "ReservationExpired"],
        ["dead", "job-00001", "ReservationExpired"],
        ["fail", "job-00002", "w2", "WorkerLost"],
        ["dead", "job-00002", "WorkerLost"],
    ]


def test_one_of_two_twins_in_a_pushb_is_refused_and_the_other_is_followed(install: Installer) -> None:
    box = box_of(
        install,
        """
class Mine(Plugin):
    def push(self, job):
        if job.queue == "default":
            return Follow([NewJob("after", queue="q")])
""",
    )
    peer = box.connect()
    one = push("job-00001", more=',"custom":{"unique_for":60}').removeprefix("PUSH ")
    assert peer.ask_json(f"PUSHB [{one},{one}]") == {"job-00001": "NOTUNIQUE Job not unique"}
    assert box.server.engine.figures()["queues"] == {"default": 1, "q": 1}


def test_the_follow_up_is_in_the_same_commit(install: Installer) -> None:
    box = box_of(
        install,
        """
class Mine(Plugin):
    def ack(self, job, worker):
        return Follow([NewJob("after", queue="q")])
""",
    )
    peer = box.connect()
    peer.ask(push("job-00001"))
    peer.ask("FETCH default")
    before = box.store.commits
    peer.ask('ACK {"jid":"job-00001"}')
    assert box.store.commits == before + 1
    assert box.server.engine.figures()["queues"] == {"default": 0, "q": 1}


def test_a_loop_ends(install: Installer, caplog: pytest.LogCaptureFixture) -> None:
    body = "Follow([NewJob('again', queue='q')] * 20)"
    box = box_of(install, f"class Mine(Plugin):\n    def push(self, job):\n        return {body}\n")
    assert box.connect().ask(push("job-00001")) == b"+OK\r\n"
    assert box.server.engine.figures()["queues"]["q"] == 100
    assert "was not pushed" in caplog.text


def test_a_chain_ends(install: Installer) -> None:
    body = "Follow([NewJob('again', queue='q')])"
    box = box_of(install, f"class Mine(Plugin):\n    def push(self, job):\n        return {body}\n")
    box.connect().ask(push("job-00001"))
    assert box.server.engine.figures()["queues"]["q"] == 3


def test_a_slow_one_is_measured_and_named_once_a_second(install: Installer, caplog: pytest.LogCaptureFixture) -> None:
    install(HEAD + "class Mine(Plugin):\n    def push(self, job):\n        pass\n", mine="Mine")
    times = iter(number * 0.006 for number in range(1000))
    box = Harness(hooks=PluginHost(load_plugins(None, ()), 5, lambda: next(times)).hooks())
    peer = box.connect()
    caplog.set_level(logging.WARNING)
    for number in range(100):
        peer.ask(push(f"job-{number:05}"))
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0].startswith("the plugin mine is slow: push took 6.0 ms")
    assert len(lines) == 2
    assert re.search(r"\d+ more lines like this were left out", lines[1])


def test_several_in_the_order_of_their_names_each_sees_the_last_one(install: Installer) -> None:
    source = HEAD + "class A(Plugin):\n    def push(self, job):\n        return Change(args=[*job.args, '{0}'])\n"
    install(source.replace("{0}", "b"), b="A")
    install(source.replace("{0}", "a"), a="A")
    box = Harness(hooks=PluginHost(load_plugins(None, ()), 5).hooks())
    peer = box.connect()
    peer.ask(push("job-00001"))
    assert peer.ask_json("FETCH default")["args"] == [1, "a", "b"]


def test_which_are_loaded(install: Installer) -> None:
    install(HEAD + "class A(Plugin): pass\nclass B(Plugin): pass\n", a="A", b="B")
    assert [one.name for one in load_plugins(None, ())] == ["a", "b"]
    assert [one.name for one in load_plugins(["b"], ())] == ["b"]
    assert [one.name for one in load_plugins(None, ["b"])] == ["a"]
    assert PluginHost(load_plugins(None, ()), 5).hooks() is None
    with pytest.raises(ConfigError, match=r"plugins.enabled names c, which is not installed; installed are: a, b"):
        load_plugins(["c"], ())


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import no_such_module", "the plugin mine cannot be loaded: ModuleNotFoundError: No module named"),
        ("class Mine:\n    def __init__(self): 1 / 0", "the plugin mine cannot be loaded: ZeroDivisionError"),
        ("class Mine: pass", "does not descend from lineshaft.plugins.Plugin"),
        ("x = 1", "the plugin mine cannot be loaded: AttributeError"),
    ],
)
def test_one_that_cannot_be_loaded_stops_the_start(install: Installer, source: str, said: str) -> None:
    install(source, mine="Mine")
    with pytest.raises(ConfigError, match=re.escape(said)):
        load_plugins(None, ())
    assert load_plugins(None, ["mine"]) == []


def test_without_plugins_nothing_else_is_bound() -> None:
    box = Harness()
    names = {getattr(box.server.engine, verb).__name__ for verb in ("push", "push_bulk", "fetch", "ack")}
    assert names == {"accept", "push_bulk", "fetch", "ack"}
    assert Engine.__init__.__defaults__ == (None,)


def test_the_public_api_needs_nothing_of_the_server() -> None:
    code = (
        "import sys, lineshaft.plugins;"
        "print([m for m in sys.modules if m.startswith(('lineshaft.', 'rocksdict')) and m != 'lineshaft.plugins'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
