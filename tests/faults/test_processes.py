"""Real faults on a real server: the disk is full, the file system read-only, no file can be opened, the clock is set.

What has to be mounted needs root; without it those tests are skipped and say so.
"""

import json
import os
import resource
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from faults.laws import check_disk
from faults.ledger import Ledger
from processes import ServerProcess
from wire_client import WireClient, WireError

MIB = 1 << 20


class Mounted:
    """A small file system in memory, with the server's data on it."""

    def __init__(self, root: Path) -> None:
        self.path = root / "small"
        self.path.mkdir()
        self._mount("-t", "tmpfs", "-o", f"size={48 * MIB}", "none", str(self.path))
        self.server = ServerProcess(root, '[storage]\nmin_free = "0"\n')
        self.server.data = self.path / "data"
        self.ballast = self.path / "ballast"

    def _mount(self, *arguments: str) -> None:
        subprocess.run(["mount", *arguments], check=True)

    def fill(self, left: int) -> None:
        """Take all the space but so many bytes."""
        with suppress(OSError), self.ballast.open("ab", buffering=0) as file:
            while True:
                file.write(b"\0" * 65_536)
        os.truncate(self.ballast, self.ballast.stat().st_size - left)

    def set_writable(self, is_writable: bool) -> None:
        self._mount("-o", "remount," + ("rw" if is_writable else "ro"), str(self.path))

    def close(self) -> None:
        if self.server.process is not None and self.server.process.poll() is None:
            self.server.kill()
        subprocess.run(["umount", "-l", str(self.path)], check=True)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Mounted]:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small file system")
    try:
        mounted = Mounted(tmp_path)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no file system can be mounted here: {error}")
    yield mounted
    mounted.close()


class Failing:
    """A small ext4 with the server's data on it, which can be made to turn read-only as by an error of its disk."""

    def __init__(self, root: Path) -> None:
        self.path, self.image = root / "disk", root / "image"
        self.path.mkdir()
        with self.image.open("wb") as image:
            image.truncate(64 * MIB)
        subprocess.run(["mkfs.ext4", "-q", str(self.image)], check=True)
        self._mount("-o", "loop,errors=remount-ro", str(self.image))
        self.server = ServerProcess(root, '[storage]\nmin_free = "0"\n')
        self.server.data = self.path / "data"

    def _mount(self, *arguments: str) -> None:
        subprocess.run(["mount", *arguments, str(self.path)], check=True)

    def fail(self) -> None:
        """The kernel finds an error, and lets nobody write any more."""
        device = subprocess.run(
            ["findmnt", "-no", "SOURCE", str(self.path)], capture_output=True, text=True, check=True
        )
        Path(f"/sys/fs/ext4/{Path(device.stdout.strip()).name}/trigger_fs_error").write_text("a test")

    def heal(self) -> None:
        """The disk is looked at, and mounted again."""
        subprocess.run(["umount", str(self.path)], check=True)
        subprocess.run(["e2fsck", "-fy", str(self.image)], capture_output=True, check=False)
        self._mount("-o", "loop,errors=remount-ro", str(self.image))

    def close(self) -> None:
        if self.server.process is not None and self.server.process.poll() is None:
            self.server.kill()
        subprocess.run(["umount", "-l", str(self.path)], check=True)


@pytest.fixture
def failing(tmp_path: Path) -> Iterator[Failing]:
    if os.geteuid() != 0 or any(shutil.which(tool) is None for tool in ("mount", "findmnt", "mkfs.ext4", "e2fsck")):
        pytest.skip("only root can mount an ext4, with the tools for it")
    try:
        failing = Failing(tmp_path)
    except (subprocess.CalledProcessError, OSError) as error:
        pytest.skip(f"no ext4 can be mounted here: {error}")
    yield failing
    failing.close()


def push_until_refused(client: WireClient, ledger: Ledger, name: str, *, most: int = 4000) -> str:
    """Push until one is refused; returns the refusal. What was answered +OK is in the ledger."""
    for count in range(most):
        try:
            client.push(f"{name}-{count:06d}", args=["x" * 4000])
        except WireError as error:
            return str(error)
        ledger.pushed.add(f"{name}-{count:06d}")
    raise AssertionError("nothing was ever refused")


def push_when_it_goes_on(client: WireClient, ledger: Ledger, jid: str, *, seconds: float = 60.0) -> None:
    """Push until it is accepted, on the same connection and without a restart."""
    end = time.monotonic() + seconds
    while True:
        try:
            client.push(jid)
        except WireError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            ledger.pushed.add(jid)
            return


def test_a_full_disk_and_space_again(mounted: Mounted) -> None:
    ledger, server = Ledger(), mounted.server
    with server, WireClient(server.port) as client:
        client.push("before-0001")
        ledger.pushed.add("before-0001")
        for life, left in enumerate([0, MIB, 100_000, 3 * MIB]):
            mounted.fill(left)
            refusal = push_until_refused(client, ledger, f"full{life}")
            assert "storage" in refusal, refusal
            assert server.process is not None
            assert server.process.poll() is None, "the process lives"
            mounted.ballast.unlink()
            push_when_it_goes_on(client, ledger, f"after-{life:04d}")
        assert client.fetch() is not None
        ledger.let_go.add("before-0001")
        server.kill()
    check_disk(server.data, ledger)
    assert len(ledger.pushed) > 100, "there was room for some"


