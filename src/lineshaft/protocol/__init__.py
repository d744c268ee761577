"""The wire, without I/O: bytes to lines, lines to records, replies to bytes and back; shared by server and client."""

__all__: list[str] = []
