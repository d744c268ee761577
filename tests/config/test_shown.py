"""The configuration as it is shown: what stands there can be written into a file, and means the same."""

import tomllib

import pytest

from lineshaft.config.model import TABLES
from lineshaft.config.shown import MASKED, UNSET, shown
from lineshaft.config.tables import keys_of

FILE = """
[faktory]
password = "hidden-1"
[web]
hosts = ["jobs.example.com"]
[web.users.ana]
password = "hidden-2"
role = "operator"
[api.tokens.ci]
token = "hidden-3"
scopes = ["push", "read"]
[queues."mail.out"]
max_jobs = 5
reserve_for = "30m"
lane_by = "shop"
lane_rate = { rate = 10, per = "60s" }
[throttles.mail]
concurrency = 3
timeout = "90s"
[[cron]]
schedule = "0 3 * * *"
name = "nightly"
[cron.job]
type = "Report"
args = [1, "zwei", true, { "a" = [] }]
"""


@pytest.fixture
def config(machine):
    machine.write(FILE)
    return machine.load()


def test_what_is_shown_is_read_as_the_same(config) -> None:
    told = {(one.table, one.key): one.value for one in shown(config)}
    tried = 0
    for table, shape in TABLES.items():
        for name, key in keys_of(shape).items():
            value = told[table, name]
            if value not in (MASKED, UNSET):
                tried += 1
                assert key.kind.read(tomllib.loads(f"x = {value}")["x"]) == getattr(
                    getattr(config, table), key.attribute
                )
    assert tried > 30


def test_named_tables_and_cron_are_there(config) -> None:
    told = {(one.table, one.key): one.value for one in shown(config)}
    assert told['queues."mail.out"', "reserve_for"] == '"30m"'
    assert told['queues."mail.out"', "lane_rate"] == '{ rate = 10, per = "1m" }'
    assert told["throttles.mail", "timeout"] == '"90s"'
    assert told["[cron]", "schedule"] == '"0 3 * * *"'
    assert told["cron.job", "args"] == '[1, "zwei", true, { a = [] }]'
    assert told["web.users.ana", "role"] == '"operator"'
    assert told["api.tokens.ci", "scopes"] == '["push", "read"]'
    assert told["retention", "dead"] == '"180d"'
    assert told["storage", "memory"] == '"64MiB"'
    assert told["storage", "min_free"] == '"256MB"'
    assert told["storage", "jid_index"] == "true"


def test_no_secret_is_shown(config) -> None:
    told = list(shown(config))
    assert not [one for one in told if "hidden" in one.value]
    assert sum(one.value == MASKED for one in told) == 3


def test_what_is_as_it_comes_is_marked(config) -> None:
    told = {(one.table, one.key): one.is_default for one in shown(config)}
    assert told["retention", "dead"]
    assert not told["web", "hosts"]
    assert not told["throttles.mail", "timeout"]
