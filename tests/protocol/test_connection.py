"""The client's side of a conversation: what is legal when, and what every ending looks like."""

import pytest

from lineshaft.errors import PeerError, Refusal, UsageError
from lineshaft.protocol.connection import (
    MOVES,
    Answered,
    ClientConnection,
    Closed,
    ConnectionState,
    Event,
    Ready,
)
from lineshaft.protocol.handshake import Hello, greeting, parse_hello, verify
from lineshaft.protocol.resp import NULL, OK, ErrorReply, bulk


def ready() -> ClientConnection:
    connection = ClientConnection(hello=Hello(hostname="vm"))
    assert connection.receive(greeting()) == []
    assert connection.take_outgoing() == b'HELLO {"v":2,"hostname":"vm"}\r\n'
    assert connection.receive(OK) == [Ready()]
    assert connection.state is ConnectionState.READY
    return connection


def closing(events: list[Event], kind: type[Exception]) -> str:
    """The reason of the one event that ends a conversation."""
    (event,) = events
    assert isinstance(event, Closed)
    assert isinstance(event.error, kind)
    return str(event.error)


def test_handshake_byte_by_byte() -> None:
    connection = ClientConnection()
    events = [event for byte in greeting() + OK for event in connection.receive(bytes([byte]))]
    assert events == [Ready()]
    assert connection.take_outgoing() == b'HELLO {"v":2}\r\n'
    assert connection.take_outgoing() == b""


def test_password() -> None:
    connection = ClientConnection(password="foobar")
    connection.receive(greeting(salt="55104dc76695721d", iterations=1545))
    hello = parse_hello(connection.take_outgoing().rstrip())
    assert verify(hello, "foobar", "55104dc76695721d", 1545)
    assert closing(connection.receive(b"-ERR Invalid password\r\n"), Refusal) == "Invalid password"
    assert connection.state is ConnectionState.CLOSED


def test_a_password_that_nobody_asks_for_is_not_sent() -> None:
    connection = ClientConnection(password="foobar")
    connection.receive(greeting())
    assert connection.take_outgoing() == b'HELLO {"v":2}\r\n'


def test_a_password_that_is_missing() -> None:
    connection = ClientConnection()
    assert "asks for a password" in closing(connection.receive(greeting(salt="a", iterations=2)), UsageError)
    assert connection.take_outgoing() == b""


def test_answers_belong_to_commands_in_order() -> None:
    connection = ready()
    for command in (b"PUSH {}", b"FETCH a", b"INFO"):
        connection.send(command)
    assert connection.unanswered == 3
    assert connection.take_outgoing() == b"PUSH {}\r\nFETCH a\r\nINFO\r\n"
    assert connection.receive(OK + NULL[:2]) == [Answered(b"PUSH {}", "OK")]
    assert connection.unanswered == 2
    assert connection.receive(NULL[2:] + bulk(b"{}")) == [Answered(b"FETCH a", None), Answered(b"INFO", b"{}")]
    assert connection.unanswered == 0


def test_an_error_answers_too_and_the_connection_lives() -> None:
    connection = ready()
    connection.send(b"PUSH {}")
    assert connection.receive(b"-NOTUNIQUE Job not unique\r\n") == [
        Answered(b"PUSH {}", ErrorReply("NOTUNIQUE", "Job not unique"))
    ]
    assert connection.state is ConnectionState.READY


def test_end() -> None:
    connection = ready()
    connection.send(b"INFO")
    connection.end()
    assert connection.take_outgoing() == b"INFO\r\nEND\r\n"
    assert connection.receive(bulk(b"{}")) == [Answered(b"INFO", b"{}")]
    assert connection.receive_eof() == [Closed(None)]
    assert connection.receive_eof() == []
    assert connection.receive(OK) == []


def test_the_server_goes_away() -> None:
    connection = ready()
    connection.send(b"INFO")
    assert "1 commands unanswered" in closing(connection.receive_eof(), PeerError)
    for act in (connection.end, lambda: connection.send(b"INFO")):
        with pytest.raises(UsageError, match="the connection is closed"):
            act()


def test_refused_at_the_door() -> None:
    connection = ClientConnection()
    assert closing(connection.receive(b"-ERR too many connections: 5\r\n"), Refusal) == "too many connections: 5"


@pytest.mark.parametrize(
    "data", [b"HTTP/1.1 400 Bad Request\r\n", OK, NULL, bulk(b"HI"), b":1\r\n", b'+HI {"v":"2"}\r\n']
)
def test_no_greeting(data: bytes) -> None:
    closing(ClientConnection().receive(data), PeerError)


@pytest.mark.parametrize("data", [b"+NO\r\n", NULL, b":1\r\n", b"\0\r\n"])
def test_no_acceptance(data: bytes) -> None:
    connection = ClientConnection()
    connection.receive(greeting())
    closing(connection.receive(data), PeerError)


def test_nothing_unasked() -> None:
    assert "without being asked: OK" in closing(ready().receive(OK), PeerError)


def test_garbage_after_an_answer_keeps_the_answer() -> None:
    connection = ready()
    connection.send(b"A")
    connection.send(b"B")
    answered, *rest = connection.receive(OK + b"nonsense\r\n")
    assert answered == Answered(b"A", "OK")
    closing(rest, PeerError)


@pytest.mark.parametrize("command", [b"INFO\n", b"A\nB", b"A\rB", b"\r\n"])
def test_a_command_is_one_line(command: bytes) -> None:
    connection = ready()
    with pytest.raises(UsageError, match="one line"):
        connection.send(command)
    assert connection.unanswered == 0
    assert connection.take_outgoing() == b""


def test_no_command_before_the_handshake() -> None:
    connection = ClientConnection()
    with pytest.raises(UsageError, match="the connection is waiting: no command now"):
        connection.send(b"INFO")
    connection.receive(greeting())
    with pytest.raises(UsageError, match="the connection is introduced: no end now"):
        connection.end()


def test_every_state_can_be_reached_and_lost() -> None:
    reached = {ConnectionState.WAITING, *MOVES.values()}
    assert reached == set(ConnectionState)
    losable = {state for (state, happening), target in MOVES.items() if target is ConnectionState.CLOSED}
    assert losable == set(ConnectionState) - {ConnectionState.CLOSED}
