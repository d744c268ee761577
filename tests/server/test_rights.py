"""Rights on the job port: the user name of a HELLO selects what a client may do, and on which queues."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import Harness, Peer
from invariants import check_memory, check_store, rows_of
from lineshaft.engine.settings import Periodic, Settings
from lineshaft.protocol.commands import SUBCOMMANDS
from lineshaft.protocol.handshake import password_hash
from lineshaft.schedule import Schedule
from lineshaft.server.commands import COMMANDS
from lineshaft.server.rights import RULES, commands_of
from lineshaft.server.settings import BackupRule, Permission, ServerSettings, User

OK = b"+OK\r\n"
PUSH, WORK, ADMIN = Permission.PUSH, Permission.WORK, Permission.ADMIN
ITERATIONS = 10

USERS = {
    name: User(name, f"{name}-secret", frozenset(may), queues)
    for name, may, queues in [
        ("pusher", [PUSH], ("*",)),
        ("worker", [WORK], ("*",)),
        ("both", [PUSH, WORK], ("*",)),
        ("root", [ADMIN], ("*",)),
        ("mailer", [PUSH, WORK], ("mail.*", "post")),
        ("master", [ADMIN], ("mail.*",)),
    ]
}


def settings(**others: Any) -> ServerSettings:
    wanted = {"users": USERS, "password": "of-all", "password_iterations": ITERATIONS, **others}
    return ServerSettings(**wanted)


def nightly(name: str, queue: str) -> Periodic:
    job = {"jobtype": "T", "queue": queue, "args": []}
    return Periodic(name, Schedule("0 2 * * *", "UTC"), "T", queue, json.dumps(job).encode(), catch_up=False)


class World:
    """A server with users and jobs."""

    def __init__(self, **others: Any) -> None:
        periodic = (nightly("mine", "mail.night"), nightly("theirs", "bills"))
        self.harness = Harness(settings=settings(**others), rules=Settings(periodic=periodic))

    def knock(self, username: str | None, password: str | None, *, v: int = 2, **said: Any) -> tuple[Peer, bytes]:
        """Say HELLO; the peer and what it was answered."""
        peer = self.harness.connect(hello=None)
        asked = json.loads(peer.take().split(b" ", 1)[1])
        hello: dict[str, Any] = {"v": v, **said}
        if username is not None:
            hello["username"] = username
        if password is not None:
            hello["pwdhash"] = password_hash(password, asked["s"], asked["i"] if v == 2 else 1)
        return peer, peer.ask("HELLO " + json.dumps(hello))

    def enter(self, name: str | None, **said: Any) -> Peer:
        peer, answer = self.knock(name, "of-all" if name is None else f"{name}-secret", **said)
        assert answer == OK
        return peer

    def rows(self) -> dict[bytes, bytes]:
        self.harness.advance(0.001)
        return rows_of(self.harness.store)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.harness.advance(0.01)
    check_store(made.harness.store)
    check_memory(made.harness.server.engine)


def job(jid: str, queue: str = "default", **fields: Any) -> str:
    return json.dumps({"jid": jid, "jobtype": "T", "args": [], "queue": queue, **fields})


def test_the_table_has_every_command_and_no_other() -> None:
    assert set(RULES) == {command for verb in COMMANDS for command in commands_of(verb.decode())}
    assert {verb: len(words) for verb, words in SUBCOMMANDS.items()} == {"BATCH": 4, "CRON": 4, "QUEUE": 4, "TRACK": 2}


def test_the_protocol_page_names_the_same_verbs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text("utf-8")
    for command in RULES:
        verb, _, word = command.partition(" ")
        assert re.search(rf"\b{verb}\b", page), command
        assert re.search(rf"\b{word}\b", page), command


#: One command of each kind, about the queue `%s` where it is about one.
SAMPLES = {
    "PUSH": "PUSH " + job("pushed-01", "%s"),
    "PUSHB": "PUSHB [" + job("pushed-02", "%s") + "]",
    "FETCH": "FETCH %s",
    "ACK": 'ACK {"jid":"held-%s"}',
    "FAIL": 'FAIL {"jid":"held-%s"}',
    "REQUEUE": 'REQUEUE {"jid":"held-%s"}',
    "CANCEL": 'CANCEL {"jid":"ready-%s"}',
    "TRACK GET": "TRACK GET held-%s",
    "TRACK SET": 'TRACK SET {"jid":"held-%s","percent":3}',
    "BATCH NEW": 'BATCH NEW {"success":{"jobtype":"C","args":[],"queue":"%s"}}',
    "BATCH OPEN": "BATCH OPEN BID",
    "BATCH COMMIT": "BATCH COMMIT BID",
    "BATCH STATUS": "BATCH STATUS BID",
    "BEAT": 'BEAT {"wid":"w-1"}',
    "INFO": "INFO",
    "FLUSH": "FLUSH",
    "QUEUE PAUSE": "QUEUE PAUSE %s",
    "QUEUE RESUME": "QUEUE RESUME %s",
    "QUEUE REMOVE": "QUEUE REMOVE %s",
    "QUEUE LATENCY": "QUEUE LATENCY %s",
    "MUTATE": 'MUTATE {"cmd":"clear","target":"queue:%s"}',
    "BACKUP": 'BACKUP {"dir":"/nowhere/at/all"}',
    "ADOPT": "ADOPT [{\"job\":" + job("adopted-1", "%s") + "}]",
    "INSPECT": 'INSPECT {"what":"queues","queue":"%s"}',
    "SIGNAL": 'SIGNAL {"wid":"w-0","state":"quiet"}',
    "CRON LIST": "CRON LIST",
    "CRON RUN": "CRON RUN %s",
    "CRON PAUSE": "CRON PAUSE %s",
    "CRON RESUME": "CRON RESUME %s",
    "CLUSTER": "CLUSTER STATUS",
    "END": "END",
}  # fmt: skip

ANYBODY = {"INFO", "END"}
FOR = {
    "pusher": {"PUSH", "PUSHB", "CANCEL", "TRACK GET", "TRACK SET", "BATCH NEW", "BATCH OPEN", "BATCH COMMIT"},
    "worker": {"FETCH", "ACK", "FAIL", "REQUEUE", "BEAT", "TRACK GET", "TRACK SET"},
}
FOR["pusher"] |= ANYBODY | {"BATCH STATUS", "QUEUE LATENCY"}
FOR["worker"] |= ANYBODY | {"BATCH STATUS", "QUEUE LATENCY"}
FOR["both"] = FOR["pusher"] | FOR["worker"]
FOR["root"] = set(RULES)


def stock(world: World) -> str:
    """Held and waiting jobs in two queues, a batch; returns its bid."""
    peer = world.enter(None, wid="w-0")
    for queue in ("mail.out", "bills"):
        for kind in ("held", "ready"):
            assert peer.ask("PUSH " + job(f"{kind}-{queue}", queue, custom={"track": 1})) == OK
        assert peer.ask(f"FETCH {queue}").startswith(b"$")
    bid = peer.ask('BATCH NEW {"success":{"jobtype":"C","args":[],"queue":"calls"}}').split(b"\r\n")[1].decode()
    world.harness.advance(0.001)
    return bid


def is_refused(reply: bytes, name: str) -> bool:
    return reply.startswith(f"-ERR user {name} may not ".encode())


def test_there_is_a_sample_of_each() -> None:
    assert set(SAMPLES) == set(RULES)


@pytest.mark.parametrize("name", FOR)
def test_who_may_give_which_command(name: str) -> None:
    for command, sample in SAMPLES.items():
        world = World(backups=BackupRule(anywhere=True))
        bid = stock(world)
        peer, before = world.enter(name, wid="w-1"), world.rows()
        subject = "mine" if command.startswith("CRON") else "mail.out"
        reply = peer.ask(sample.replace("%s", subject).replace("BID", bid))
        assert is_refused(reply, name) == (command not in FOR[name]), (command, reply)
        if command not in FOR[name]:
            assert world.rows() == before, command
            assert not peer.closed
            assert peer.ask("INFO").startswith(b"$")


#: What a command about another's queue is told, where it is not about all queues.
OTHERS = "may not use the queue bills"


@pytest.mark.parametrize("command", [name for name, rule in RULES.items() if rule.needs])
def test_which_queues(command: str) -> None:
    of_queues = {"mailer": FOR["both"] - ANYBODY, "master": set(RULES) - ANYBODY}
    #: These concern no queue, or all.
    alike = {"BATCH OPEN", "BATCH COMMIT", "BATCH STATUS", "BEAT"}
    whole = {"FLUSH", "BACKUP", "ADOPT", "SIGNAL", "CRON LIST", "CLUSTER"}
    for name, given in of_queues.items():
        if command not in given:
            continue
        for subject, theirs in (("mail.out", False), ("bills", True)):
            world = World(backups=BackupRule(anywhere=True))
            bid = stock(world)
            peer, before = world.enter(name, wid="w-1"), world.rows()
            asked = ("theirs" if theirs else "mine") if command.startswith("CRON") else subject
            reply = peer.ask(SAMPLES[command].replace("%s", asked).replace("BID", bid))
            refused = command in whole or (theirs and command not in alike)
            said = b"but for queues of its own" if command in whole else OTHERS.encode()
            assert (said in reply) == refused, (name, command, subject, reply)
            assert not refused or world.rows() == before


@pytest.mark.parametrize(
    "line",
    [
        "FETCH mail.out bills",
        "FETCH mail.out:3 bills:1",
        "PUSH " + json.dumps({"jid": "pushed-01", "jobtype": "T", "args": []}),
        "PUSH " + json.dumps({"jid": "pushed-01", "jobtype": "T", "args": [], "QUEUE": "bills"}),
        'BATCH NEW {"complete":{"jobtype":"C","args":[],"queue":"mail.x"},"success":{"jobtype":"C","args":[]}}',
        'BATCH NEW {"death":{"jobtype":"C","args":[],"queue":"bills"}}',
        "QUEUE PAUSE mail.out bills",
        "QUEUE PAU\u017fE bills",
        "QUEUE REMOVE *",
        'MUTATE {"cmd":"clear","target":"scheduled"}',
        'MUTATE {"cmd":"clear","target":"scheduled","filter":{"queue":"bills"}}',
        'MUTATE {"cmd":"clear","target":"scheduled","filter":{"queue":"mail.a","jids":["later-0001"]}}',
        'INSPECT {"what":"job","jid":"ready-bills","queue":"mail.out"}',
        'INSPECT {"what":"workers","queue":"mail.out"}',
    ],
)
def test_all_queues_must_be_allowed(world: World, line: str) -> None:
    stock(world)
    peers = world.enter("mailer", wid="w-1"), world.enter("master", wid="w-2")
    before = world.rows()
    for peer in peers:
        assert b" may not " in peer.ask(line)
    assert world.rows() == before


def test_what_is_one_s_own_goes_through(world: World) -> None:
    stock(world)
    master = world.enter("master", wid="w-2")
    master.ask("PUSH " + job("later-0001", "mail.a", at="2096-01-01T00:00:00Z"))
    master.ask("PUSH " + job("fetched-1", "post"))
    assert b"may not use the queue post" in master.ask("FETCH post")
    assert master.ask('MUTATE {"cmd":"kill","target":"scheduled","filter":{"queue":"mail.a"}}') == OK
    assert world.enter(None).ask_json("INFO")["faktory"]["sets"]["dead"] == 1
    mailer = world.enter("mailer", wid="w-1")
    assert mailer.ask("PUSH " + job("fetched-1", "post")) == OK
    assert mailer.ask_json("FETCH mail.in post")["jid"] == "fetched-1"
    assert mailer.ask_json("FETCH mail.in mail.out")["jid"] == "ready-mail.out"
    assert mailer.ask('ACK {"jid":"fetched-1"}') == OK
    # What is not there belongs to nobody: each gets the answer that it gets everywhere.
    assert mailer.ask('ACK {"jid":"never-was"}') == OK
    assert mailer.ask('FAIL {"jid":"never-was"}') == b"-ERR Job not found never-was\r\n"


def test_a_fetch_of_others_queues_waits_for_nothing(world: World) -> None:
    peer = world.enter("mailer")
    assert is_refused(peer.ask("FETCH bills"), "mailer")
    assert peer.ask("INFO").startswith(b"$")
    assert peer.ask("FETCH mail.out") == b""
    world.enter(None).ask("PUSH " + job("waited-01", "mail.out"))
    assert b"waited-01" in peer.take()


def test_in_a_bulk_the_jobs_of_others_are_told_of_and_the_rest_go_in(world: World) -> None:
    peer = world.enter("mailer")
    line = "PUSHB [" + ",".join([job("bulk-0001", "mail.out"), job("bulk-0002", "bills"), job("short", "post")]) + "]"
    assert peer.ask_json(line) == {
        "bulk-0002": "user mailer may not use the queue bills",
        "short": "jobs must have a reasonable jid parameter",
    }
    queues = world.enter(None).ask_json("INFO")["faktory"]["queues"]
    assert (queues["mail.out"], "bills" in queues) == (1, False)


def test_a_worker_is_of_the_user_that_it_came_with(world: World) -> None:
    peer = world.enter("worker", wid="w-1")
    assert peer.ask('BEAT {"wid":"w-1"}') == OK
    assert b"is not that of this connection" in peer.ask('BEAT {"wid":"w-2","current_state":"terminate"}')
    _, answer = world.knock("both", "both-secret", wid="w-1")
    assert answer == b"-ERR the wid w-1 is that of another user's worker\r\n"
    assert world.enter("worker", wid="w-1").ask('BEAT {"wid":"w-1"}') == OK
    peer.leave()


def test_who_is_turned_away(world: World) -> None:
    told = set()
    for name, password in [
        ("pusher", "worker-secret"),
        ("pusher", "of-all"),
        ("pusher", None),
        ("nobody", "of-all"),
        ("nobody", ""),
        ("nobody", "nobody has this password"),
        (None, "pusher-secret"),
        (None, None),
        ("", "pusher-secret"),
    ]:
        peer, answer = world.knock(name, password)
        assert peer.closed, (name, password)
        told.add(answer)
    assert told == {b"-ERR Invalid password\r\n"}


def test_the_password_of_all_opens_everything(world: World) -> None:
    for name in (None, ""):
        peer, answer = world.knock(name, "of-all")
        assert answer == OK
        assert peer.ask("FLUSH") == OK


def test_a_client_of_version_1_hashes_once(world: World) -> None:
    peer, answer = world.knock("pusher", "pusher-secret", v=1)
    assert answer == OK
    assert is_refused(peer.ask("FLUSH"), "pusher")


def test_without_a_password_of_all_everybody_needs_a_name() -> None:
    world = World(password=None)
    assert world.knock(None, "")[1] == world.knock("", None)[1] == b"-ERR Invalid password\r\n"
    assert world.enter("pusher").ask("PUSH " + job("pushed-01")) == OK


def test_without_users_a_name_means_nothing() -> None:
    world = World(users={})
    peer, answer = world.knock("whoever", "of-all")
    assert answer == OK
    assert peer.ask("FLUSH") == OK


def test_a_reload_reaches_who_is_connected(world: World) -> None:
    gone, changed, same, new_password = (world.enter(name) for name in ("pusher", "mailer", "worker", "both"))
    every = world.enter(None)
    changed.ask("FETCH mail.out")
    world.harness.advance(2.1)
    assert changed.take() == b"$-1\r\n"
    users = {name: user for name, user in USERS.items() if name != "pusher"}
    users["mailer"] = User("mailer", "mailer-secret", frozenset({PUSH, WORK}), ("post",))
    users["both"] = User("both", "another", frozenset({PUSH, WORK}))
    world.harness.server.apply(settings(users=users))
    world.harness.settle()
    assert (gone.closed, changed.closed, same.closed, new_password.closed) == (True, False, False, True)
    assert b"may not use the queue mail.out" in changed.ask("FETCH mail.out")
    assert changed.ask("PUSH " + job("pushed-01", "post")) == OK
    assert is_refused(same.ask("PUSH " + job("pushed-02")), "worker")
    assert every.ask("PUSH " + job("pushed-03")) == OK
    assert world.knock("pusher", "pusher-secret")[1] == b"-ERR Invalid password\r\n"


def test_the_rights_outlast_a_time_in_which_everything_is_refused(world: World) -> None:
    peer = world.enter("pusher")
    world.harness.server.refuse_all(True)
    assert peer.ask("PUSH " + job("pushed-01")).startswith(b"-ERR ")
    world.harness.server.refuse_all(False)
    assert peer.ask("PUSH " + job("pushed-01")) == OK
    assert is_refused(peer.ask("FLUSH"), "pusher")


def test_who_may_use_every_queue_pays_nothing() -> None:
    peer = World().enter("both")
    assert peer.session is not None
    for verb in (b"PUSH", b"PUSHB", b"FETCH", b"ACK", b"FAIL", b"INFO"):
        assert peer.session.verbs[verb] is COMMANDS[verb]
    plain = Harness().connect()
    assert plain.session is not None
    assert plain.session.verbs is COMMANDS
