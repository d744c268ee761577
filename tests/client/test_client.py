"""Both clients over real sockets, against a peer that follows a script. The awaited one is driven call by call."""

import asyncio
import json
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lineshaft.client import Client
from lineshaft.client.commands import Heard
from lineshaft.errors import PeerError, Refusal, UsageError
from lineshaft.protocol.handshake import greeting, parse_hello, verify
from lineshaft.protocol.resp import NULL, OK, ErrorReply, bulk

Script = Sequence[tuple[bytes | re.Pattern[bytes], bytes | None]]
"""What the peer expects to read, one line each, and what it answers; None: it closes."""

HELLO = re.compile(rb"HELLO \{.*\}")

#: Only a test that fails waits as long.
PATIENCE_SECONDS = 30


class Peer:
    """A listening socket and a thread that plays a script to one connection; `lines` is what it read."""

    def __init__(self, script: Script, *, hi: bytes, wrap: Callable[[socket.socket], socket.socket]) -> None:
        self.lines: list[bytes] = []
        self.failure: BaseException | None = None
        self._script, self._hi, self._wrap = script, hi, wrap
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE_SECONDS)
        self.url = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            plain, _ = self._listener.accept()
            plain.settimeout(PATIENCE_SECONDS)
            with plain, self._wrap(plain) as connection, connection.makefile("rb") as lines:
                connection.sendall(self._hi)
                for expected, answer in self._script:
                    line = lines.readline().removesuffix(b"\r\n")
                    self.lines.append(line)
                    matches = expected.fullmatch(line) if isinstance(expected, re.Pattern) else expected == line
                    assert matches, f"expected {expected!r}, read {line!r}"
                    if answer is None:
                        return
                    connection.sendall(answer)
                # The client's END, or its silence.
                self.lines += lines.read().splitlines()
        except BaseException as failure:
            # Raised again in the test's own thread.
            self.failure = failure

    def finish(self) -> None:
        self._thread.join(2 * PATIENCE_SECONDS)
        self._listener.close()
        assert not self._thread.is_alive()
        if self.failure is not None:
            raise self.failure


@contextmanager
def peer(
    *script: tuple[bytes | re.Pattern[bytes], bytes | None],
    hi: bytes | None = None,
    hello: bytes | None = OK,
    wrap: Callable[[socket.socket], socket.socket] = lambda plain: plain,
) -> Iterator[Peer]:
    steps = ([] if hello is None else [(HELLO, hello)]) + list(script)
    server = Peer(steps, hi=greeting() if hi is None else hi, wrap=wrap)
    try:
        yield server
    finally:
        server.finish()


def test_producer(kind: Any) -> None:
    with (
        peer(
            (b'PUSH {"jobtype":"T","args":[1,2.5],"jid":"abcdefgh"}', OK),
            (re.compile(rb'PUSH {"jobtype":"T","args":\[\],"jid":"[0-9a-f]{24}"}'), OK),
            (b'PUSHB [{"jid":"abcdefgh"},{"jid":"bcdefghi"}]', bulk(b'{"abcdefgh":"NOTUNIQUE Job not unique"}')),
        ) as server,
        kind(server.url) as client,
    ):
        assert client.push({"jobtype": "T", "args": [1, 2.5], "jid": "abcdefgh"}).jid == "abcdefgh"
        given: dict[str, Any] = {"jobtype": "T", "args": []}
        assert re.fullmatch("[0-9a-f]{24}", client.push(given).jid)
        assert "jid" not in given
        (refused,) = client.push_bulk([{"jid": "abcdefgh"}, {"jid": "bcdefghi"}]).items()
        assert (refused[0], refused[1].code, str(refused[1])) == ("abcdefgh", "NOTUNIQUE", "Job not unique")
    assert server.lines[-1] == b"END"
    hello = parse_hello(server.lines[0])
    assert (hello.v, hello.wid, hello.pwdhash) == (2, None, None)
    assert hello.pid
    assert hello.hostname
    assert (hello.labels or [""])[0].startswith("python-")


