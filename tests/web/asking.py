"""A small HTTP client: one request, nothing followed, nothing interpreted."""

import http.client
from dataclasses import dataclass
from urllib.parse import urlencode


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


def ask(
    port: int,
    path: str,
    *,
    method: str | None = None,
    form: dict[str, str | list[str]] | None = None,
    body: bytes | None = None,
    **headers: str,
) -> Answer:
    """Ask once; underscores in the names of headers are dashes."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if form is not None:
        body = urlencode(form, doseq=True).encode()
        sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method or ("GET" if body is None else "POST"), path, body, sent)
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()
