"""Plays a page as its reader would: files are written, commands typed, and what is printed compared with the page.

A block of Python is the file that the line before it names (`name.py`:), and is added to it when it is said again; a
block `sh` is a command, and the block `text` behind it is what it prints, or the last of it. Workers run beside.
"""

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

_BLOCK = re.compile(r"(?:^[^\n]*`([\w/]+\.py)`:\n\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Session:
    """A reader with a folder, a server and some terminals."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.environment = {**os.environ, "FAKTORY_URL": url, "PYTHONWARNINGS": "error"}
        self.worker: subprocess.Popen[bytes] | None = None
        self.log = folder / "worker.log"
        self.printed = ""

    def play(self, page: str) -> int:
        """Play all blocks in order; returns how many outputs were compared."""
        compared, last_file = 0, ""
        for name, language, text in _BLOCK.findall(page):
            if language == "python":
                last_file = name or last_file
                with (self.folder / last_file).open("a") as file:
                    file.write(text)
            elif language == "sh":
                self.type(text)
            elif language == "text":
                self.expect(text)
                compared += 1
        return compared

    def type(self, command: str) -> None:
        words = command.replace(".venv/bin/python", shlex.quote(sys.executable))
        words = re.sub(r"^(\.venv/bin/)?lineshaft", f"{shlex.quote(sys.executable)} -m lineshaft", words)
        if " work " in words:
            self.stop()
            with self.log.open("wb") as log:
                self.worker = subprocess.Popen(
                    shlex.split(words), cwd=self.folder, env=self.environment, stdout=log, stderr=log
                )
            self.expect(" at a time\n", ends=False)
            return
        done = subprocess.run(
            words,
            shell=True,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        self.printed = done.stdout + done.stderr

    def expect(self, text: str, *, ends: bool = True) -> None:
        """What was printed ends like this, or the worker has printed it or is about to."""
        end = time.monotonic() + 60
        while not ((ends and self.printed.endswith(text)) or (self.log.exists() and text in self.log.read_text())):
            assert time.monotonic() < end, f"expected {text!r}, printed {self.printed!r}, log {self.log.read_text()}"
            time.sleep(0.02)

    def stop(self) -> None:
        if self.worker is not None:
            self.worker.terminate()
            assert self.worker.wait(60) == 0, self.log.read_text()
            self.worker = None
