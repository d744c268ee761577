"""The pages over TLS: with the certificate of the job port, and nothing without it."""

import base64
import http.client
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import certificate
from processes import ServerProcess

__all__ = ["certificate"]

CONFIG = """
[faktory]
password = "secret"
[web]
hsts = true
"""


def get(server: ServerProcess, context: ssl.SSLContext, path: str, password: str = "") -> http.client.HTTPResponse:
    connection = http.client.HTTPSConnection("127.0.0.1", server.web_port, context=context, timeout=30)
    given = base64.b64encode(f"ana:{password}".encode()).decode()
    connection.request("GET", path, headers={"Authorization": f"Basic {given}"} if password else {})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def test_pages_over_tls(tmp_path: Path, certificate: Any) -> None:
    public, _ = certificate(tmp_path / "config")
    trusting = ssl.create_default_context(cafile=str(public))
    server = ServerProcess(tmp_path, CONFIG, web=True)
    with server:
        home = get(server, trusting, "/", "secret")
        assert home.status == 200
        assert home.headers["Strict-Transport-Security"] == "max-age=31536000"
        assert home.headers["Set-Cookie"] is None, "there is none to be made secure"
        assert get(server, trusting, "/").status == 401
        assert get(server, trusting, "/health").status == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            get(server, ssl.create_default_context(), "/")
        old = ssl.create_default_context(cafile=str(public))
        old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        assert get(server, old, "/health").status == 200
        with socket.create_connection(("127.0.0.1", server.web_port), timeout=10) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert plain.recv(4096) == b"", "a plain request is no TLS, and has no answer"
        assert server.stop() == 0
    assert "Traceback" not in server.log.read_text()
