"""The least that the harness says to servers by itself; the load is jobload's."""

import json
import socket
import ssl
from typing import Any

__all__ = ["ServerFailed", "answers", "ask", "ask_info", "says", "trusting"]


class ServerFailed(Exception):
    """A server did not start, or died; the message holds the tail of its log."""


def ask(port: int, command: bytes) -> bytes:
    """The server's answer to a command that is answered with a bulk string. Raises ServerFailed, OSError."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        stream = connection.makefile("rwb")
        _greet(stream)
        stream.write(command + b"\r\n")
        stream.flush()
        head: bytes = stream.readline()
        if not head.startswith(b"$"):
            raise ServerFailed(f"{command.decode()} answered with {head.decode(errors='replace').strip()}")
        answer: bytes = stream.read(int(head[1:]))
        return answer


def ask_info(port: int) -> dict[str, Any]:
    """The server's answer to INFO, decoded."""
    info: dict[str, Any] = json.loads(ask(port, b"INFO"))
    return info


def answers(port: int) -> bool:
    """Whether a server greets on `port`, and says OK to HELLO."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            _greet(connection.makefile("rwb"))
    except OSError:
        return False
    return True


def says(port: int, wanted: bytes, *, after: bytes = b"", context: ssl.SSLContext | None = None) -> bool:
    """Whether the answer to `after` begins with `wanted`."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as plain:
            if context is None:
                return _is_said(plain, wanted, after)
            with context.wrap_socket(plain) as connection:
                return _is_said(connection, wanted, after)
    except OSError:
        return False


def _is_said(connection: socket.socket, wanted: bytes, after: bytes) -> bool:
    connection.sendall(after)
    return connection.recv(len(wanted)) == wanted


def trusting() -> ssl.SSLContext:
    """TLS with whomever answers."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _greet(stream: Any) -> None:
    """HI and HELLO, as a producer. Raises OSError when the other side does not play its part."""
    greeting = stream.readline()
    if not greeting.startswith(b"+HI "):
        raise ConnectionError(f"no HI, but {greeting!r}")
    stream.write(b'HELLO {"v":2}\r\n')
    stream.flush()
    answer = stream.readline()
    if answer != b"+OK\r\n":
        raise ConnectionError(f"HELLO answered with {answer!r}")
