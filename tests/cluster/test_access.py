"""NATS with TLS, users, tokens and keys: who may come in does, who may not hears what to do, and no secret is told."""

import asyncio
import os
import re
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from nats.errors import Error as NatsError

from cluster.identities import Authority, Key, Operator, new_key
from cluster.real import NatsServer, NodeProcess, RealCluster, nats_program, wait_for
from lineshaft.cluster.access import OVER_SECONDS, Access, Complaints, access_of, connect, explain
from lineshaft.cluster.jetstream import JetStream
from lineshaft.cluster.port import Outcome
from lineshaft.config import Cluster
from lineshaft.errors import ConfigError

pytestmark = [
    pytest.mark.skipif(nats_program() is None and not os.environ.get("CI"), reason="nats-server is not installed"),
    # nats-py leaves the stream of a connection to itself that a server has ended.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SECRET = "s3cret-of-the-node"
USER = f'authorization {{ user: node, password: "{SECRET}" }}'
#: What docs/howto/cluster.md says that a node must be allowed.
ALLOWED = (
    'publish: ["LINESHAFT_test", "$KV.LINESHAFT_test.>", "$O.LINESHAFT_test.>", "$JS.API.>", "$JS.FC.>"],'
    ' subscribe: ["_INBOX.>"]'
)


class Place:
    """A directory with a CA, a server of NATS, and the secrets of its clients."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.authority = Authority(root)
        self.own = self.authority.issue("server")
        self.node = self.authority.issue("node")
        (root / "other").mkdir()
        self.stranger = Authority(root / "other", "stranger")
        self.key, self.other_key = new_key(), new_key()
        self.operator = Operator()
        self.count = 0

    @contextmanager
    def server(self, rules: str, *, jetstream: bool = True) -> Iterator[NatsServer]:
        self.count += 1
        server = NatsServer(f"nats-{self.count}", self.root)
        server.rules = rules
        server.configure([])
        if not jetstream:
            path = self.root / f"{server.name}.conf"
            path.write_text(re.sub(r"jetstream \{[^}]*\}", "", path.read_text()))
        server.start()
        try:
            yield server
        finally:
            server.kill()

    def tls(self, *, more: str = "", pair: str = "server") -> str:
        files = f'cert_file: "{self.root}/{pair}.pem"\nkey_file: "{self.root}/{pair}.key"\n'
        return f"tls {{\n{files}timeout: 5\n{more}\n}}\n"

    def mutual(self) -> str:
        return self.tls(more=f'ca_file: "{self.authority.ca}"\nverify: true')

    def file(self, name: str, text: str) -> str:
        path = self.root / name
        path.write_text(text)
        return str(path)

    def seed(self, key: Key, name: str = "seed") -> str:
        return self.file(name, key.seed + "\n")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("access"))


def attempt(server: NatsServer, seconds: float = 60.0, want: str = "", **keys: Any) -> str:
    """Append with this `[cluster]`: empty when that went well, else the problem; that which has `want`, if it comes."""
    url = keys.pop("url", server.url)
    access = access_of(Cluster(name="test", node="a", servers=(url,), **{"replicas": 1, **keys}))
    return asyncio.run(_attempt(access, seconds, want))


class Counted(Complaints):
    """Counts how often it heard what it tells once."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: Counter[str] = Counter()

    def hear(self, error: BaseException) -> None:
        super().hear(error)
        self.heard[": ".join(explain(error))] += 1

    def has_heard_twice(self, want: str) -> bool:
        return want != "" and any(count > 1 and re.search(want, text) for text, count in self.heard.items())


async def _attempt(access: Access, seconds: float, want: str) -> str:
    """Until it went well, or what is wanted was heard twice: a node goes on trying."""
    complaints, stopping = Counted(), asyncio.Event()
    task = asyncio.create_task(_append(access, complaints, stopping))
    end = time.monotonic() + seconds
    while not task.done() and time.monotonic() < end:
        if complaints.has_heard_twice(want):
            break
        await asyncio.sleep(0.02)
    if task.done():
        task.result()
        return ""
    stopping.set()
    while not task.done():
        # nats-py keeps a cancellation to itself now and then.
        task.cancel()
        await asyncio.wait({task}, timeout=0.2)
    assert complaints.has_heard_twice(want), f"heard {complaints.heard}"
    return complaints.problem


async def _append(access: Access, complaints: Complaints, stopping: asyncio.Event) -> None:
    """Join as `ClusterHost` does, and append an entry."""
    while not stopping.is_set():
        client = await connect(access, "test", complaints)
        stream = JetStream(access, client)
        try:
            await stream.start()
            said: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
            stream.append(b"x", expected=0, identity="x", done=said.set_result)
            assert await said == 1
            return
        except (NatsError, TimeoutError, OSError) as error:
            complaints.hear(error)
        finally:
            await stream.close()
        await asyncio.sleep(0.2)


# What is right works.

RIGHT: dict[str, tuple[Callable[[Place], str], Callable[[Place], dict[str, Any]]]] = {
    "user": (lambda _: USER, lambda _: {"user": "node", "password": SECRET}),
    "token": (lambda _: f'authorization {{ token: "{SECRET}" }}', lambda _: {"token": SECRET}),
    "nkey": (
        lambda place: f"authorization {{ users: [ {{ nkey: {place.key.public} }} ] }}",
        lambda place: {"nkey": place.seed(place.key)},
    ),
    "credentials": (
        lambda place: place.operator.config,
        lambda place: {"credentials": place.file("creds", place.operator.credentials())},
    ),
    "tls": (lambda place: place.tls(), lambda place: {"tls_ca": str(place.authority.ca)}),
    "certificate": (
        lambda place: place.mutual(),
        lambda place: {
            "tls_ca": str(place.authority.ca),
            "tls_cert": str(place.node.certificate),
            "tls_key": str(place.node.key),
        },
    ),
    "tls and a user": (
        lambda place: place.tls() + USER,
        lambda place: {"tls_ca": str(place.authority.ca), "user": "node", "password": SECRET},
    ),
    "a user with few rights": (
        lambda _: f'authorization {{ users: [ {{ user: node, password: "{SECRET}", permissions {{ {ALLOWED} }} }} ] }}',
        lambda _: {"user": "node", "password": SECRET},
    ),
}


@pytest.mark.parametrize("way", RIGHT)
def test_who_may_come_in_comes_in(place: Place, way: str) -> None:
    rules, keys = RIGHT[way]
    with place.server(rules(place)) as server:
        assert attempt(server, **keys(place)) == ""


def test_a_password_in_the_url_works_too(place: Place) -> None:
    with place.server(USER) as server:
        assert attempt(server, url=server.url.replace("//", f"//node:{SECRET}@")) == ""
    with place.server(f'authorization {{ token: "{SECRET}" }}') as server:
        assert attempt(server, url=server.url.replace("//", f"//{SECRET}@")) == ""


# What is wrong is told, with what to do.

WRONG: dict[str, tuple[Callable[[Place], str], Callable[[Place], dict[str, Any]], str]] = {
    "wrong password": (lambda _: USER, lambda _: {"user": "node", "password": "wrong"}, "check `user` and `password`"),
    "no password": (lambda _: USER, lambda _: {}, "check `user` and `password`"),
    "wrong token": (
        lambda _: f'authorization {{ token: "{SECRET}" }}',
        lambda _: {"token": "wrong"},
        "does not let this node in",
    ),
    "wrong key": (
        lambda place: f"authorization {{ users: [ {{ nkey: {place.key.public} }} ] }}",
        lambda place: {"nkey": place.seed(place.other_key, "other-seed")},
        "does not let this node in",
    ),
    "credentials of another operator": (
        lambda place: place.operator.config,
        lambda place: {"credentials": place.file("other-creds", Operator().credentials())},
        "does not let this node in",
    ),
    "another CA": (
        lambda place: place.tls(),
        lambda place: {"tls_ca": str(place.stranger.ca)},
        "certificate verify failed.*as `tls_ca`",
    ),
    "TLS is not configured here": (lambda place: place.tls(), lambda _: {}, "certificate verify failed.*as `tls_ca`"),
    "TLS is not configured there": (
        lambda _: USER,
        lambda place: {"tls_ca": str(place.authority.ca), "user": "node", "password": SECRET},
        "NATS does not ask for TLS",
    ),
    "a certificate for another address": (
        lambda place: place.authority.issue("elsewhere", host="10.9.8.7") and place.tls(pair="elsewhere"),
        lambda place: {"tls_ca": str(place.authority.ca)},
        "as their certificates do",
    ),
    "a certificate that has run out": (
        lambda place: place.authority.issue("old", days=-1) and place.tls(pair="old"),
        lambda place: {"tls_ca": str(place.authority.ca)},
        "renew the certificate",
    ),
    "no certificate": (
        lambda place: place.mutual(),
        lambda place: {"tls_ca": str(place.authority.ca)},
        "as `tls_cert` and `tls_key`",
    ),
    "a stranger's certificate": (
        lambda place: place.mutual(),
        lambda place: {
            "tls_ca": str(place.authority.ca),
            "tls_cert": str(place.stranger.issue("spy").certificate),
            "tls_key": str(place.root / "other" / "spy.key"),
        },
        "a certificate of this node that it trusts",
    ),
    "not allowed to use JetStream": (
        lambda _: 'authorization { users: [ { user: node, password: "x", permissions { publish: ["a"] } } ] }',
        lambda _: {"user": "node", "password": "x"},
        r"permissions violation.*\$js\.api.*grant it",
    ),
    "no JetStream for the account": (
        lambda _: 'accounts { A { users: [ { user: node, password: "x" } ] }, B { jetstream: enabled } }',
        lambda _: {"user": "node", "password": "x"},
        "no JetStream for the account",
    ),
    "more replicas than servers": (lambda _: "", lambda _: {"replicas": 3}, "set `replicas` to 1"),
}


@pytest.mark.parametrize("way", WRONG)
def test_who_may_not_hears_what_to_do(place: Place, way: str, caplog: pytest.LogCaptureFixture) -> None:
    rules, keys, want = WRONG[way]
    with place.server(rules(place)) as server:
        problem = attempt(server, want=want, **keys(place))
    assert re.search(want, problem), problem
    told = [record.getMessage() for record in caplog.records if re.search(want, record.getMessage())]
    assert len(told) == 1, "it is told once, not several times a second"
    assert SECRET not in caplog.text


def test_a_server_without_jetstream(place: Place) -> None:
    with place.server("", jetstream=False) as server:
        assert "runs without JetStream" in attempt(server, want="runs without JetStream")


def test_nothing_is_said_to_who_leaves_tls_out() -> None:
    """Somebody between the node and NATS who takes the word out of what the server says."""
    heard: list[bytes] = []

    async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.9.10","headers":true,"max_payload":1048576}\r\n')
        heard.append(await reader.read(4096))
        writer.close()
        await writer.wait_closed()

    async def play() -> str:
        server = await asyncio.start_server(pretend, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        config = Cluster(
            name="test", node="a", servers=(f"tls://127.0.0.1:{port}",), user="node", password=SECRET
        )  # fmt: skip
        async with server:
            return await _attempt(access_of(config), 60, "asks? for TLS")

    assert "does not ask for TLS" in asyncio.run(play())
    assert heard
    assert set(heard) == {b""}


def test_a_complaint_that_is_not_heard_again_is_over() -> None:
    """A right that was missing for a moment: the connection never broke."""
    now = 100.0
    complaints = Complaints(lambda: now)
    denied, silent = NatsError("nats: permissions violation for publish to x"), TimeoutError()
    complaints.hear(denied)
    now += OVER_SECONDS / 2
    complaints.hear(silent)
    assert "grant it" in complaints.problem, "silence says less"
    now += OVER_SECONDS / 2
    assert complaints.problem == ""
    for _ in range(4):
        complaints.hear(silent)
        now += OVER_SECONDS / 2
        assert complaints.problem == "NATS: TimeoutError", "it is still heard"
    complaints.hear(denied)
    assert "grant it" in complaints.problem
    complaints.over()
    assert complaints.problem == ""


# Files that cannot be used stop the start: nothing outside will change that.

BROKEN = [
    ({"nkey": "/nowhere/seed"}, "cluster.nkey names /nowhere/seed, which cannot be read: No such file"),
    ({"nkey": "empty"}, "no seed of a user's key"),
    ({"nkey": "creds-file"}, "no seed of a user's key"),
    ({"nkey": "damaged"}, "damaged"),
    ({"credentials": "/nowhere/creds"}, "cluster.credentials names /nowhere/creds, which cannot be read"),
    ({"credentials": "empty"}, "no credentials file as `nsc` makes them"),
    ({"credentials": "seed-file"}, "no credentials file as `nsc` makes them"),
    ({"tls_ca": "empty"}, "the TLS files of \\[cluster\\] cannot be used"),
    ({"tls_ca": "/nowhere/ca"}, "the TLS files of \\[cluster\\] cannot be used"),
    ({"tls_cert": "empty", "tls_key": "empty"}, "the TLS files of \\[cluster\\] cannot be used"),
]


@pytest.mark.parametrize(("keys", "message"), BROKEN, ids=lambda each: str(each)[:40])
def test_files_that_cannot_be_used(place: Place, keys: dict[str, str], message: str) -> None:
    files = {
        "empty": "\n",
        "damaged": "SUA\n",
        "seed-file": place.key.seed + "\n",
        "creds-file": place.operator.credentials(),
    }
    given = {key: place.file(value, files[value]) if value in files else value for key, value in keys.items()}
    config = Cluster(name="test", node="a", servers=("nats://127.0.0.1:1",), **given)
    with pytest.raises(ConfigError, match=message):
        access_of(config)


def test_tls_without_a_ca_trusts_whom_the_system_trusts() -> None:
    access = access_of(Cluster(name="test", node="a", servers=("tls://127.0.0.1:1",)))
    assert access.tls is not None
    assert access.tls.verify_mode is ssl.CERT_REQUIRED
    assert access.tls.check_hostname


# Whole nodes.


def test_a_node_waits_with_a_clear_word_and_comes_whenever_nats_lets_it_in(place: Place, tmp_path: Path) -> None:
    """The password is wrong on the side of NATS; it is changed there; then it is changed back, under a leader."""
    other = USER.replace(SECRET, "another")
    with place.server(other) as server:
        keys = f'replicas = 1\nuser = "node"\npassword = "{place.file("password", SECRET)}"\n'
        node = NodeProcess("a", tmp_path, [server.url], extra=keys)
        node.start()
        try:
            for number in (1, 2):
                wait_for(
                    lambda: "check `user` and `password`" in str(node.ask("/health/ready")[1]), "why it is not ready"
                )
                assert node.ask("/health/ready")[0] == 503
                reload_with(server, USER)
                wait_for(node.leads, "the node leads")
                assert node.push(f"job-0000{number}", "q") == "OK"
                assert node.status()["problem"] is None
                reload_with(server, other)
        finally:
            node.kill()
        text = node.log.read_text()
    assert "check `user` and `password`" in text
    assert SECRET not in text
    assert text.count("check `user` and `password`") < 10, "it is told once a minute, not several times a second"


def test_credentials_that_run_out_are_read_anew(place: Place) -> None:
    """NATS throws the node out, and lets it in with the new ones."""
    with place.server(place.operator.config) as server:
        # Once it is there; then there is time to come in with what runs out soon.
        assert attempt(server, credentials=place.file("first", place.operator.credentials())) == ""
        path = Path(place.file("short", place.operator.credentials(seconds=5)))
        config = Cluster(name="test", node="a", servers=(server.url,), replicas=1, credentials=str(path))
        asyncio.run(_outlive(access_of(config), path, place.operator.credentials()))


async def _outlive(access: Access, path: Path, fresh: str) -> None:
    complaints = Complaints()
    client = await connect(access, "test", complaints)
    try:
        await until(lambda: "have run out" in complaints.problem)
        assert not client.is_closed
        path.write_text(fresh)
        await until(lambda: not complaints.problem and client.is_connected)
        stream = JetStream(access, client)
        await stream.start()
        await stream.close()
    finally:
        await client.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


def reload_with(server: NatsServer, rules: str) -> None:
    """Change the configuration of a running server."""
    server.rules = rules
    server.configure([])
    server.signal(1)


@pytest.mark.slow
def test_three_nodes_on_three_servers_with_tls_and_few_rights(place: Place, tmp_path: Path) -> None:
    """A takeover, a snapshot and a node that loads it: everything that a node ever asks of NATS."""
    rules = f'user = "node"\npassword = "{SECRET}"\ntls_ca = "{place.authority.ca}"\nsnapshot_after = "1MB"\n'
    cluster = RealCluster(tmp_path / "cluster", rules=rules)
    for server in cluster.nats:
        server.rules = (
            place.tls()
            + f'authorization {{ users: [ {{ user: node, password: "{SECRET}", permissions {{ {ALLOWED} }} }} ] }}\n'
        )
        server.configure([mate for mate in cluster.nats if mate is not server])
    with cluster:
        leader = cluster.leader()
        for number in range(60):
            assert leader.say(f'PUSH {{"jid":"job-{number:08}","jobtype":"T","args":["{"x" * 60_000}"]}}') == "OK"
        wait_for(
            lambda: any("is purged up to" in node.log.read_text() for node in cluster.nodes.values()), "a purge", 60
        )
        leader.kill()
        assert cluster.leader().push("job-after", "q") == "OK"
        cluster.nodes["d"] = cluster.node("d")
        cluster.nodes["d"].start()
        leader.start()
        wait_for(cluster.is_whole, "all nodes are there")
        wait_for(lambda: "is loaded" in cluster.nodes["d"].log.read_text(), "the snapshot is loaded")
        assert all(node.ask("/health/ready")[0] == 200 for node in cluster.nodes.values())
        logs = "".join(node.log.read_text() for node in cluster.nodes.values())
        assert "permissions violation" not in logs
        assert SECRET not in logs