def test_worker(kind: Any) -> None:
    job = {"jid": "abcdefgh", "jobtype": "T", "args": ["é"]}
    with (
        peer(
            (b"FETCH critical default", bulk(json.dumps(job).encode())),
            (b'ACK {"jid":"abcdefgh"}', OK),
            (b"FETCH default", NULL),
            (b'FAIL {"jid":"abcdefgh","errtype":"E","message":"m"}', OK),
            (
                b'FAIL {"jid":"abcdefgh","errtype":"E","message":"m","backtrace":["x"]}',
                b"-ERR Job not found abcdefgh\r\n",
            ),
            (b'BEAT {"wid":"w1"}', OK),
            (b'BEAT {"wid":"w1","rss_kb":12,"current_state":"quiet"}', bulk(b'{"state":"terminate"}')),
        ) as server,
        kind(server.url, wid="w1", labels=["mine"]) as client,
    ):
        assert client.fetch("critical", "default") == job
        client.ack("abcdefgh")
        assert client.fetch("default") is None
        client.fail("abcdefgh", "E", "m")
        with pytest.raises(Refusal, match="Job not found abcdefgh"):
            client.fail("abcdefgh", "E", "m", ["x"])
        assert client.beat() == Heard()
        assert client.beat(rss_kb=12, current_state="quiet") == Heard("terminate")
    hello = parse_hello(server.lines[0])
    assert (hello.wid, hello.labels) == ("w1", ["mine"])


def test_operator(kind: Any) -> None:
    with (
        peer(
            (b"INFO", bulk(b'{"now":"x"}')),
            (b"FLUSH", OK),
            (b"QUEUE pause a b", OK),
            (b"QUEUE LATENCY a", bulk(b'{"a":0.5000}')),
            (b'MUTATE {"cmd":"kill","target":"retries","filter":{"jids":["a"],"jobtype":"T","regexp":"*x*"}}', OK),
            (b'MUTATE {"cmd":"clear","target":"dead","filter":{}}', OK),
            (b"TRACK GET abc", bulk(b"{}")),
            (b"NOPE", b"-NOTUNIQUE Job not unique\r\n"),
        ) as server,
        kind(server.url) as client,
    ):
        assert client.info() == {"now": "x"}
        client.flush()
        assert client.queue("pause", "a", "b") is None
        assert client.queue("LATENCY", "a") == {"a": 0.5}
        client.mutate("kill", "retries", jids=["a"], jobtype="T", regexp="*x*")
        client.mutate("clear", "dead")
        assert client.command(b"TRACK GET abc") == b"{}"
        with pytest.raises(Refusal) as caught:
            client.command(b"NOPE")
        assert caught.value.code == "NOTUNIQUE"


def test_a_job_with_what_python_cannot_hold(kind: Any) -> None:
    job = b'{"jid":"abcdefgh","args":[1e999,{"x":[1]}],"custom":{"y":1e999,"z":2}}'
    with peer((b"FETCH", bulk(job))) as server, kind(server.url) as client:
        fetched = client.fetch()
    huge = msgspec.Raw(b"1e999")
    assert fetched == {"jid": "abcdefgh", "args": [huge, {"x": [1]}], "custom": {"y": huge, "z": 2}}
    assert msgspec.json.encode(fetched) == job


def test_pipeline(kind: Any) -> None:
    with (
        peer((b"A", b""), (b"B", b""), (b"C", OK + b"-ERR no\r\n" + NULL)) as server,
        kind(server.url) as client,
    ):
        assert client.pipeline([]) == []
        assert client.pipeline([b"A", b"B", b"C"]) == ["OK", ErrorReply("ERR", "no"), None]


def test_a_long_pipeline_does_not_lock_up(kind: Any) -> None:
    """More than all buffers hold, to and from a peer that reads nothing while it writes."""
    line, answer = b"x" * 60_000, bulk(b"y" * 60_000)
    with peer(*[(line, answer)] * 300) as server, kind(server.url, timeout_seconds=PATIENCE_SECONDS) as client:
        assert client.pipeline([line] * 300) == [b"y" * 60_000] * 300


def test_bad_use_sends_nothing_and_closes_nothing(kind: Any) -> None:
    with peer((b"INFO", bulk(b"{}"))) as server, kind(server.url) as client:
        for line in (b"A\nB", b"A\r\n"):
            with pytest.raises(UsageError, match="one line"):
                client.pipeline([b"INFO", line])
        for names in (("a b",), ("a\nFLUSH",), ("",)):
            with pytest.raises(UsageError, match="queue's name"):
                client.fetch(*names)
        with pytest.raises(UsageError, match="heartbeat"):
            client.beat()
        assert client.info() == {}
    assert server.lines[1:] == [b"INFO", b"END"]


