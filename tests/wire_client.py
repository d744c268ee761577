"""A client that knows lines and replies and nothing else, so that tests of the server use none of the server's code."""

import json
import socket
from types import TracebackType
from typing import Any, Self


class WireError(Exception):
    """An error reply, with its code in front."""


class WireClient:
    """A blocking connection; `hello` is done at once unless it is None."""

    def __init__(
        self,
        port: int,
        hello: dict[str, Any] | None = {"v": 2},  # noqa: B006
        *,
        timeout: float = 30.0,
        host: str = "127.0.0.1",
    ) -> None:
        self.socket = socket.create_connection((host, port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")
        try:
            self.greeting = self.file.readline()
            if hello is not None:
                assert self.command(b"HELLO " + json.dumps(hello).encode()) == "OK"
        except BaseException:
            self.close()
            raise

    def send(self, line: bytes) -> None:
        self.socket.sendall(line + b"\r\n")

    def reply(self) -> Any:
        """The next reply: text, bytes, an int or None. Raises WireError, EOFError."""
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError(line)
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            raise WireError(rest.decode())
        if kind == b":":
            return int(rest)
        assert kind == b"$", line
        if rest == b"-1":
            return None
        body = self.file.read(int(rest) + 2)
        if len(body) != int(rest) + 2:
            raise EOFError(body)
        return body[:-2]

    def command(self, line: bytes) -> Any:
        self.send(line)
        return self.reply()

    def push(self, jid: str, **fields: Any) -> Any:
        job = {"jid": jid, "jobtype": "T", "args": [1], **fields}
        return self.command(b"PUSH " + json.dumps(job).encode())

    def fetch(self, *queues: str) -> dict[str, Any] | None:
        payload = self.command(b"FETCH " + " ".join(queues or ("default",)).encode())
        return None if payload is None else json.loads(payload)

    def ack(self, jid: str) -> Any:
        return self.command(b"ACK " + json.dumps({"jid": jid}).encode())

    def fail(self, jid: str, **fields: Any) -> Any:
        return self.command(b"FAIL " + json.dumps({"jid": jid, **fields}).encode())

    def info(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.command(b"INFO"))
        return found

    def close(self) -> None:
        self.file.close()
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
