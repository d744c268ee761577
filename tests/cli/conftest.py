"""Certificates of their own, for the tests that speak TLS."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest

DAY = timedelta(days=1)


@pytest.fixture(scope="session")
def certificate():
    """A function that writes `public.cert.pem`, self-signed for 127.0.0.1, and `private.key.pem` into a directory."""
    from cryptography import x509  # noqa: PLC0415 - slow to import
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        BestAvailableEncryption,
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    def write(folder, *, passphrase=None, days=1, host="127.0.0.1"):
        folder.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
        end = datetime.now(UTC) + days * DAY
        built = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(end - 9 * DAY)
            .not_valid_after(end)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))]), critical=False)
            .sign(key, hashes.SHA256())
        )
        lock = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
        public, private = folder / "public.cert.pem", folder / "private.key.pem"
        public.write_bytes(built.public_bytes(Encoding.PEM))
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))
        return public, private

    return write
