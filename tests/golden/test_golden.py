"""Data of every version of the format that there has been: the server of today opens it, and finds every job in it."""

import json
import shutil
from pathlib import Path

import pytest

from golden.reading import lines_of
from lineshaft.engine.check.check import check
from lineshaft.engine.keys import FORMAT_VERSION
from lineshaft.store.rocks import RocksStore
from processes import ServerProcess
from wire_client import WireClient

HERE = Path(__file__).parent
VERSIONS = sorted(HERE.glob("format-*"))
DIRECTORIES = [folder / name for folder in VERSIONS for name in ("killed", "stopped")]


def name_of(path: Path) -> str:
    return f"{path.parent.name}-{path.name}"


@pytest.fixture(params=DIRECTORIES, ids=name_of)
def golden(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture
def data(golden: Path, tmp_path: Path) -> Path:
    """A copy that may be written to."""
    return Path(shutil.copytree(golden, tmp_path / "data"))


def expected(golden: Path) -> list[bytes]:
    return (golden.parent / "jobs.jsonl").read_bytes().splitlines()


def test_every_version_has_its_directory() -> None:
    assert [folder.name for folder in VERSIONS] == [f"format-{number + 1}" for number in range(FORMAT_VERSION)]


def test_every_job_is_read_as_it_was_written(golden: Path, data: Path) -> None:
    if golden.parent.name == f"format-{FORMAT_VERSION}":
        assert lines_of(data) == expected(golden)


def test_it_is_sound(data: Path) -> None:
    store = RocksStore(data)
    try:
        assert list(check(store)) == []
    finally:
        store.close()


def jids_of(lines: list[bytes]) -> set[str]:
    """The jobs of an export that nothing but a worker ends: none that is leased, and none that expires."""
    rows = [json.loads(line) for line in lines]
    kept = [row["job"] for row in rows if row.get("place") not in (None, "leased")]
    return {job["jid"] for job in kept if not {"expires_in", "expires_at"} & (job.get("custom") or {}).keys()}


def test_a_server_goes_on_with_it(golden: Path, data: Path, tmp_path: Path) -> None:
    # Dead jobs of the past would be pruned at once.
    server = ServerProcess(tmp_path / "server", '[retention]\ndead = "36500d"\n')
    server.data = data
    with server, WireClient(server.port) as client:
        client.command(b"QUEUE RESUME *")
        job = client.fetch("default", "prio")
        assert job is not None
        assert client.ack(job["jid"]) == "OK"
        assert server.stop() == 0
    before, after = jids_of(expected(golden)), jids_of(lines_of(data))
    assert before - after <= {job["jid"]}
    assert len(before) > 30
    test_it_is_sound(data)
