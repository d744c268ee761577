"""`lineshaft password` prints a hash that the pages take."""

import subprocess
import sys

from lineshaft.web.access.accounts import Account, Keyring, Role


def ask(given: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lineshaft", "password"]
    return subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=False)


def test_the_hash_opens() -> None:
    done = ask("open sesame\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert Keyring().opens(Account("ana", done.stdout.strip(), Role.ADMIN), b"open sesame")
    assert "sesame" not in done.stdout


def test_an_empty_password_is_refused() -> None:
    done = ask("\n")
    assert done.returncode == 2
    assert "not empty" in done.stderr
