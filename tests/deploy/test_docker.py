"""The Dockerfile: linted, its sources there; (slow) its steps done in clean root folders, and what they made runs."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from acceptance.clients.programs import wait_until
from deploy.image import Stage, build, instructions
from docs.pages import ROOT
from processes import free_port
from wire_client import WireClient, WireError

FOLDER = ROOT / "packaging" / "docker"
DOCKERFILE = FOLDER / "Dockerfile"


def need(tool: str) -> str:
    """Where a tool is. Skips without it, but fails in CI."""
    found = shutil.which(tool) or shutil.which(tool, path=str(ROOT / ".venv" / "bin"))
    if found is None:
        reason = f"{tool} is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def test_the_lint() -> None:
    done = subprocess.run([need("hadolint"), str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_it_copies_what_the_context_lets_through() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied: set[str] = set()
    for name, rest in instructions(DOCKERFILE.read_text()):
        if name == "COPY" and "--from" not in rest:
            copied |= set(rest.split()[:-1])
    assert copied == allowed
    assert all((ROOT / source).exists() for source in copied)


def test_production_by_default_and_not_as_root() -> None:
    steps = instructions(DOCKERFILE.read_text())
    last = max(number for number, (name, _) in enumerate(steps) if name == "FROM")
    final = dict(steps[last:])
    assert "FAKTORY_ENV=production" in final["ENV"]
    assert final["USER"] == "10001:10001"
    assert final["VOLUME"] == '["/var/lib/lineshaft"]'
    assert final["EXPOSE"].split() == ["7419", "7420"]
    assert "/health/ready" in final["HEALTHCHECK"]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """The image as a root folder. Takes root, debootstrap and the package registries."""
    need("debootstrap")
    if os.geteuid() != 0:
        pytest.skip("chroot wants root")
    return build(DOCKERFILE, ROOT, tmp_path_factory.mktemp("image"))


def start(image: Stage, *words: str, **variables: str) -> "subprocess.Popen[str]":
    command = image.call([*image.entrypoint, *words], **variables)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_what_the_steps_make_runs(image: Stage) -> None:
    port, web = free_port(), free_port()
    words = [re.sub(":7419", f"127.0.0.1:{port}", re.sub(":7420", f"127.0.0.1:{web}", word)) for word in image.command]
    without = start(image, *words)
    assert "a password is required in production" in without.communicate(timeout=60)[0]
    assert without.returncode == 2
    running = start(image, *words, FAKTORY_PASSWORD="hunter2")
    try:
        health = [word.replace("127.0.0.1:7420", f"127.0.0.1:{web}") for word in image.healthcheck]
        check = image.call(health)
        wait_until(
            lambda: subprocess.run(check, capture_output=True, check=False).returncode == 0, "health", seconds=30
        )
        refused = WireClient(port, None)
        with pytest.raises(WireError, match="Invalid password"):
            refused.command(b'HELLO {"v":2}')
        refused.close()
        url = {"FAKTORY_URL": f"tcp://:hunter2@127.0.0.1:{port}"}
        assert subprocess.run(image.call(["lineshaft", "push", "T", "1"], **url), check=False).returncode == 0
        copy = image.call(["lineshaft", "backup", "/var/backups/lineshaft/one"], **url)
        assert subprocess.run(copy, check=False).returncode == 0
        owner = (image.root / "var/lib/lineshaft/CURRENT").stat()
        assert (owner.st_uid, owner.st_gid) == (10001, 10001)
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0
        assert subprocess.run(check, capture_output=True, check=False).returncode != 0
    finally:
        running.kill()
        running.communicate()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_it_is_small(image: Stage) -> None:
    size = sum(file.stat().st_size for file in Path(image.root).rglob("*") if file.is_file() and not file.is_symlink())
    print(f"{size / 1e6:.0f} MB, of which the environment {folder_size(image.root / 'opt/lineshaft') / 1e6:.0f} MB")
    assert size < 450e6
    assert not (image.root / "opt/lineshaft/bin/pip").exists()


def folder_size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
