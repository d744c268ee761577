"""What clients should not send: each gets a clear error or a closed connection, for its sender alone."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness import Harness, Peer
from invariants import check_memory, check_store, rows_of
from lineshaft.server.session import ALL_TURN_BYTES, BACKLOG_BYTES, TURN_BYTES
from lineshaft.server.settings import ServerSettings

OK = b"+OK\r\n"


def job(jid: str, **fields: object) -> str:
    return json.dumps({"jid": jid, "jobtype": "T", "args": [], **fields})


def cut_replies(data: bytes) -> list[bytes]:
    """The replies in `data`, which must be nothing but complete ones."""
    replies = []
    while data:
        head, end, rest = data.partition(b"\r\n")
        assert end, data[:200]
        assert head[:1] in {b"+", b"-", b"$"}, data[:200]
        size = int(head[1:]) + 2 if head[:1] == b"$" and head != b"$-1" else 0
        assert rest[:size].endswith(b"\r\n") or not size
        replies.append(head + end + rest[:size])
        data = rest[size:]
    return replies


class World:
    """A server with something in it, a peer that misbehaves, and one that must not notice."""

    def __init__(self, **limits: Any) -> None:
        self.harness = Harness(settings=ServerSettings(**limits))
        self.bystander = self.harness.worker("bystander")
        self.bystander.ask("PUSH " + job("ready-001", queue="calm"))
        self.bystander.ask("PUSH " + job("ready-002", queue="calm"))
        self.bystander.ask("FETCH calm")
        self.peer = self.harness.worker("peer-0001")
        self.peer.ask("PUSH " + job("held-0001"))
        self.peer.ask("FETCH default")
        self.harness.advance(0.001)
        self.rows = rows_of(self.harness.store)

    def refused(self, line: str | bytes) -> bytes:
        """Send what is to be refused; returns the text. Nothing may have moved, and the connection goes on."""
        reply = self.peer.ask(line)
        assert reply[:5] == b"-ERR ", reply[:300]
        assert reply.count(b"\n") == 1
        assert reply.endswith(b"\r\n")
        assert len(reply) < 1100
        assert b"internal error" not in reply
        assert rows_of(self.harness.store) == self.rows
        assert not self.peer.closed
        return reply[5:-2]

    def check_others(self) -> None:
        """The other client works as ever."""
        assert self.bystander.take() == b""
        name = "calm-too"
        assert self.bystander.ask("PUSH " + job("bystander-1", queue=name)) == OK
        assert self.bystander.ask_json(f"FETCH {name}")["jid"] == "bystander-1"
        assert self.bystander.ask('ACK {"jid":"bystander-1"}') == OK
        check_store(self.harness.store)
        check_memory(self.harness.server.engine)


SAMPLES: dict[str, list[str]] = {
    "null": ["null"],
    "bool": ["true"],
    "int": ["7", "-1", "0"],
    "huge": ["123456789012345678901234567890", "1e999", "-1e30"],
    "float": ["1.5"],
    "str": ['"x"', '""', '"\\u0000"'],
    "list": ["[]", "[null]", "[[1]]"],
    "dict": ["{}", '{"a":1}'],
}

#: Which kinds each field may have; everything else must be refused. "any" may be anything at all.
FIELDS: dict[str, dict[str, set[str]]] = {
    'PUSH {"jid":"pushed-01","jobtype":"T","args":[]}': {
        "jid": {"str"},
        "jobtype": {"str"},
        "args": {"list"},
        "queue": {"str", "null"},
        "at": {"str", "null"},
        "retry": {"int", "null"},
        "reserve_for": {"int", "null"},
        "backtrace": {"int", "null"},
        "created_at": {"str", "null"},
        "custom": {"dict", "null"},
        "priority": {"any"},
        "enqueued_at": {"any"},
        "failure": {"any"},
        "blargh": {"any"},
    },
    'FAIL {"jid":"held-0001"}': {
        "jid": {"str"},
        "errtype": {"str", "null"},
        "message": {"str", "null"},
        "backtrace": {"list", "null"},
        "blargh": {"any"},
    },
    'ACK {"jid":"held-0001"}': {"jid": {"str"}, "blargh": {"any"}},
    'BEAT {"wid":"peer-0001"}': {
        "wid": {"str"},
        "rss_kb": {"int", "null"},
        "current_state": {"str", "null"},
        "blargh": {"any"},
    },
    'MUTATE {"cmd":"kill","target":"scheduled"}': {
        "cmd": {"str"},
        "target": {"str"},
        "filter": {"dict", "null"},
        "blargh": {"any"},
    },
    'MUTATE {"cmd":"kill","target":"scheduled","filter":{}}': {
        "filter.jids": {"list", "null"},
        "filter.jobtype": {"str", "null"},
        "filter.regexp": {"str", "null"},
        "filter.blargh": set(),
    },
}
CASES = [(line, field, kinds) for line, fields in FIELDS.items() for field, kinds in fields.items()]


def with_field(line: str, field: str, value: str) -> str:
    """The same command with one field set to a piece of JSON, which Python's own encoder could not all write."""
    verb, _, argument = line.partition(" ")
    message = json.loads(argument)
    *outer, name = field.split(".")
    inner = message[outer[0]] if outer else message
    inner[name] = "@value@"
    return f"{verb} {json.dumps(message)}".replace('"@value@"', value)


