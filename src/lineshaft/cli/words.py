"""How figures are said on the command line."""

__all__ = ["in_bytes", "in_seconds", "plural"]


def in_bytes(count: float) -> str:
    """A size as people say it, in powers of 1000 as disks are sold."""
    for unit in ("bytes", "kB", "MB"):
        if abs(count) < 1000:
            return f"{count:.0f} bytes" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def in_seconds(seconds: float) -> str:
    """A time as people say it: the two largest units."""
    seconds = max(seconds, 0.0)
    if seconds < 10:
        return f"{seconds:.1f}s"
    rest = round(seconds)
    parts: list[str] = []
    for name, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append(f"{count}{name}")
    return "".join(part for part in parts[:2] if part[:-1] != "0")


def plural(count: int, noun: str) -> str:
    """`1 job`, `2,000 jobs`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
