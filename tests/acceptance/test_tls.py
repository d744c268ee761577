"""What both ports agree to speak with TLS, and what they do not."""

import socket
import ssl
import warnings
from collections.abc import Iterator

import pytest

from acceptance.clients.servers import write_certificate
from processes import ServerProcess


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path_factory.mktemp("tls"), web=True)
    write_certificate(server.config)
    with server:
        yield server


def agreed(port: int, version: ssl.TLSVersion, ciphers: str) -> str:
    """The cipher of a handshake with nothing better on offer than this."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    context.set_ciphers(ciphers)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as plain, context.wrap_socket(plain) as wrapped:
        cipher = wrapped.cipher()
    assert cipher is not None
    return cipher[0]


@pytest.mark.parametrize("port", ["port", "web_port"], ids=["jobs", "pages"])
def test_what_is_spoken(server: ServerProcess, port: str) -> None:
    number = getattr(server, port)
    assert agreed(number, ssl.TLSVersion.TLSv1_3, "DEFAULT").startswith("TLS_")
    assert "GCM" in agreed(number, ssl.TLSVersion.TLSv1_2, "DEFAULT")
    weak = ["eNULL@SECLEVEL=0", "aNULL:!eNULL@SECLEVEL=0", "ECDHE-ECDSA-AES128-SHA@SECLEVEL=0", "AES128-SHA@SECLEVEL=0"]
    for ciphers in weak:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            agreed(number, ssl.TLSVersion.TLSv1_2, ciphers)
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            agreed(number, version, "ALL@SECLEVEL=0")