@pytest.mark.parametrize(("line", "field", "kinds"), CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_every_type_for_every_field(line: str, field: str, kinds: set[str]) -> None:
    for kind, values in SAMPLES.items():
        for value in values:
            world = World()
            sent = with_field(line, field, value)
            if kind in kinds or "any" in kinds:
                (reply,) = cut_replies(world.peer.ask(sent))
                assert b"internal error" not in reply, sent
                assert not world.peer.closed
            else:
                world.refused(sent)
        world.check_others()


@pytest.mark.parametrize("verb", ["PUSH", "PUSHB", "ACK", "FAIL", "BEAT", "MUTATE"])
@pytest.mark.parametrize(
    "argument",
    [
        b"",
        b" ",
        b"{",
        b"}",
        b"[",
        b"nonsense",
        b'{"jid":"held-0001"} {"jid":"held-0001"}',
        b'{"jid":"held-0001",}',
        b"{'jid':'held-0001'}",
        b'{"jid":"held-0001\xff"}',
        b'{"jid":"held-0001\xed\xa0\x80"}',
        b'{"jid":"\\ud800held-0001"}',
        b'{"jid":"held-0001\x00"}',
        b'{"jid":"held-0001","x":"\xc3\x28"}',
        b'{"jid":"held-0001","x":NaN}',
        b'{"jid":"held-0001","x":Infinity}',
        b'{"jid":"held-0001","x":01}',
        b'{"jid":"held-0001","x":.5}',
        b'{"jid":"held-0001","x":"\\x41"}',
        b'\xef\xbb\xbf{"jid":"held-0001"}',
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"jid":"held-0001","args":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b"123",
        b"null",
        b'"held-0001"',
    ],
    ids=lambda argument: repr(argument[:24]),
)
def test_what_is_no_message(verb: str, argument: bytes) -> None:
    world = World()
    text = world.refused(verb.encode() + b" " + argument)
    known = (b"invalid JSON: ", b"invalid FAIL ", b"invalid format", b"jobs must ", b"missing JID", b"unknown worker ")
    assert text.startswith((*known, b"unknown mutate operation", b"invalid target")), text
    world.check_others()


@pytest.mark.parametrize("verb", ["PUSH", "PUSHB"])
@pytest.mark.parametrize("depth", [50, 150, 300, 600, 900, 950, 990, 1100])
def test_what_is_accepted_can_be_worked_with(verb: str, depth: int) -> None:
    """However deeply a job is nested: it is refused at once, or every later step can read it."""
    world = World()
    nested = "[" * depth + "]" * depth
    line = f'{{"jid":"nested-01","jobtype":"T","args":{nested},"custom":{{"x":{nested}}}}}'
    reply = world.peer.ask(f"PUSHB [{line}]" if verb == "PUSHB" else f"PUSH {line}")
    if reply.startswith(b"-"):
        assert reply == b"-ERR invalid JSON: too deeply nested\r\n"
        assert rows_of(world.harness.store) == world.rows
        assert depth > 200
        return
    assert b"nested-01" in world.peer.ask("FETCH default")
    assert world.peer.ask('FAIL {"jid":"nested-01"}') == OK
    assert world.peer.ask('MUTATE {"cmd":"kill","target":"retries","filter":{"regexp":"*nested-01*"}}') == OK
    assert world.peer.ask('MUTATE {"cmd":"requeue","target":"dead","filter":{"regexp":"*T*"}}') == OK
    world.peer.ask_json("QUEUE LATENCY default")
    assert b"nested-01" in world.peer.ask("FETCH default")
    assert world.peer.ask('ACK {"jid":"nested-01"}') == OK
    world.check_others()


@pytest.mark.parametrize(
    "jid",
    [
        "a" * 8,
        "a" * 512,
        "\U0001f600" * 512,
        "\0" * 8,
        "with\nline\r\nends",
        'quo"te\\back',
        "-ERR fake",
        "12345678 trailing",
        "ﬁligature",
        "\x7f\x80\u2028\uffff" * 2,
    ],
    ids=lambda jid: repr(jid[:12]),
)
def test_absurd_jids_work(jid: str) -> None:
    world = World()
    name = json.dumps(jid)
    assert world.peer.ask("PUSH " + job(jid)) == OK
    assert world.peer.ask_json("FETCH default")["jid"] == jid
    assert world.peer.ask(f'FAIL {{"jid":{name}}}') == OK
    assert world.peer.ask(f'MUTATE {{"cmd":"requeue","target":"retries","filter":{{"jids":[{name}]}}}}') == OK
    assert world.peer.ask_json("FETCH default")["jid"] == jid
    assert world.peer.ask(f'ACK {{"jid":{name}}}') == OK
    assert len(cut_replies(world.peer.ask(f'FAIL {{"jid":{name}}}'))) == 1, "quoted in an error, it is still one line"
    world.check_others()


@pytest.mark.parametrize("jid", ["", "a" * 7, "a" * 513, "a" * 100_000])
def test_jids_that_cannot_be(jid: str) -> None:
    world = World()
    assert world.refused("PUSH " + job(jid)) == b"jobs must have a reasonable jid parameter"
    (reply,) = cut_replies(world.peer.ask(f"PUSHB [{job(jid)}]"))
    assert b"jobs must have a reasonable jid parameter" in reply
    for line in (f'ACK {{"jid":"{jid}"}}', f'FAIL {{"jid":"{jid}"}}'):
        assert b"internal error" not in world.peer.ask(line)
    assert rows_of(world.harness.store) == world.rows
    world.check_others()


@pytest.mark.parametrize(
    "queue", ["a b", "a/b", "a:1", "*", "späti", "a" * 256, "a\0b", "a\nb", "a\n", "\u0660", ".." + "é"], ids=repr
)
def test_queue_names_that_cannot_be(queue: str) -> None:
    world = World()
    assert world.refused("PUSH " + job("pushed-01", queue=queue)).startswith(b"queue names must match ")
    if not set(queue) & set(" \n\0*"):
        for subcommand in ("PAUSE", "RESUME", "REMOVE", "LATENCY"):
            assert world.refused(f"QUEUE {subcommand} {queue}").startswith(b"queue names must match ")
            assert world.refused(f"QUEUE {subcommand} calm {queue}").startswith(b"queue names must match ")
    world.check_others()


def test_names_that_are_too_many_too_long_or_no_text() -> None:
    world = World()
    assert world.refused("FETCH " + " ".join(f"q{number}" for number in range(1001))).startswith(b"too many queue")
    assert world.refused("FETCH " + "q" * 1001).startswith(b"invalid queue name")
    assert world.refused(b"FETCH \xff\xfe").startswith(b"invalid queue name")
    assert world.refused(b"QUEUE PAUSE \xff").startswith(b"invalid queue name")
    assert world.refused(b"QUEUE \xff calm").startswith(b"no such QUEUE subcommand")
    assert world.refused("QUEUE " + "x" * 100_000 + " calm").startswith(b"no such QUEUE subcommand")
    assert world.peer.ask("FETCH " + " ".join(f"q{number}" for number in range(1000))) == b""
    world.harness.advance(2)
    assert world.peer.take() == b"$-1\r\n"
    world.check_others()


def test_a_queue_name_may_be_as_long_as_the_keys_allow() -> None:
    world = World()
    name = "a" * 255
    assert world.peer.ask("PUSH " + job("pushed-01", queue=name)) == OK
    assert world.peer.ask_json("FETCH " + name)["queue"] == name
    world.check_others()


@pytest.mark.parametrize(
    "at", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1969-12-31T23:59:59Z"]
)
def test_instants_at_the_edge(at: str) -> None:
    world = World()
    assert world.peer.ask("PUSH " + job("pushed-01", at=at)) == OK
    assert world.peer.ask('MUTATE {"cmd":"requeue","target":"scheduled"}') == OK
    assert world.peer.ask_json("FETCH default")["at"] == at
    assert world.peer.ask('ACK {"jid":"pushed-01"}') == OK
    world.check_others()


@pytest.mark.parametrize(
    "at", ["10000-01-01T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-01", "now", "1764000000", "2026-01-01T00:00:00.Z"]
)
def test_instants_that_are_none(at: str) -> None:
    assert World().refused("PUSH " + job("pushed-01", at=at)).startswith(b"invalid timestamp for 'at': ")


@pytest.mark.parametrize("chunk", [1 << 16, 1 << 18, 1 << 25])
def test_a_line_of_twenty_megabytes(chunk: int) -> None:
    world = World()
    line = b'PUSH {"jid":"pushed-01","jobtype":"T","args":["' + b"x" * 20_000_000 + b'"]}\r\n'
    assert world.peer.session is not None
    for at in range(0, len(line), chunk):
        if not world.peer.closed:
            world.peer.send(line[at : at + chunk])
            assert world.peer.session.lines.pending_bytes <= 16 << 20
    assert world.peer.take() == b"-ERR line too long: the limit is 16777216 bytes\r\n"
    assert world.peer.closed
    assert rows_of(world.harness.store) == world.rows
    world.check_others()


def test_a_line_of_ten_megabytes_is_a_job_like_any_other() -> None:
    world = World()
    text = "x" * 10_000_000
    assert world.peer.ask("PUSH " + job("pushed-01", args=[text])) == OK
    assert world.peer.ask_json("FETCH default")["args"] == [text]
    assert world.peer.ask('FAIL {"jid":"pushed-01","message":"' + "m" * 1_000_000 + '"}') == OK
    assert world.peer.ask('MUTATE {"cmd":"requeue","target":"retries"}') == OK
    assert len(world.peer.ask_json("FETCH default")["failure"]["message"]) == 1000
    world.check_others()


def test_a_failure_is_trimmed() -> None:
    world = World()
    lines = [f"line {number} " + "x" * 2000 for number in range(200)]
    failure = {"jid": "held-0001", "errtype": "E" * 500, "message": "é" * 5000, "backtrace": lines}
    assert world.peer.ask("FAIL " + json.dumps(failure)) == OK
    assert world.peer.ask('MUTATE {"cmd":"requeue","target":"retries"}') == OK
    kept = world.peer.ask_json("FETCH default")["failure"]
    assert kept["errtype"] == "E" * 100
    assert kept["message"] == "é" * 1000
    assert kept["backtrace"] == [line[:1000] for line in lines[:50]]


@pytest.mark.parametrize(
    "regexp", ["[z-a]", "[", "[]", "[^]", "[a--b]", "[[a]", "\\", "(?!", "*" * 900, "[\\]]", "?" * 32]
)
def test_globs_that_are_odd(regexp: str) -> None:
    world = World()
    assert world.peer.ask("PUSH " + job("later-001", at="2096-01-01T00:00:00Z")) == OK
    command = {"cmd": "discard", "target": "scheduled", "filter": {"regexp": regexp}}
    assert world.peer.ask("MUTATE " + json.dumps(command)) == OK
    world.check_others()


def test_a_glob_with_too_many_wildcards() -> None:
    world = World()
    for regexp in ("*" + "[ab]?" * 150 + "c*", "*" + "?" * 990 + "c*"):
        command = {"cmd": "discard", "target": "scheduled", "filter": {"regexp": regexp}}
        assert world.refused("MUTATE " + json.dumps(command)).startswith(b"invalid format")


def test_a_filter_with_too_many_jids() -> None:
    world = World()
    command = {"cmd": "discard", "target": "dead", "filter": {"jids": [f"jid-{n:08d}" for n in range(10_001)]}}
    assert world.refused("MUTATE " + json.dumps(command)).startswith(b"invalid format")


def test_a_pushb_of_too_many_jobs_changes_nothing() -> None:
    world = World()
    jobs = [{"jid": f"jid-{n:08d}", "jobtype": "T", "args": []} for n in range(10_001)]
    assert world.refused("PUSHB " + json.dumps(jobs)).startswith(b"too many jobs")


def test_a_long_line_before_the_handshake_is_not_held() -> None:
    world = World()
    peer = world.harness.connect(hello=None)
    peer.take()
    peer.send(b'HELLO {"v":2,"x":"' + b"a" * 100_000)
    assert peer.closed
    world.check_others()


def test_unfinished_lines_are_bounded_over_all_sessions() -> None:
    world = World(unfinished_bytes=1_000_000)
    peers = [world.harness.connect() for _ in range(12)]
    for peer in peers:
        peer.send(b'PUSH {"jid":"' + b"a" * 100_000)
    assert 9 <= sum(not peer.closed for peer in peers) <= 10
    assert peers[-1].received.startswith(b"-ERR the server holds too many unfinished lines")
    assert world.harness.server.unfinished <= 1_000_000
    for peer in peers:
        peer.close()
    assert world.harness.server.unfinished == 0
    world.check_others()


def test_a_glob_that_is_too_long() -> None:
    world = World()
    command = {"cmd": "discard", "target": "scheduled", "filter": {"regexp": "a" * 1001}}
    assert world.refused("MUTATE " + json.dumps(command)).startswith(b"invalid format")


# Memory.


def backlog_bytes(peer: Peer) -> int:
    assert peer.session is not None
    return sum(map(len, peer.session.backlog)) + len(peer.session.backlog)


@pytest.mark.parametrize("line", [b"\n", b"INFO\r\n", b"FETCH nothing\r\n", b"x" * 1000 + b"\n", b"no line's end"])
def test_one_that_sends_on_while_it_is_parked(line: bytes) -> None:
    world = World()
    peer, chunk = world.peer, line * (10_000 // len(line))
    for _ in range(5):
        peer.send(b"\nFETCH nothing\r\n")
        for _ in range(100):
            if peer.reading:
                peer.send(chunk)
        assert not peer.reading
        assert peer.session is not None
        assert backlog_bytes(peer) + peer.session.lines.pending_bytes <= BACKLOG_BYTES + len(chunk)
        world.harness.advance(2)
    world.check_others()


def test_thousands_of_commands_behind_a_parked_fetch() -> None:
    world = World()
    commands = [b"FETCH nothing", *(b"X%d" % number for number in range(5000)), b'PUSH {"jid":"x"}', b"FETCH calm"]
    world.peer.send(b"\r\n".join(commands) + b"\r\n")
    assert world.peer.take() == b""
    world.check_others()
    world.harness.advance(2)
    replies = cut_replies(world.peer.take())
    assert replies[0] == b"$-1\r\n"
    assert replies[1:5001] == [b"-ERR unknown command X%d\r\n" % number for number in range(5000)]
    assert replies[5001] == b"-ERR jobs must have a reasonable jid parameter\r\n"
    assert b"ready-002" in replies[5002]
    assert len(replies) == 5003
    assert world.peer.reading


class Deaf(Peer):
    """A client that reads nothing; its transport says so beyond a high-water mark, as asyncio's do."""

    HIGH_WATER = 256 << 10

    def __init__(self, harness: Harness) -> None:
        super().__init__(harness)
        self.paused = False
        self.session = harness.server.accept(self)
        assert self.ask('HELLO {"v":2}').endswith(OK)

    def write(self, data: bytes) -> None:
        super().write(data)
        if len(self.received) > self.HIGH_WATER and not self.paused:
            self.paused = True
            assert self.session is not None
            self.session.pause_writing()

    def read(self) -> bytes:
        data = self.take()
        if self.paused:
            self.paused = False
            assert self.session is not None
            self.session.resume_writing()
            self.harness.settle()
        return data


@pytest.mark.parametrize("command", [b"INFO", b"FETCH big", b"NONSENSE" * 4])
def test_one_that_never_reads(command: bytes) -> None:
    world = World()
    big = "x" * 100_000
    for number in range(60):
        assert world.bystander.ask("PUSH " + job(f"big-00{number:02}", queue="big", args=[big])) == OK
    deaf, sent = Deaf(world.harness), 0
    most, chunk = Deaf.HIGH_WATER + 2 * TURN_BYTES, 10_000 // len(command)
    for _ in range(300):
        if deaf.reading:
            deaf.send((command + b"\r\n") * chunk)
            sent += chunk
        assert len(deaf.received) <= most
        assert backlog_bytes(deaf) <= BACKLOG_BYTES + chunk * (len(command) + 2)
    assert not deaf.reading, "its bytes wait in its own socket"
    if command == b"FETCH big":
        working = world.bystander.ask_json("INFO")["faktory"]["sets"]["working"]
        assert working <= 2 + (most // 100_000), "jobs are not fetched for one that does not take them"
    # When it reads at last, each command has its reply.
    replies: list[bytes] = []
    while data := deaf.read():
        replies += cut_replies(data)
    if command == b"FETCH big":
        assert len(replies) == 60, "the next one found nothing, and waits"
    else:
        assert len(replies) == sent
    world.check_others()


def test_many_that_ask_for_much_at_once_share_a_turn() -> None:
    world, peers, each = World(), 60, 10
    for number in range(peers * each):
        push = job(f"big-{number:04}", queue="big", args=["x" * 100_000])
        assert world.bystander.ask("PUSH " + push) == OK
    many = [world.harness.worker(f"hungry-{number:02}") for number in range(peers)]
    for peer in many:
        assert peer.session is not None
        peer.session.receive(b"FETCH big\r\n" * each)
    longest = before = 0
    while world.harness.callbacks:
        world.harness.callbacks.pop(0)()
        now = sum(len(peer.received) for peer in many)
        longest, before = max(longest, now - before), now
    assert longest <= ALL_TURN_BYTES + (peers + 1) * 101_000, "one each, and not ten"
    assert [len(cut_replies(peer.take())) for peer in many] == [each] * peers
    world.check_others()


def test_one_that_never_reads_and_goes_leaves_no_job_behind() -> None:
    world = World()
    big = "x" * 100_000
    for number in range(30):
        assert world.bystander.ask("PUSH " + job(f"big-00{number:02}", queue="big", args=[big])) == OK
    deaf = Deaf(world.harness)
    deaf.send(b"FETCH big\r\n" * 100)
    deaf.leave()
    figures = world.bystander.ask_json("INFO")["faktory"]
    assert figures["queues"]["big"] + figures["sets"]["working"] == 30 + 2
    world.check_others()


# Anything at all.

NAMES = st.sampled_from(
    [
        "jid",
        "jobtype",
        "args",
        "queue",
        "at",
        "retry",
        "reserve_for",
        "backtrace",
        "custom",
        "priority",
        "created_at",
        "errtype",
        "errType",
        "message",
        "wid",
        "rss_kb",
        "current_state",
        "cmd",
        "target",
        "filter",
        "jids",
        "regexp",
        "v",
        "pid",
        "labels",
        "JID",
        "failure",
        "enqueued_at",
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.sampled_from(
        [
            "abcdefgh",
            "ijklmnop",
            "default",
            "q",
            "*",
            "kill",
            "discard",
            "requeue",
            "clear",
            "scheduled",
            "retries",
            "dead",
            "queue:default",
            "peer-0001",
            "quiet",
            "running",
            "2096-01-01T00:00:00Z",
            "",
            "*[a-z]*",
            "[z-a]",
        ]
    ),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=8
)
JOBS = st.fixed_dictionaries(
    {"jid": st.sampled_from(["abcdefgh", "ijklmnop", "qrstuvwx"]), "jobtype": st.just("T"), "args": st.just([1])},
    optional={
        "queue": st.sampled_from(["default", "q", "r"]),
        "retry": st.integers(-1, 2),
        "at": st.sampled_from(["2096-01-01T00:00:00Z", "2001-01-01T00:00:00Z"]),
        "priority": VALUES,
        "custom": st.dictionaries(NAMES, VALUES, max_size=3),
        "reserve_for": st.integers(-1, 90_000),
    },
)
VERBS = st.sampled_from(
    [
        "PUSH",
        "PUSHB",
        "FETCH",
        "ACK",
        "FAIL",
        "BEAT",
        "INFO",
        "FLUSH",
        "QUEUE",
        "MUTATE",
        "BATCH",
        "TRACK",
        "REQUEUE",
        "HELLO",
    ]
)
MUTATES = st.fixed_dictionaries(
    {
        "cmd": st.sampled_from(["kill", "discard", "requeue", "clear"]),
        "target": st.sampled_from(["scheduled", "retries", "dead", "queue:default", "queue:q"]),
    },
    optional={"filter": st.fixed_dictionaries({}, optional={"jids": VALUES, "jobtype": VALUES, "regexp": VALUES})},
)


def encoded(verb: str, value: Any) -> bytes:
    return f"{verb} {json.dumps(value)}".encode()


LINES = st.one_of(
    st.binary(max_size=40).filter(lambda data: not data.startswith(b"END")),
    st.builds(lambda verb, rest: verb.encode() + b" " + rest, VERBS, st.binary(max_size=20)),
    st.builds(encoded, VERBS, VALUES),
    st.builds(encoded, VERBS, st.dictionaries(NAMES, VALUES, max_size=6)),
    st.builds(encoded, st.just("PUSH"), JOBS),
    st.builds(encoded, st.just("PUSHB"), st.lists(JOBS, max_size=3)),
    st.builds(encoded, st.just("MUTATE"), MUTATES),
    st.builds(encoded, st.sampled_from(["ACK", "FAIL"]), st.fixed_dictionaries({"jid": st.just("abcdefgh")})),
    st.sampled_from([b"FETCH default q", b"FETCH r", b"INFO", b"QUEUE PAUSE *", b"QUEUE RESUME *", b"QUEUE REMOVE q"]),
    st.sampled_from([b"QUEUE LATENCY default q", b"FETCH", b"FETCH *", b"", b" ", b"QUEUE PAUSE default", b"FLUSH"]),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(LINES, min_size=1, max_size=25))
def test_anything_at_all(lines: list[bytes]) -> None:
    """Whatever a client sends: each line has one reply, none of them an error of ours, and the store stays whole."""
    harness = Harness()
    peer, other = harness.worker("peer-0001"), harness.worker("peer-0002")
    received = b""
    for line in lines:
        peer.send(line.replace(b"\n", b" ").removesuffix(b"\r") + b"\r\n")
        if not peer.received:
            harness.advance(2.001)
        received += peer.take()
        assert other.ask('BEAT {"wid":"peer-0002"}') == OK
    replies = cut_replies(received)
    assert len(replies) == len(lines)
    assert not [reply for reply in replies if b"internal error" in reply]
    assert not peer.closed
    assert other.ask("PUSH " + job("bystander-1", queue="calm")) == OK
    assert other.ask("QUEUE RESUME calm") == OK
    assert other.ask_json("FETCH calm")["jid"] == "bystander-1"
    assert other.ask('ACK {"jid":"bystander-1"}') == OK
    check_store(harness.store)
    check_memory(harness.server.engine)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_anything_at_all_before_the_handshake(data: bytes) -> None:
    harness = Harness()
    other = harness.connect()
    peer = harness.connect(hello=None)
    assert peer.take() == b'+HI {"v":2}\r\n'
    peer.send(data)
    if b"\n" in data and not data.startswith(b"HELLO {"):
        assert peer.closed
        assert peer.take() == b""
    is_in = peer.take().startswith(OK)
    assert not is_in or data.startswith(b"HELLO {"), "chance does write a HELLO now and then"
    harness.advance(2.001)
    assert peer.closed is not is_in
    assert other.ask("INFO").startswith(b"$")
