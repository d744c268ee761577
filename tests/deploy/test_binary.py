"""`make binary` (slow): built, and then run where there is no Python at all."""

import json
import os
import shutil
import subprocess

import pytest

from acceptance.clients.programs import wait_until
from deploy.image import SUITES, Stage, bootstrap
from deploy.test_docker import need
from docs.pages import ROOT
from lineshaft import __version__
from processes import free_port
from wire_client import WireClient


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """A bare Debian with the executable and nothing else of ours."""
    need("debootstrap")
    if os.geteuid() != 0:
        pytest.skip("chroot wants root")
    root = tmp_path_factory.mktemp("bare") / "root"
    bootstrap(SUITES["debian:bookworm-slim"], root)
    built = ROOT / "dist" / "lineshaft"
    built.unlink(missing_ok=True)
    subprocess.run(["make", "binary"], cwd=ROOT, check=True, capture_output=True)
    shutil.copy2(built, root / "usr" / "local" / "bin" / "lineshaft")
    return Stage(root)


def run(bare: Stage, *words: str, **variables: str) -> str:
    command = bare.call(["lineshaft", *words], **variables)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_it_runs_without_python(bare: Stage) -> None:
    assert [
        name for folder in ("usr/bin", "usr/local/bin") for name in os.listdir(bare.root / folder) if "python" in name
    ] == []
    assert run(bare, "--version") == f"lineshaft {__version__}\n"
    port, web = free_port(), free_port()
    (bare.root / "etc" / "lineshaft" / "conf.d").mkdir(parents=True)
    words = ["serve", "-b", f"127.0.0.1:{port}", "-w", f"127.0.0.1:{web}", "-d", "/data", "-e", "production"]
    serving = subprocess.Popen(
        bare.call(["lineshaft", *words], FAKTORY_SKIP_PASSWORD="1"), stdout=subprocess.PIPE, text=True
    )
    try:
        wait_until(lambda: is_open(port), "the server", seconds=60)
        url = {"FAKTORY_URL": f"tcp://127.0.0.1:{port}"}
        jid = run(bare, "push", "greet", '"world"', **url).strip()
        assert json.loads(run(bare, "jobs", "--json", **url))["job"]["jid"] == jid
        assert json.loads(run(bare, "top", "-c", "1", "--json", **url))["enqueued"] == 1
        assert "lineshaft" in run(bare, "completion", "bash")
        run(bare, "backup", "/copy", **url)
        run(bare, "restore", "/copy", "-d", "/restored")
        assert json.loads(run(bare, "check", "-d", "/restored", "--json"))["jobs"]["ready"] == 1
        assert jid in run(bare, "export", "-d", "/copy")
        page = subprocess.run(["curl", "-sf", f"http://127.0.0.1:{web}/"], capture_output=True, text=True, check=False)
        if shutil.which("curl"):
            assert "default" in page.stdout, "the templates are in it"
    finally:
        # The executable unpacks itself and starts the server as a child, which hears what it is sent.
        serving.terminate()
        assert serving.wait(30) == 0
        serving.communicate()


def is_open(port: int) -> bool:
    try:
        WireClient(port).close()
    except OSError:
        return False
    return True
