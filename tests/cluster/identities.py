"""What a NATS server of the tests knows its clients by: certificates of a CA of our own, keys, and signed claims.

Claims (JWT) are made here and not by NATS's own `nsc`, which is one more program to install; the server judges them.
"""

import base64
import binascii
import datetime
import ipaddress
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import nkeys
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

__all__ = ["Authority", "Key", "Operator", "new_key"]

#: Kinds of keys, by the first byte of their public names.
PREFIXES = {"operator": 14 << 3, "account": 0, "user": 20 << 3}
SEED = 18 << 3


class Pair(NamedTuple):
    """The files of a certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """A CA: its certificate is `ca`."""

    def __init__(self, root: Path, name: str = "ca") -> None:
        self._root = root
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.ca = self._write(name, self._name, self._key, [], is_ca=True).certificate

    def issue(self, name: str, *, host: str = "127.0.0.1", days: int = 1) -> Pair:
        """A certificate for an address; with `days` below 0 one that has run out."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.IPAddress(ipaddress.ip_address(host)), x509.DNSName("localhost")]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return self._write(name, subject, key, names, is_ca=False, days=days)

    def _write(
        self,
        name: str,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        names: list[Any],
        *,
        is_ca: bool,
        days: int = 1,
    ) -> Pair:
        now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 9 * day)
            .not_valid_after(now + days * day)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        )
        own, signer = (x509.SubjectKeyIdentifier, x509.AuthorityKeyIdentifier)
        builder = builder.add_extension(own.from_public_key(key.public_key()), critical=False)
        builder = builder.add_extension(signer.from_issuer_public_key(self._key.public_key()), critical=False)
        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
             "decipher_only"), False
        )  # fmt: skip
        usage |= {"digital_signature": not is_ca, "key_cert_sign": is_ca, "crl_sign": is_ca}
        builder = builder.add_extension(x509.KeyUsage(**usage), critical=True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        made = Pair(self._root / f"{name}.pem", self._root / f"{name}.key")
        made.certificate.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        made.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return made


class Key(NamedTuple):
    """A key of NATS: the seed is the secret, `public` is what others call its owner."""

    seed: str
    public: str


def new_key(kind: str = "user") -> Key:
    """A new key of an operator, an account or a user."""
    prefix = PREFIXES[kind]
    raw = bytes([SEED | prefix >> 5, (prefix & 31) << 3]) + os.urandom(32)
    raw += binascii.crc_hqx(raw, 0).to_bytes(2, "little")
    seed = base64.b32encode(raw).rstrip(b"=")
    return Key(seed.decode(), nkeys.from_seed(bytearray(seed)).public_key.decode())


def signed(claims: dict[str, Any], issuer: Key) -> str:
    """Claims as a JWT of NATS."""
    head = {"typ": "JWT", "alg": "ed25519-nkey"}
    text = ".".join(_encoded(json.dumps(part).encode()) for part in (head, {**claims, "iss": issuer.public}))
    return f"{text}.{_encoded(nkeys.from_seed(bytearray(issuer.seed.encode())).sign(text.encode()))}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Operator:
    """An operator with an account that has JetStream, and its system account: the server's `config`, and users."""

    def __init__(self) -> None:
        self._operator, self._account, system = new_key("operator"), new_key("account"), new_key("account")
        unlimited = dict.fromkeys(
            ("subs", "data", "payload", "imports", "exports", "conn", "leaf", "mem_storage", "disk_storage", "streams",
             "consumer"), -1
        )  # fmt: skip
        bounds = {"limits": {**unlimited, "wildcards": True}, "type": "account", "version": 2}
        own = {"type": "operator", "version": 2, "system_account": system.public}
        operator = self._claims(self._operator, "operator", own, self._operator)
        account = self._claims(self._account, "account", bounds, self._operator)
        watcher = self._claims(system, "system", {**bounds, "limits": {"conn": -1, "subs": -1}}, self._operator)
        self.config = (
            f"operator: {operator}\nsystem_account: {system.public}\nresolver: MEMORY\n"
            f"resolver_preload {{ {self._account.public}: {account}\n{system.public}: {watcher} }}\n"
        )

    def credentials(self, *, seconds: float | None = None) -> str:
        """A credentials file of a new user; with `seconds` it runs out after them."""
        user = new_key()
        about = {"pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1, "type": "user", "version": 2}
        claims = self._claims(user, "node", about, self._account, seconds)
        return (
            f"-----BEGIN NATS USER JWT-----\n{claims}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
        )

    def _claims(self, subject: Key, name: str, about: dict[str, Any], issuer: Key, seconds: float | None = None) -> str:
        now = datetime.datetime.now(datetime.UTC).timestamp()
        claims: dict[str, Any] = {"jti": name, "iat": int(now), "name": name, "sub": subject.public, "nats": about}
        if seconds is not None:
            claims["exp"] = int(now + seconds)
        return signed(claims, issuer)
