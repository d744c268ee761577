"""Which server a command speaks to, and what is said when that fails."""

import socket
import threading

import pytest

from lineshaft.cli.main import run_command
from lineshaft.cli.reach import Unreachable, reach, shown
from lineshaft.client import find_address, parse_url
from lineshaft.errors import PeerError, Refusal
from processes import ServerProcess


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("tcp://localhost", "tcp://localhost:7419"),
        ("tcp://:hunter2@jobs:7000", "tcp://jobs:7000"),
        ("tcp+tls://ada:hunter2@jobs", "tcp+tls://jobs:7419"),
        ("tcp://[::1]:1", "tcp://[::1]:1"),
    ],
)
def test_an_address_is_shown_without_its_password(url, text):
    assert shown(parse_url(url)) == text


def test_the_server_is_that_of_the_environment():
    variables = {"FAKTORY_PROVIDER": "JOBS", "JOBS": "tcp://a:1", "FAKTORY_URL": "tcp://b:2"}
    assert shown(find_address(None, variables)) == "tcp://a:1"


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (
            ConnectionRefusedError(111, "Connection refused"),
            "no server answers at tcp://jobs:1: start one with `lineshaft serve`, or set FAKTORY_URL",
        ),
        (TimeoutError("timed out"), "no server answers at tcp://jobs:1 (timed out): is FAKTORY_URL the right one?"),
        (
            ConnectionResetError(),
            "no server answers at tcp://jobs:1 (ConnectionResetError): is FAKTORY_URL the right one?",
        ),
        (
            Refusal("Invalid password"),
            "the server refused: tcp://jobs:1 wants another password:"
            " set FAKTORY_URL=tcp://:PASSWORD@jobs:1, the password percent-encoded",
        ),
    ],
)
def test_what_goes_wrong_says_what_to_do(monkeypatch, raised, said):
    monkeypatch.setattr("lineshaft.cli.reach.Client", lambda **_: failing(raised))
    with pytest.raises(Unreachable) as caught, reach({"FAKTORY_URL": "tcp://:hunter2@jobs:1"}):
        pass
    assert str(caught.value) == said


def test_other_refusals_pass(monkeypatch):
    monkeypatch.setattr("lineshaft.cli.reach.Client", lambda **_: failing(Refusal("no")))
    with pytest.raises(Refusal, match="no"), reach({}):
        pass


def test_the_advice_names_the_variable_that_counts(monkeypatch):
    monkeypatch.setattr("lineshaft.cli.reach.Client", lambda **_: failing(Refusal("Invalid password")))
    with pytest.raises(Unreachable) as caught, reach({"FAKTORY_PROVIDER": "JOBS", "JOBS": "tcp+tls://:x@[::1]"}):
        pass
    assert str(caught.value).endswith(": set JOBS=tcp+tls://:PASSWORD@[::1]:7419, the password percent-encoded")


def test_a_host_that_no_name_can_be_is_told_as_a_wrong_url(info):
    code, said = info("tcp://:hunter2@a..b")
    assert code == 2
    assert said.startswith("not the URL of a server: ")


# Over TLS, with real servers


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory, certificate):
    """A server with a certificate of its own and the password hunter2."""
    root = tmp_path_factory.mktemp("tls")
    certificate(root / "config")
    with ServerProcess(root, '[faktory]\npassword = "hunter2"\n') as server:
        yield server


@pytest.fixture
def info(capsys, monkeypatch):
    """`lineshaft info` for a URL and a SSL_CERT_FILE: its exit code and its one line on stderr."""

    def run(url, trusted=None):
        monkeypatch.delenv("FAKTORY_PROVIDER", raising=False)
        monkeypatch.delenv("SSL_CERT_DIR", raising=False)
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        monkeypatch.setenv("FAKTORY_URL", url)
        if trusted is not None:
            monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        code = run_command(["info"])
        said = capsys.readouterr().err
        assert said.count("\n") <= 1
        return code, said.removeprefix("lineshaft: ").rstrip("\n")

    return run


def test_a_certificate_that_nobody_vouches_for(tls_server, info, tmp_path):
    where = f"tcp+tls://127.0.0.1:{tls_server.port}"
    url = where.replace("//", "//:hunter2@")
    code, said = info(url)
    assert code == 1
    assert said.startswith(f"{where} answers, but its certificate is not trusted (self")
    assert said.endswith("): SSL_CERT_FILE=/path/public.cert.pem makes this command trust it")
    code, said = info(url, tmp_path / "gone.pem")
    assert code == 1
    assert said.endswith(f" makes this command trust it (now it is {tmp_path}/gone.pem)")
    assert info(url, tls_server.config / "public.cert.pem") == (0, "")


def test_a_certificate_for_another_host(tls_server, info):
    code, said = info(f"tcp+tls://:hunter2@localhost:{tls_server.port}", tls_server.config / "public.cert.pem")
    assert code == 1
    assert said.endswith("): FAKTORY_URL must name a host that the certificate is for")


def test_a_certificate_that_is_over(certificate, info, tmp_path):
    public, _ = certificate(tmp_path / "config", days=-1)
    with ServerProcess(tmp_path) as server:
        code, said = info(f"tcp+tls://127.0.0.1:{server.port}", public)
    assert code == 1
    assert said.endswith("is not trusted (certificate has expired): renew it, or set this machine's clock right")


@pytest.mark.parametrize(("user", "what"), [("", "asks for a password"), (":wrong@", "wants another password")])
def test_a_wrong_and_a_missing_password_are_refusals_alike(tls_server, info, user, what):
    where = f"tcp+tls://127.0.0.1:{tls_server.port}"
    assert info(where.replace("//", f"//{user}"), tls_server.config / "public.cert.pem") == (
        1,
        f"the server refused: {where} {what}: set FAKTORY_URL=tcp+tls://:PASSWORD@127.0.0.1:{tls_server.port},"
        " the password percent-encoded",
    )


@pytest.fixture
def plain_port():
    """A port whose server says what a test puts into the list, and closes."""
    words = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)

        def serve():
            connection, _ = listener.accept()
            with connection:
                for word in words:
                    connection.sendall(word)
                    connection.recv(1 << 16)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1], words
        thread.join(60)


def test_a_plain_client_on_a_tls_port_is_pointed_at_tls(plain_port, info):
    # That is what the server does: it waits 3 s for a TLS handshake, and closes.
    port, _ = plain_port
    assert info(f"tcp://127.0.0.1:{port}") == (
        1,
        "the server closed the connection without a greeting: if it speaks TLS, its URL begins with tcp+tls://",
    )


def test_a_tls_client_on_a_plain_port_is_pointed_at_no_tls(plain_port, info):
    port, words = plain_port
    words.append(b'+HI {"v":2}\r\n')
    code, said = info(f"tcp+tls://127.0.0.1:{port}")
    assert code == 1
    assert said.startswith(f"tcp+tls://127.0.0.1:{port} answers, but not in TLS (")
    assert said.endswith("): if it has no certificate, its URL begins with tcp://")


def test_other_ends_are_told_as_they_are(plain_port):
    port, words = plain_port
    words.append(b'+HI {"v":2}\r\n')
    with pytest.raises(PeerError) as caught, reach({"FAKTORY_URL": f"tcp://127.0.0.1:{port}"}) as client:
        client.info()
    assert "TLS" not in str(caught.value)


def failing(error):
    """A connection attempt that ends like this."""
    raise error