def test_password(kind: Any) -> None:
    hi = greeting(salt="55104dc76695721d", iterations=1545)
    with peer((b"FLUSH", OK), hi=hi) as server, kind(server.url.replace("//", "//me:foo%62ar@")) as client:
        client.flush()
    hello = parse_hello(server.lines[0])
    assert verify(hello, "foobar", "55104dc76695721d", 1545)
    assert hello.username == "me"
    with (
        peer(hi=hi, hello=b"-ERR Invalid password\r\n") as server,
        kind(server.url.replace("//", "//:wrong@")) as client,
        pytest.raises(Refusal, match="Invalid password"),
    ):
        client.flush()
    with (
        peer(hi=hi, hello=None) as server,
        kind(server.url) as client,
        pytest.raises(UsageError, match="asks for a password"),
    ):
        client.flush()


def test_the_environment_names_the_server(kind: Any) -> None:
    with (
        peer((b"FLUSH", OK)) as server,
        kind(environment={"FAKTORY_PROVIDER": "MINE", "MINE": server.url}) as client,
    ):
        client.flush()


def test_a_command_that_may_not_be_sent_twice_is_not(kind: Any) -> None:
    with peer((b"FLUSH", None)) as server, kind(server.url) as client, pytest.raises(PeerError, match="closed the"):
        client.flush()


def test_garbage_behind_the_last_answer_ends_the_connection(kind: Any) -> None:
    with (
        peer((b"FLUSH", OK + b"nonsense\r\n")) as server,
        kind(server.url) as client,
        pytest.raises(PeerError, match="nonsense"),
    ):
        client.flush()


def test_a_late_answer_is_never_taken_for_another(kind: Any) -> None:
    with peer((b"INFO", bulk(b"{}")), (re.compile(b"FLUSH|"), b""), (b"", b"")) as server, kind(server.url) as client:
        client.info()
        # The handshake may take its time; the answer does not come, and on a busy machine nothing may have been asked.
        pool = client._pool if kind is Client else client.client._pool
        pool.timeout_seconds = 0.2
        with pytest.raises(TimeoutError):
            client.flush()


def test_a_closed_client_says_so(kind: Any) -> None:
    client = kind("tcp://127.0.0.1:1")
    with client:
        pass
    with pytest.raises(UsageError, match="this client is closed"):
        client.info() if kind is Client else asyncio.run(client.client.info())


@pytest.mark.parametrize("hi", [b"HTTP/1.1 400 Bad Request\r\n", b"-ERR too many connections: 1\r\n"])
def test_no_server_of_ours(kind: Any, hi: bytes) -> None:
    with peer(hi=hi, hello=None) as server, kind(server.url) as client, pytest.raises((PeerError, Refusal)):
        client.info()


@pytest.mark.parametrize("reply", [b"nonsense\r\n", bulk(b"{"), bulk(b"\xff"), NULL, OK])
def test_a_reply_that_cannot_be(kind: Any, reply: bytes) -> None:
    with peer((b"INFO", reply)) as server, kind(server.url) as client, pytest.raises(PeerError):
        client.info()


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of its own for 127.0.0.1."""
    from cryptography import x509  # noqa: PLC0415 - slow to import, and only this test needs it
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "public.pem", folder / "private.pem"
    public.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return public, private


def test_tls(kind: Any, tmp_path: Path) -> None:
    public, private = certificate(tmp_path)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(public, private)
    with peer((b"FLUSH", OK), wrap=lambda plain: serving.wrap_socket(plain, server_side=True)) as server:
        trusting = ssl.create_default_context(cafile=str(public))
        with kind(server.url.replace("tcp:", "tcp+tls:"), ssl_context=trusting) as client:
            client.flush()
    assert server.lines[1] == b"FLUSH"


def test_tls_does_not_trust_strangers(kind: Any, tmp_path: Path) -> None:
    public, private = certificate(tmp_path)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(public, private)
    server = Peer([], hi=greeting(), wrap=lambda plain: serving.wrap_socket(plain, server_side=True))
    with kind(server.url.replace("tcp:", "tcp+tls:")) as client, pytest.raises(ssl.SSLCertVerificationError):
        client.info()
    # It may hear of the refusal, or only of the end.
    with suppress(ssl.SSLError, OSError):
        server.finish()