def test_a_start_on_a_read_only_file_system(mounted: Mounted) -> None:
    ledger, server = Ledger(), mounted.server
    with server, WireClient(server.port) as client:
        for count in range(50):
            client.push(f"before-{count:04d}")
            ledger.pushed.add(f"before-{count:04d}")
        server.kill()
    mounted.set_writable(False)
    with pytest.raises(AssertionError, match="did not start"):
        server.start()
    said = server.log.read_text()
    assert "Traceback" not in said, said[-2000:]
    assert "ead-only" in said, said[-2000:]
    mounted.set_writable(True)
    with server, WireClient(server.port) as client:
        client.push("after-0001")
        ledger.pushed.add("after-0001")
        server.kill()
    check_disk(server.data, ledger)


def test_a_file_system_turns_read_only_under_the_server(failing: Failing) -> None:
    """Clients are told, what was acknowledged is there, and the process lives until somebody has mended the disk."""
    ledger, server = Ledger(), failing.server
    with server, WireClient(server.port) as client:
        for count in range(50):
            client.push(f"before-{count:04d}")
            ledger.pushed.add(f"before-{count:04d}")
        failing.fail()
        refusal = push_until_refused(client, ledger, "after")
        assert "storage" in refusal, refusal
        with pytest.raises(WireError, match="storage"):
            client.push("refused-0001")
        with WireClient(server.port) as other, pytest.raises(WireError, match="storage"):
            other.push("refused-0002")
        assert server.process is not None
        assert server.process.poll() is None, "the process lives"
        assert "Traceback" not in server.log.read_text()
        assert "ead-only" in server.log.read_text()
        server.kill()
    failing.heal()
    with server, WireClient(server.port) as client:
        client.push("mended-0001")
        ledger.pushed.add("mended-0001")
        server.kill()
    check_disk(server.data, ledger)


def test_no_file_can_be_opened(tmp_path: Path) -> None:
    """More connections than files: those that are there go on, and later there is room again."""
    server, ledger = ServerProcess(tmp_path), Ledger()
    with server:
        assert server.process is not None
        client = WireClient(server.port)
        open_files = len(os.listdir(f"/proc/{server.process.pid}/fd"))
        limit = open_files + 8
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (limit, limit))
        others = []
        for _ in range(30):
            with suppress(OSError, EOFError, AssertionError):
                others.append(WireClient(server.port, timeout=0.5))
        assert len(others) < 30
        for count in range(300):
            client.push(f"during-{count:04d}", args=["x" * 1000])
            ledger.pushed.add(f"during-{count:04d}")
        for other in others:
            other.close()
        end = time.monotonic() + 30
        while True:
            try:
                with WireClient(server.port, timeout=2) as late:
                    late.push("after-0001")
                break
            except (OSError, EOFError):
                assert time.monotonic() < end, server.log.read_text()[-2000:]
                time.sleep(0.1)
        ledger.pushed.add("after-0001")
        client.close()
        server.kill()
    check_disk(server.data, ledger)


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    library = tmp_path_factory.mktemp("library") / "clock.so"
    source = Path(__file__).with_name("clock.c")
    command = [
        compiler,
        "-O1",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-shared",
        "-fPIC",
        "-o",
        str(library),
        str(source),
        "-ldl",
    ]
    subprocess.run(command, check=True)
    return library


@pytest.mark.parametrize("seconds", [-3600, 3600], ids=["an hour back", "an hour on"])
def test_the_clock_is_set(clock: Path, tmp_path: Path, seconds: int) -> None:
    file = tmp_path / "clock"
    file.write_text("0")
    server = ServerProcess(tmp_path, environment={"LD_PRELOAD": str(clock), "CLOCK_SET": str(file)})
    hello = {"v": 2, "wid": "w1", "hostname": "h", "pid": 1, "labels": []}
    with server, WireClient(server.port, hello) as worker, WireClient(server.port) as producer:
        now = json.loads(producer.command(b"INFO"))["now"]
        assert worker.command(b'BEAT {"wid":"w1"}') == "OK"
        producer.push("held-00001", reserve_for=7200)
        producer.push("failed-0001", queue="failing")
        assert worker.fetch() is not None
        assert worker.fetch("failing") is not None
        worker.fail("failed-0001", retry_in=1)
        began = time.monotonic()
        worker.send(b"FETCH nothing")
        time.sleep(0.5)
        file.write_text(str(seconds))
        # Whoever waits goes on waiting as long as it would have, and no shorter.
        assert worker.reply() is None
        assert 1.5 < time.monotonic() - began < 12
        assert json.loads(producer.command(b"INFO"))["now"][:13] != now[:13], "the clock was not set"
        # The worker has not fallen silent meanwhile: what it holds is still its own.
        assert producer.command(b'PUSH {"jid":"after-0001","jobtype":"T","args":[]}') == "OK"
        job = worker.fetch()
        assert job is not None
        assert job["jid"] == "after-0001"
        assert worker.command(b'BEAT {"wid":"w1"}') == "OK"
        worker.ack("held-00001")
        assert producer.info()["faktory"]["sets"]["working"] == 1
        file.write_text("0")
        # Back in its own time the retry comes, whatever the clock said in between.
        worker.socket.settimeout(20)
        for _ in range(8):
            job = worker.fetch("failing")
            if job is not None:
                break
        assert job is not None
        assert job["jid"] == "failed-0001"
