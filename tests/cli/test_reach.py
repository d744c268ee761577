"""Which server a command speaks to, and what is said when that fails."""

import pytest

from lineshaft.cli.reach import Unreachable, reach, shown
from lineshaft.client import find_address, parse_url
from lineshaft.errors import Refusal


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
            "tcp://jobs:1 wants another password: set FAKTORY_URL=tcp://:PASSWORD@HOST:PORT, the password"
            " percent-encoded",
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


def failing(error):
    """A connection attempt that ends like this."""
    raise error
