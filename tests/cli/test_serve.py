"""Starts that cannot be: what is said of certificates, addresses and flags that a shell left empty."""

import socket
import subprocess
import sys

import pytest

from lineshaft.cli.main import run_command
from lineshaft.config import Binding, Config
from lineshaft.daemon import tls_context
from lineshaft.errors import ConfigError, UsageError
from lineshaft.sockets import bind
from lineshaft.store.directory import require_ours
from lineshaft.store.rocks import RocksStore
from processes import ServerProcess
from wire_client import WireClient


def complaint(tmp_path, pair):
    """What is wrong with the two files, without the part that names them."""
    with pytest.raises(ConfigError) as caught:
        tls_context(Config(config_dir=tmp_path, data_dir=tmp_path, tls=pair))
    head, tail = str(caught.value).split(f"{pair[0]} and {pair[1]} cannot be used for TLS: ")
    assert head == ""
    assert "\n" not in tail
    return tail


def refusal_of(data):
    with pytest.raises(UsageError) as caught:
        require_ours(data)
    return str(caught.value)


def test_a_foreign_directory_is_left_alone(tmp_path):
    for name in ("letter.txt", "photos"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).write_text("mine")
        assert refusal_of(folder) == (
            f"{folder} is not empty, and there is no store in it ({name}): name an empty directory or a new one with"
            " --data, or move what is there away"
        )
        assert [file.name for file in folder.iterdir()] == [name]


def test_a_server_does_not_start_in_a_foreign_directory(tmp_path, capsys):
    (tmp_path / "letter.txt").touch()
    assert run_command(["serve", "-d", str(tmp_path), "-w", ":0", "-b", "127.0.0.1:0"]) == 2
    assert "is not empty, and there is no store in it (letter.txt)" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["letter.txt"]


def test_a_stop_is_one_line(tmp_path):
    with ServerProcess(tmp_path) as server, WireClient(server.port) as client:
        client.push("left-0001")
        assert client.fetch() is not None
        assert server.stop() == 0
    (said,) = [line for line in server.log.read_text().splitlines() if "stopped" in line]
    assert said.endswith("stopped; workers hold 1 job, and may acknowledge when it runs again")


def test_what_is_no_directory_holds_no_data(tmp_path):
    file = tmp_path / "passwd"
    file.write_text("root")
    assert refusal_of(file) == f"{file} is no directory: name an empty one or a new one with --data"
    inside = file / "data"
    assert refusal_of(inside) == f"{file} is no directory, so {inside} cannot be made: name another with --data"


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["lost+found", ".gitkeep", ".snapshot"],
        ["conf.d", "public.cert.pem", "private.key.pem"],
        ["LOCK", "LOG", "LOG.old.1", "backup.staging"],
    ],
)
def test_what_may_lie_in_a_data_directory(tmp_path, names):
    for name in names:
        (tmp_path / name).touch()
    require_ours(tmp_path)
    RocksStore(tmp_path).close()
    # Once a store is there, whatever was put beside it does not keep a server from starting.
    (tmp_path / "notes.txt").touch()
    require_ours(tmp_path)


def test_a_good_pair_is_taken(tmp_path, certificate):
    pair = certificate(tmp_path)
    assert tls_context(Config(config_dir=tmp_path, data_dir=tmp_path, tls=pair)) is not None


def test_a_key_of_another_certificate(tmp_path, certificate):
    public, _ = certificate(tmp_path / "a")
    _, private = certificate(tmp_path / "b")
    assert complaint(tmp_path, (public, private)) == "the key does not belong to the certificate"


def test_a_key_with_a_passphrase(tmp_path, certificate):
    pair = certificate(tmp_path, passphrase=b"hunter2")
    assert complaint(tmp_path, pair) == (
        "private.key.pem is encrypted, and nobody is there to ask for its passphrase; store it without one"
        " (openssl pkey -in private.key.pem -out NEWFILE)"
    )


@pytest.mark.parametrize("content", [b"", b"junk", b"\xff\x30\x82", b"-----BEGIN CERTIFICATE-----\nMIIB\n"])
def test_a_certificate_that_is_none(tmp_path, certificate, content):
    pair = certificate(tmp_path)
    pair[0].write_bytes(content)
    assert complaint(tmp_path, pair) == "public.cert.pem is not a certificate in PEM form"


@pytest.mark.parametrize("content", [b"", b"junk", b"-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n"])
def test_a_key_that_is_none(tmp_path, certificate, content):
    pair = certificate(tmp_path)
    pair[1].write_bytes(content)
    assert complaint(tmp_path, pair) == "private.key.pem is not a private key in PEM form"


def test_swapped_files(tmp_path, certificate):
    public, private = certificate(tmp_path)
    assert complaint(tmp_path, (private, public)) == "private.key.pem is not a certificate in PEM form"


def test_a_file_that_cannot_be_read(tmp_path, certificate):
    public, private = certificate(tmp_path)
    private.unlink()
    private.mkdir()
    assert complaint(tmp_path, (public, private)) == "private.key.pem cannot be read: Is a directory"


def test_a_bad_certificate_is_a_usage_error(tmp_path, certificate):
    certificate(tmp_path / "config")
    certificate(tmp_path / "other")
    (tmp_path / "other" / "private.key.pem").replace(tmp_path / "config" / "private.key.pem")
    words = ["-b", "127.0.0.1:0", "-w", ":0", "-c", str(tmp_path / "config"), "-d", str(tmp_path / "data")]
    command = [sys.executable, "-m", "lineshaft", "serve", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.endswith("cannot be used for TLS: the key does not belong to the certificate\n")


def test_a_host_that_nobody_knows():
    try:
        socket.getaddrinfo("nosuchhost.invalid", 1)
    except socket.gaierror as error:
        words = error.strerror
    with pytest.raises(OSError, match="cannot listen on") as caught:
        bind(Binding("nosuchhost.invalid", 7419), "-b")
    assert str(caught.value) == (
        f"cannot listen on nosuchhost.invalid:7419: {words} (-b HOST:PORT names another address)"
    )


def test_a_host_that_no_name_can_be():
    with pytest.raises(
        OSError, match=r"a\.\.b:7419: no host can have this name \(-b HOST:PORT names another address\)"
    ):
        bind(Binding("a..b", 7419), "-b")


def test_an_address_in_use_is_told_in_the_systems_words():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"cannot listen on 127.0.0.1:{port}: Address already in use \(-w "):
            bind(Binding("127.0.0.1", port), "-w")


@pytest.mark.parametrize(
    ("words", "flag", "what"),
    [
        (["-d", ""], "--data", "a directory"),
        (["--data="], "--data", "a directory"),
        (["-c", ""], "--config", "a directory"),
        (["-b", ""], "--binding", "HOST:PORT"),
        (["-w", ""], "--web", "HOST:PORT"),
    ],
)
def test_an_empty_flag_is_no_default(capsys, monkeypatch, tmp_path, words, flag, what):
    monkeypatch.setenv("HOME", str(tmp_path))
    # No server would start in production without a password, so this test ends when the flag is not refused.
    monkeypatch.delenv("FAKTORY_PASSWORD", raising=False)
    assert run_command(["serve", "-e", "production", *words]) == 2
    assert capsys.readouterr().err == (
        f"lineshaft: {flag} is empty (from a shell variable that is not set?): give it {what}, or leave {flag} out\n"
    )
    assert not list(tmp_path.iterdir())


def test_the_directory_to_check_is_not_the_default_either(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run_command(["check", "-d", ""]) == 2
    assert capsys.readouterr().err.startswith("lineshaft: --data is empty ")
