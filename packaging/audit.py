"""Asks whether a locked dependency has a known vulnerability, and says so plainly when nobody could be asked.

    python packaging/audit.py [FILE]        requirements/dev.txt, which has the server's dependencies in it

Exit code 0: none has one, or the service cannot be reached from here; 1: one has; 2: the audit itself failed.

pip-audit asks the package index. Some mirrors of it have the packages and not what is known about them; pip-audit then
skips every one and ends with success, which would be a false all-clear. So its report is read here.
"""

import json
import subprocess
import sys
from typing import Any

__all__ = ["judge", "main"]

LOCKED = "requirements/dev.txt"

#: What is known and does not concern us: the id, and why.
IGNORED: dict[str, str] = {}

UNREACHABLE = ("ConnectionError", "ConnectTimeout", "Could not connect", "Max retries", "ServiceError", "HTTPError")


def main() -> int:
    """Audit a file of requirements; returns the exit code."""
    file = sys.argv[1] if len(sys.argv) > 1 else LOCKED
    command = [sys.executable, "-m", "pip_audit", "-r", file, "--require-hashes", "--disable-pip", "--format", "json"]
    for known in IGNORED:
        command += ["--ignore-vuln", known]
    done = subprocess.run([*command, "--progress-spinner", "off"], capture_output=True, text=True, check=False)
    try:
        report = json.loads(done.stdout)
    except ValueError:
        if any(word in done.stderr for word in UNREACHABLE):
            return tell(0, f"AUDIT: could not look: the service cannot be reached: {done.stderr.strip()[-300:]}")
        return tell(2, f"AUDIT: failed: {done.stderr.strip()[-2000:]}")
    return tell(*judge(report["dependencies"], file))


def judge(found: list[dict[str, Any]], file: str) -> tuple[int, str]:
    """The exit code and what to say about pip-audit's report on each dependency."""
    skipped = [one for one in found if "skip_reason" in one]
    bad = [
        f"{one['name']} {one['version']}: {hole['id']} (mended in {', '.join(hole['fix_versions']) or 'no version'})"
        for one in found
        for hole in one.get("vulns", ())
    ]
    if bad:
        return 1, "\n".join([f"AUDIT: {len(bad)} known vulnerabilities in {file}:", *bad])
    if not found or len(skipped) == len(found):
        reason = skipped[0]["skip_reason"] if skipped else "the file names nothing"
        return 0, f"AUDIT: could not look: nothing was found out about any of {len(found)} dependencies: {reason}"
    rest = f"; nothing was found out about {', '.join(one['name'] for one in skipped)}" if skipped else ""
    return 0, f"AUDIT: none of {len(found) - len(skipped)} dependencies in {file} has a known vulnerability{rest}"


def tell(code: int, text: str) -> int:
    """Print, on stderr what is no all-clear."""
    print(text, file=sys.stderr if code or "could not look" in text else sys.stdout)
    return code


if __name__ == "__main__":
    sys.exit(main())
