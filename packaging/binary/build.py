"""`make binary`: one file with the server, the command line, their libraries and Python itself.

It is made by PyInstaller, for the system that it is made on: Linux with this C library or a newer one, or macOS, on
this kind of processor. Everything of ours goes in, since commands, and uvicorn's parts, are imported by name.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]

#: Imported by a name in a string, so PyInstaller cannot see them.
BY_NAME: Final = ("lineshaft", "uvicorn", "redis", "rich._unicode_data")

#: In the environment of development, and of no use to anybody who runs a server.
LEFT_OUT: Final = ("pytest", "hypothesis", "mypy", "playwright", "tkinter", "IPython", "numpy")


def main() -> int:
    """Build dist/lineshaft, and have it say its version."""
    work = ROOT / "build" / "binary"
    shutil.rmtree(work, ignore_errors=True)
    command = [sys.executable, "-m", "PyInstaller", "--onefile", "--name", "lineshaft", "--noconfirm", "--clean"]
    command += ["--log-level", "WARN", "--strip" if sys.platform == "linux" else "--noupx"]
    command += ["--distpath", str(ROOT / "dist"), "--workpath", str(work), "--specpath", str(work)]
    for name in BY_NAME:
        command += ["--collect-submodules", name]
    for name in LEFT_OUT:
        command += ["--exclude-module", name]
    command += ["--collect-data", "lineshaft", "--copy-metadata", "lineshaft"]
    command.append(str(Path(__file__).with_name("lineshaft_main.py")))
    subprocess.run(command, check=True, cwd=ROOT)
    built = ROOT / "dist" / "lineshaft"
    subprocess.run([str(built), "--version"], check=True)
    print(f"{built}: {built.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
