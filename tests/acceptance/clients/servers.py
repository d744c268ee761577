"""Servers for the client programs to talk to, and the certificate of the one that wants TLS."""

import datetime
import hashlib
import ipaddress
import json
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from processes import ServerProcess
from wire_client import WireClient

__all__ = ["PASSWORD", "Target", "write_certificate"]

PASSWORD = "correct-horse"


@dataclass(frozen=True)
class Target:
    """A running server, and how a client program is told about it."""

    server: ServerProcess
    scheme: str = "tcp"
    password: str | None = None
    certificate: Path | None = None

    def environment(self, password: str | None = None) -> dict[str, str]:
        secret = password or self.password
        login = f":{secret}@" if secret else ""
        found = {"FAKTORY_URL": f"{self.scheme}://{login}localhost:{self.server.port}"}
        if self.certificate:
            found["FAKTORY_CA"] = str(self.certificate)
        return found

    def wire(self) -> WireClient:
        """A raw connection, past the handshake; not for TLS."""
        client = WireClient(self.server.port, hello=None)
        greeting = json.loads(client.greeting.removeprefix(b"+HI "))
        hello: dict[str, object] = {"v": 2}
        if self.password:
            digest = (self.password + greeting["s"]).encode()
            for _ in range(greeting["i"]):
                digest = hashlib.sha256(digest).digest()
            hello["pwdhash"] = digest.hex()
        assert client.command(b"HELLO " + json.dumps(hello).encode()) == "OK"
        return client


def write_certificate(directory: Path) -> Path:
    """A self-signed certificate for localhost, and its key, where the server looks for them."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        # One strict library takes no certificate of an authority for a server's own.
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = directory / "public.cert.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (directory / "private.key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path
