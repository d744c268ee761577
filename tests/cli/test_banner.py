"""What the server says at its start."""

from pathlib import Path

from msgspec.structs import replace

from lineshaft import __version__
from lineshaft.cli.banner import start_banner
from lineshaft.config import Binding, Config, Secret
from lineshaft.config.model import Faktory, Storage, Web

CONFIG = Config(config_dir=Path("/home/ada/.lineshaft"), data_dir=Path("/home/ada/.lineshaft/data"))


def rows(config):
    """The banner's lines by their first word."""
    head, *lines = start_banner(config).split("\n")
    assert head == f"Lineshaft {__version__}, {config.environment}"
    return {line.split()[0]: line.split(None, 1)[1] for line in lines}


def test_the_defaults():
    assert rows(CONFIG) == {
        "jobs": "tcp://127.0.0.1:7419",
        "web": "http://127.0.0.1:7420",
        "data": "/home/ada/.lineshaft/data",
        "config": "/home/ada/.lineshaft (no file in conf.d, so defaults)",
        "sync": "always (+OK means on disk)",
        "password": "none",
        "TLS": "off",
    }


def test_what_a_production_server_says():
    config = replace(
        CONFIG,
        environment="production",
        faktory=Faktory(Binding("", 7419), Secret("hunter2")),
        web=Web(None),
        storage=Storage(sync="interval", interval_ms=20),
        tls=(Path("/etc/lineshaft/public.cert.pem"), Path("/etc/lineshaft/private.key.pem")),
        files=(Path("a.toml"), Path("b.toml")),
    )
    said = rows(config)
    assert said["jobs"] == "tcp+tls://:7419 (every interface)"
    assert said["web"] == "off"
    assert said["config"] == "/home/ada/.lineshaft (2 files in conf.d)"
    assert said["sync"] == "every 20 ms (a power cut may lose what was accepted since the last sync)"
    assert said["password"] == "required"
    assert said["TLS"] == "on (/etc/lineshaft/public.cert.pem)"
    assert "hunter2" not in start_banner(config)


def test_an_open_server_is_told_to_be_open():
    config = replace(CONFIG, faktory=Faktory(Binding("0.0.0.0", 7419)))
    assert rows(config)["password"] == "none, and other machines can connect"
    config = replace(config, password_skipped=True)
    assert rows(config)["password"] == "none (FAKTORY_SKIP_PASSWORD), and other machines can connect"


def test_memory_is_not_called_a_disk():
    said = rows(replace(CONFIG, ephemeral=True))
    assert said["data"] == "memory only (--ephemeral): gone when the server stops"
    assert said["sync"] == "none (--ephemeral)"


def test_never_says_what_it_costs():
    said = rows(replace(CONFIG, storage=Storage(sync="never")))
    assert said["sync"] == "never (a power cut may lose what the operating system had not written yet)"
