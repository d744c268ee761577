"""Push: a job as a form or a program sends it by HTTP, before the engine has it."""

import json
import secrets

import msgspec

__all__ = ["with_jid"]


def with_jid(job: bytes) -> bytes:
    """A job, with a jid made up when it has none. Raises ValueError for what is no JSON object."""
    raw = msgspec.json.decode(job, type=dict[str, msgspec.Raw])
    if bytes(raw.get("jid", msgspec.Raw(b'""'))) in (b'""', b"null"):
        raw["jid"] = msgspec.Raw(json.dumps(secrets.token_hex(12)).encode())
    return msgspec.json.encode(raw)
