"""`import lineshaft` is cheap, and who only pushes or works needs nothing of the server."""

import subprocess
import sys

SERVER = ("rocksdict", "sortedcontainers", "starlette", "uvicorn", "uvloop", "cyclopts", "rich")


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_lineshaft_takes_less_than_100_ms() -> None:
    # Processor time, not the clock's: others may be busy on this machine.
    code = "import time; before = time.process_time(); import lineshaft; print(time.process_time() - before)"
    assert min(float(run(code)) for _ in range(3)) < 0.1


def test_it_imports_nothing_else() -> None:
    assert run("import sys; import lineshaft; print([m for m in sys.modules if m.startswith('lineshaft.')])") == "[]\n"


def test_client_and_worker_import_nothing_of_the_server() -> None:
    code = f"""
import sys
sys.modules.update(dict.fromkeys({SERVER!r}))
import lineshaft
for name in lineshaft.__all__:
    getattr(lineshaft, name)
import lineshaft.cli.work
print([m for m in sys.modules if m.startswith(("lineshaft.engine", "lineshaft.server", "lineshaft.store",
                                               "lineshaft.web", "lineshaft.config", "lineshaft.daemon"))])
"""
    assert run(code) == "[]\n"


def test_who_blocks_does_not_import_asyncio() -> None:
    assert run("import sys; from lineshaft import Client, Jobs, Retry; print('asyncio' in sys.modules)") == "False\n"


def test_there_is_nothing_else() -> None:
    assert run("import lineshaft; print(hasattr(lineshaft, 'Celery'))") == "False\n"
