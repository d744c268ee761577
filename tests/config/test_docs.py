"""docs/configuration.md has every key, with its default and with when it takes effect; nothing else."""

import re
import tomllib
from pathlib import Path

import pytest
from msgspec.structs import fields

from lineshaft.config import Cron, CronJob, Queue
from lineshaft.config.entries import ApiToken, AuthUser, Throttle, WebUser
from lineshaft.config.model import TABLES
from lineshaft.config.tables import keys_of

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
#: `[throttles]` has no keys of its own: its section has those of each queue in it.
SHAPES = {
    **TABLES,
    "throttles": Throttle,
    "queues.NAME": Queue,
    "[cron]": Cron,
    "cron.job": CronJob,
    "auth.users.NAME": AuthUser,
    "web.users.NAME": WebUser,
    "api.tokens.NAME": ApiToken,
}


def documented(table):
    """The rows of a table's section: key to (default, takes effect)."""
    section = PAGE.read_text("utf-8").split(f"\n## `[{table}]`\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (\w+) \| \S", section, re.MULTILINE)
    return {key: (default, takes) for key, default, takes in rows}


@pytest.mark.parametrize("table", SHAPES)
def test_every_key_is_documented(table):
    assert list(documented(table)) == list(keys_of(SHAPES[table]))


@pytest.mark.parametrize("table", SHAPES)
def test_when_it_takes_effect_is_true(table):
    for name, key in keys_of(SHAPES[table]).items():
        assert documented(table)[name][1] == ("restart" if key.at_start else "reload"), name


@pytest.mark.parametrize("table", SHAPES)
def test_the_defaults_are_true(table):
    required = {column.name for column in fields(SHAPES[table]) if column.required}
    defaults = SHAPES[table](**dict.fromkeys(required))
    for name, key in keys_of(SHAPES[table]).items():
        text = documented(table)[name][0]
        assert (text == "required") == (key.attribute in required)
        real = getattr(defaults, key.attribute)
        if real is None:
            # Not set at all; what then applies is told in words, or is the engine's own.
            assert not text.startswith('"')
        else:
            assert key.kind.read(tomllib.loads(f"x = {text.strip('`')}")["x"]) == real, name


def test_every_documented_table_exists():
    assert re.findall(r"^## `\[(.+)\]`$", PAGE.read_text("utf-8"), re.MULTILINE) == list(SHAPES)


def test_the_throttles_of_its_section_are_some(machine):
    section = PAGE.read_text("utf-8").split("\n## `[throttles]`\n")[1]
    machine.write(re.search(r"```toml\n(.*?)```", section, re.DOTALL)[1])
    assert list(machine.load().throttles.named) == ["mail", "mail.out", "api"]


def test_the_example_is_one(machine):
    example = re.search(r"## An example.*?```toml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)[1]
    secret = machine.root / "secret"
    secret.write_text("hunter2\n")
    machine.write(example.replace("/run/secrets/lineshaft", str(secret)))
    config = machine.load()
    assert config.password == "hunter2"
    assert config.queues.named["thumbnails"].reserve_for_seconds == 300
    assert config.cron[0].job.jobtype == "Cleanup"
