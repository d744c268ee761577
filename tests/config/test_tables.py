"""Every key of every table: what it gives, and what is said when it cannot be."""

import re

import pytest

from lineshaft.config import Config, Flags, Queue
from lineshaft.config.entries import Throttle
from lineshaft.config.model import TABLES, Queues
from lineshaft.config.tables import keys_of
from lineshaft.engine.records import LaneRules, Rate
from lineshaft.engine.settings import Settings
from lineshaft.engine.settings import Throttle as Limits
from lineshaft.errors import ConfigError
from lineshaft.protocol.handshake import MAX_LABELS
from lineshaft.server.settings import ServerSettings
from lineshaft.settings import engine_settings, server_settings
from lineshaft.store.rocks_options import DEFAULT_MEMORY_BYTES

EVERYTHING = """
[faktory]
binding = "0.0.0.0:7000"
password = "jobs"
[web]
binding = "0.0.0.0:7001"
password = "pages"
[storage]
sync = "interval"
interval_ms = 20
jid_index = false
min_free = "1GB"
memory = "64MiB"
[server]
connections = 50
line_limit = "1MiB"
description = "Jobs Enterprise"
refuse_duplicate_jids = false
[workers]
recover_after = "2m"
recover_limit = 5
[retention]
dead = "30d"
dead_max = 500
[queues]
backpressure = 1000
[queues.mail]
max_jobs = 10
reserve_for = "1h"
[queues."mail.out"]
backpressure = 20
reserve_for = 60
[queues.backpressure2]
"""


def test_every_key(loaded):
    config = loaded(EVERYTHING)
    assert str(config.faktory.binding) == "0.0.0.0:7000"
    assert config.password == "jobs"
    assert str(config.web.binding) == "0.0.0.0:7001"
    assert config.web_password == "pages"
    storage = config.storage
    assert (storage.sync, storage.interval_ms, storage.jid_index) == ("interval", 20, False)
    assert (storage.min_free_bytes, storage.memory_bytes) == (10**9, 64 << 20)
    assert (config.server.connections, config.server.line_limit_bytes) == (50, 1 << 20)
    assert config.server.description == "Jobs Enterprise"
    assert (config.workers.recover_after_ms, config.workers.recover_limit) == (120_000, 5)
    assert (config.retention.dead_ms, config.retention.dead_max) == (30 * 86_400_000, 500)
    assert config.queues.backpressure == 1000
    mail, out = config.queues.named["mail"], config.queues.named["mail.out"]
    assert (mail.limit, mail.reserve_for_seconds) == (10, 3600)
    assert (out.limit, out.reserve_for_seconds) == (20, 60)
    assert config.queues.named["backpressure2"] == Queue()


def test_throttles(loaded):
    text = (
        '[throttles]\nmail = { concurrency = 4, timeout = 60 }\n"mail.out" = { worker = 5, rate = 100, per = "1m" }\n'
    )
    config = loaded(text)
    assert config.throttles.named == {
        "mail": Throttle(concurrency=4, timeout_ms=60_000),
        "mail.out": Throttle(worker=5, rate=100, per_ms=60_000),
    }
    assert engine_settings(config).throttles == {
        "mail": Limits(concurrency=4, timeout=60_000),
        "mail.out": Limits(worker=5, rate=100, per=60_000),
    }


def test_a_queue_may_be_called_backpressure(loaded):
    queues = loaded("[queues.backpressure]\nmax_jobs = 1\n").queues
    assert queues.backpressure is None
    assert queues.named["backpressure"].limit == 1


def test_lanes(loaded):
    text = """
    [queues.mail]
    lane_by = "tenant"
    lane_concurrency = 4
    lane_rate = { rate = 10, per = 60 }
    [queues.orders]
    lane_by = "order_id"
    lane_order = "strict"
    """
    config = loaded(text)
    mail, orders = config.queues.named["mail"], config.queues.named["orders"]
    assert (mail.lane_by, mail.lane_concurrency, mail.lane_order) == ("tenant", 4, "priority")
    assert (mail.lane_rate.tokens, mail.lane_rate.per_ms) == (10, 60_000)
    assert orders.lane_order == "strict"
    rules = engine_settings(config)
    assert rules.limits("mail").lanes == LaneRules("tenant", 4, strict=False, rate=Rate(10, 60_000))
    assert rules.limits("orders").lanes == LaneRules("order_id", strict=True)
    assert rules.limits("other").lanes is None


def test_duplicates_can_be_refused(loaded):
    assert loaded("[server]\nrefuse_duplicate_jids = true\n").server.refuse_duplicate_jids is True


def test_recovery_can_be_switched_off(loaded):
    assert loaded("[workers]\nrecover_after = 0\n").workers.recover_after_ms == 0


def test_the_defaults_are_those_of_the_parts(machine):
    config, engine, server = machine.load(), Settings(), ServerSettings()
    assert config.storage.memory_bytes == DEFAULT_MEMORY_BYTES
    assert config.storage.sync == server.sync
    assert config.storage.interval_ms == server.sync_interval_ms
    assert config.storage.jid_index == engine.jid_index
    assert config.server.connections == server.max_connections
    assert config.server.line_limit_bytes == server.line_limit_bytes
    assert config.server.description == server.description
    assert config.server.refuse_duplicate_jids == engine.refuse_duplicate_jids
    assert config.workers.recover_after_ms == engine.recover_after
    assert config.workers.recover_limit == engine.recover_limit
    assert config.retention.dead_ms == engine.dead_keep
    assert config.retention.dead_max == engine.dead_max
    assert config.retention.results_ms == engine.results_keep
    assert config.retention.batches_ms == engine.batches_keep
    assert config.retention.batches_open_ms == engine.batches_open
    assert config.limits.batches == engine.most.batches
    assert config.limits.custom_bytes == engine.most.custom_bytes
    assert config.limits.workers == engine.most.workers
    assert config.limits.labels == server.most_labels == MAX_LABELS


def test_limits_reach_what_they_limit(loaded):
    config = loaded('[limits]\nbatches = 7\ncustom = "2KiB"\nworkers = 9\nlabels = 0\n')
    most = engine_settings(config).most
    assert (most.batches, most.custom_bytes, most.workers) == (7, 2048, 9)
    assert server_settings(config).most_labels == 0


ADDRESS = '"HOST:PORT" (as "127.0.0.1:7419", "[::1]:7419"; ":7419" is every interface)'
SIZE = 'a number of bytes, or a string such as "500MB" or "16MiB"'
TIME = 'a number of seconds, or a string such as "90s", "30m", "24h" or "180d"'
PASSWORD = "a string that is not empty; leave the key out for no password"


NODE = "1 to 50 characters out of a-z, A-Z, 0-9, dash, underscore"

CASES = [
    # One of each key.
    ("[faktory]\nbinding = 7419", f"faktory.binding must be {ADDRESS}, not 7419"),
    ("[faktory]\npassword = 1234", f"faktory.password must be {PASSWORD}"),
    ("[web]\nbinding = true", f'web.binding must be {ADDRESS}, or ":0" to switch it off, not true'),
    ('[web]\nenabled = "no"', 'web.enabled must be true or false, not "no"'),
    ("[web]\nhsts = 1", "web.hsts must be true or false, not 1"),
    ("[web]\nhosts = 1", "web.hosts must be a list of names, each a string, not 1"),
    ('[web]\nslow_after = "never"', f'web.slow_after must be {TIME}, from 1s to 365d, not "never"'),
    ('[web]\npassword = ""', f"web.password must be {PASSWORD}"),
    ('[storage]\nsync = "often"', 'storage.sync must be "always", "interval" or "never", not "often"'),
    ("[storage]\ninterval_ms = 0", "storage.interval_ms must be a whole number from 1 to 60000, not 0"),
    ('[storage]\njid_index = "no"', 'storage.jid_index must be true or false, not "no"'),
    ('[storage]\nbackups = "copies"', 'storage.backups must be the absolute path of a directory, not "copies"'),
    ('[log]\nlevel = "loud"', 'log.level must be "debug", "info", "warn" or "error", not "loud"'),
    ('[log]\nformat = "xml"', 'log.format must be "console" or "json", not "xml"'),
    ('[storage]\nmin_free = "some"', f'storage.min_free must be {SIZE}, from 0 to 1000TB, not "some"'),
    ("[storage]\nmemory = 1000", f"storage.memory must be {SIZE}, from 8MiB to 1TiB, not 1000"),
    ("[server]\nconnections = 1.5", "server.connections must be a whole number from 1 to 1000000, not 1.5"),
    ("[server]\nline_limit = -1", f"server.line_limit must be {SIZE}, from 1KiB to 1GiB, not -1"),
    ("[server]\ndescription = []", "server.description must be a non-empty string of one line, not []"),
    ("[server]\nrefuse_duplicate_jids = 1", "server.refuse_duplicate_jids must be true or false, not 1"),
    ('[workers]\nrecover_after = "2d"', f'workers.recover_after must be {TIME}, from 0s to 1d, not "2d"'),
    ('[cluster]\nname = "a.b"', f'cluster.name must be {NODE}, not "a.b"'),
    ("[cluster]\nnode = 1", f"cluster.node must be {NODE}, not 1"),
    ('[cluster]\nservers = "x"', 'cluster.servers must be a list of URLs such as "nats://10.0.0.1:4222"'),
    ("[cluster]\nreplicas = 9", "cluster.replicas must be a whole number from 1 to 5, not 9"),
    ("[cluster]\naddress = 1", f"cluster.address must be {ADDRESS}, not 1"),
    ("[cluster]\nweb_address = 1", f"cluster.web_address must be {ADDRESS}, not 1"),
    ("[cluster]\nuser = 1", "cluster.user must be a non-empty string of one line, not 1"),
    (
        "[cluster]\npassword = 1",
        "cluster.password must be a string that is not empty; leave the key out for no password",
    ),
    ("[cluster]\ntoken = 1", "cluster.token must be a string that is not empty; leave the key out for no password"),
    ("[cluster]\nnkey = 1", "cluster.nkey must be a non-empty string of one line, not 1"),
    ("[cluster]\ncredentials = 1", "cluster.credentials must be a non-empty string of one line, not 1"),
    ("[cluster]\nsnapshot_after = 5", f"cluster.snapshot_after must be {SIZE}, from 1MB to 1TB, not 5"),
    ("[cluster]\ntls_ca = 1", "cluster.tls_ca must be a non-empty string of one line, not 1"),
    ("[cluster]\ntls_cert = 1", "cluster.tls_cert must be a non-empty string of one line, not 1"),
    ("[cluster]\ntls_key = 1", "cluster.tls_key must be a non-empty string of one line, not 1"),
    ("[limits]\nqueues = 0", "limits.queues must be a whole number from 1 to 10000000, not 0"),
    ("[limits]\nbulk = 0", "limits.bulk must be a whole number from 1 to 1000000, not 0"),
    ("[limits]\nmutates = 0", "limits.mutates must be a whole number from 1 to 100000, not 0"),
    ("[limits]\nnesting = 1001", "limits.nesting must be a whole number from 1 to 1000, not 1001"),
    ('[limits]\nresult = "17MiB"', f'limits.result must be {SIZE}, from 0 to 16MiB, not "17MiB"'),
    ("[limits]\nwaiting = 0", "limits.waiting must be a whole number from 1 to 100000000, not 0"),
    ("[limits]\nunfinished = 1000", f"limits.unfinished must be {SIZE}, from 1MiB to 1TiB, not 1000"),
    ("[limits]\nbatches = 0", "limits.batches must be a whole number from 1 to 100000000, not 0"),
    ("[limits]\ncustom = 1000", f"limits.custom must be {SIZE}, from 1KiB to 1GiB, not 1000"),
    ("[limits]\nworkers = 0", "limits.workers must be a whole number from 1 to 10000000, not 0"),
    ("[limits]\nlabels = 1001", "limits.labels must be a whole number from 0 to 1000, not 1001"),
    ("[web]\nconnections = 599", "web.connections must be a whole number from 600 to 1000000, not 599"),
    ("[workers]\nrecover_limit = 0", "workers.recover_limit must be a whole number from 1 to 1000000, not 0"),
    ("[retention]\ndead = {}", f"retention.dead must be {TIME}, from 1s to 36500d, not a table"),
    ("[retention]\ndead_max = 0", "retention.dead_max must be a whole number from 1 to 1000000000000, not 0"),
    ("[history]\ncompleted = {}", f"history.completed must be {TIME}, from 0s to 36500d, not a table"),
    ("[history]\nmax_jobs = 0", "history.max_jobs must be a whole number from 1 to 1000000000000, not 0"),
    (
        "[history]\nmax_size = 5",
        "history.max_size must be a number of bytes, or a string such as "
        '"500MB" or "16MiB", from 1MiB to 1000TB, not 5',
    ),
    ("[plugins]\nenabled = 'x'", 'plugins.enabled must be a list of names, each a string, not "x"'),
    ("[plugins]\ndisabled = [1]", "plugins.disabled must be a list of names, each a string, not [1]"),
    ("[plugins]\nslow_ms = 0", "plugins.slow_ms must be a whole number from 1 to 60000, not 0"),
    ("[retention]\nresults = 0", f"retention.results must be {TIME}, from 1s to 36500d, not 0"),
    ("[retention]\nbatches = true", f"retention.batches must be {TIME}, from 1s to 36500d, not true"),
    ("[retention]\nbatches_open = 0", f"retention.batches_open must be {TIME}, from 1s to 36500d, not 0"),
    ("[queues]\nbackpressure = 0", "queues.backpressure must be a whole number from 1 to 1000000000000, not 0"),
    ("[queues.q]\nmax_jobs = 0", "queues.q.max_jobs must be a whole number from 1 to 1000000000000, not 0"),
    ("[queues.q]\nbackpressure = 0", "queues.q.backpressure must be a whole number from 1 to 1000000000000, not 0"),
    (
        '[queues.q]\nbackoff = "weekly"',
        'queues.q.backoff must be "fixed:SECONDS", "linear:SECONDS" or "exponential:FACTOR:SECONDS:MOST", '
        'and "~PERCENT" for jitter, not "weekly"',
    ),
    (
        '[queues.q]\nlane_by = "x"\nlane_concurrency = 0',
        "queues.q.lane_concurrency must be a whole number from 1 to 1000000000000, not 0",
    ),
    ('[queues.q]\nlane_by = ""', 'queues.q.lane_by must be a non-empty string of one line, not ""'),
    (
        '[queues.q]\nlane_by = "x"\nlane_order = "fair"',
        'queues.q.lane_order must be "priority" or "strict", not "fair"',
    ),
    (
        '[queues.q]\nlane_by = "x"\nlane_rate = { rate = 10 }',
        'queues.q.lane_rate must be a rate such as { rate = 10, per = "60s" }: a whole number from 1 to 1000000, '
        f"and {TIME}, from 1s to 30d, not a table",
    ),
    (
        "[queues.q]\nlane_concurrency = 2",
        "[queues.q] sets lane_concurrency and no lane_by: there are no lanes then",
    ),
    ('[queues.q]\nlane_order = "strict"', "[queues.q] sets lane_order and no lane_by: there are no lanes then"),
    (
        '[queues.q]\nlane_by = "x"\nlane_order = "strict"\nlane_concurrency = 2',
        '[queues.q] sets lane_order = "strict", and then one job of a lane runs at a time: leave lane_concurrency out',
    ),
    ("[queues.q]\nreserve_for = 30", f"queues.q.reserve_for must be {TIME}, from 60s to 86400s, not 30"),
    # What has no place.
    (
        "[storage]\nsink = 1",
        "storage.sink is not a key; the keys of [storage] are sync, interval_ms, jid_index, min_free, memory, backups",
    ),
    (
        "[queues]\nmax_jobs = 1",
        "queues.max_jobs is not a key; the keys of [queues] are backpressure, and a table [queues.NAME] per queue",
    ),
    (
        "[queues.q]\nlimit = 1",
        "queues.q.limit is not a key; the keys of [queues.q] are max_jobs, backpressure, reserve_for, backoff,"
        " lane_by, lane_concurrency, lane_order, lane_rate",
    ),
    (
        "sync = 'always'",
        "there is no table [sync]; the tables are [faktory], [auth], [web], [api], [storage], [server],"
        " [limits], [log], [workers], [retention], [history], [plugins], [queues], [throttles], [cluster], [[cron]]",
    ),
    ("storage = 1", "storage must be a table, written [storage]"),
    ("[[storage]]", "storage must be a table, written [storage]"),
    ("queues = []", "queues must be a table, written [queues]"),
    # Queues of their own kind.
    (
        "[queues.mail.out]\nmax_jobs = 1",
        '[queues.mail.out] is a table inside a queue; a queue name with a dot needs quotes: [queues."mail.out"]',
    ),
    (
        '[queues."a b"]',
        '[queues."a b"]: a queue name has 1 to 255 characters out of a-z, A-Z, 0-9, dot, dash, underscore',
    ),
    (
        "[queues.q]\nmax_jobs = 1\nbackpressure = 1",
        "[queues.q] sets max_jobs and backpressure, which are the same: leave one out",
    ),
    ("throttles = 1", "throttles must be a table, written [throttles]"),
    ("[throttles]\nq = 4", "throttles.q must be a table, as in q = { concurrency = 4 }"),
    ("[throttles]\nq = {}", "[throttles.q] limits nothing: set concurrency, worker, or rate and per"),
    ("[throttles]\nq = { timeout = 60 }", "[throttles.q] limits nothing: set concurrency, worker, or rate and per"),
    ("[throttles]\nq = { rate = 5 }", "[throttles.q] sets one of rate and per, which need each other"),
    ("[throttles]\nq = { worker = 5, per = 5 }", "[throttles.q] sets one of rate and per, which need each other"),
    (
        "[throttles]\nq = { rate = 5, per = 60, timeout = 60 }",
        "[throttles.q] sets timeout, which needs concurrency or worker",
    ),
    (
        "[throttles]\nq = { concurrency = 0 }",
        "throttles.q.concurrency must be a whole number from 1 to 1000000000000, not 0",
    ),
    ("[throttles]\nq = { worker = 1.5 }", "throttles.q.worker must be a whole number from 1 to 1000000000000, not 1.5"),
    ("[throttles]\nq = { timeout = 0 }", f"throttles.q.timeout must be {TIME}, from 1s to 1d, not 0"),
    ("[throttles]\nq = { rate = 0 }", "throttles.q.rate must be a whole number from 1 to 1000000, not 0"),
    ('[throttles]\nq = { per = "40d" }', f'throttles.q.per must be {TIME}, from 100ms to 30d, not "40d"'),
    (
        "[throttles.q]\nlimit = 1",
        "throttles.q.limit is not a key; the keys of [throttles.q] are concurrency, worker, timeout, rate, per",
    ),
    (
        "[throttles]\nmail.out = { worker = 1 }",
        '[throttles.mail.out] is a table inside a queue; a queue name with a dot needs quotes: [throttles."mail.out"]',
    ),
    (
        '[throttles."a b"]',
        '[throttles."a b"]: a queue name has 1 to 255 characters out of a-z, A-Z, 0-9, dot, dash, underscore',
    ),
]


@pytest.mark.parametrize(("content", "complaint"), CASES)
def test_what_cannot_be(machine, content, complaint):
    file = machine.write(content)
    with pytest.raises(ConfigError) as caught:
        machine.load()
    assert str(caught.value) == f"{file}: {complaint}"


def test_every_key_is_refused_in_some_case_above():
    complaints = "\n".join(complaint for _, complaint in CASES)
    names = {f"{table}.{name}" for table, shape in TABLES.items() for name in keys_of(shape)}
    names |= {f"queues.q.{name}" for name in keys_of(Queue)} | {f"throttles.q.{name}" for name in keys_of(Throttle)}
    for name in names:
        assert f"{name} must be" in complaints


def test_the_complaint_names_the_file_that_is_wrong(machine):
    machine.write("[storage]\ninterval_ms = 10\n", "1.toml")
    wrong = machine.write("[storage]\nmemory = 1\n", "2.toml")
    with pytest.raises(ConfigError) as caught:
        machine.load()
    assert str(caught.value).startswith(f"{wrong}: storage.memory must be")


def test_a_long_wrong_value_is_cut_off(machine):
    machine.write(f'[storage]\nsync = "{"x" * 5000}"\n')
    with pytest.raises(ConfigError) as caught:
        machine.load()
    assert len(str(caught.value)) < 300


def test_every_table_has_its_place_in_the_config():
    assert set(TABLES) <= set(Config.__struct_fields__)
    assert keys_of(Queues).keys() == {"backpressure"}


def test_users_of_the_pages_and_tokens_of_the_api(machine):
    machine.write(
        """
        [web.users]
        ana = { password = "$argon2id$v=19$x", role = "admin" }
        [web.users."ben@example.com"]
        password = "plain"
        [api.tokens.ci]
        token = "sha256:00"
        scopes = ["push", "read"]
        """
    )
    config = machine.load()
    assert {name: user.role for name, user in config.web.users.items()} == {"ana": "admin", "ben@example.com": "reader"}
    assert config.web.users["ana"].password == "$argon2id$v=19$x"
    assert config.api.tokens["ci"].scopes == ("push", "read")
    assert "plain" not in repr(config)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[web.users.ana]\nrole = "admin"', "web.users.ana needs password"),
        (
            '[web.users.ana]\npassword = "x"\nrole = "king"',
            'web.users.ana.role must be "admin", "operator" or "reader"',
        ),
        ('[web.users]\nana = "x"', "web.users.ana must be a table"),
        ("[web]\nusers = 3", "web.users must be a table"),
        ('[web.users."a b"]\npassword = "x"', "a name has 1 to 100 characters"),
        ('[api.tokens.ci]\ntoken = "x"\nscopes = ["fly"]', "api.tokens.ci.scopes must be a list of some of"),
        ('[web]\ncolour = "red"', "web.colour is not a key"),
        ('[web.users.ana]\npassword = ""', "web.users.ana.password must be a string that is not empty"),
    ],
)
def test_users_and_tokens_that_cannot_be(machine, text, complaint):
    machine.write(text)
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        machine.load()


def test_a_users_password_may_lie_in_a_file(machine):
    secret = machine.root / "ana"
    secret.write_text("$argon2id$hash\n")
    machine.write(f'[web.users.ana]\npassword = "{secret}"')
    assert machine.load().web.users["ana"].password == "$argon2id$hash"


def test_a_node_of_a_cluster_needs_all_of_its_names(machine):
    machine.write('[cluster]\nname = "jobs"\n')
    with pytest.raises(ConfigError, match="needs node, servers under"):
        machine.load()
    machine.write('[cluster]\nname = "jobs"\nnode = "a"\nservers = ["nats://n:4222"]\n')
    assert machine.load().cluster.replicas == 3
    with pytest.raises(ConfigError, match="cannot be together"):
        machine.load(Flags(ephemeral=True))


NODE_TABLE = '[cluster]\nname = "jobs"\nnode = "a"\nservers = ["nats://n:4222"]\n'


def test_a_node_says_in_one_way_who_it_is_to_nats(machine, tmp_path):
    for key in ("user", "password", "tls_cert", "tls_key"):
        machine.write(f'{NODE_TABLE}{key} = "x"\n')
        with pytest.raises(ConfigError, match="go together: give both or neither"):
            machine.load()
    machine.write(f'{NODE_TABLE}token = "x"\nnkey = "/a"\ncredentials = "/b"\n')
    with pytest.raises(ConfigError, match=r"token and cluster\.nkey and cluster\.credentials each say"):
        machine.load()
    kept = tmp_path / "kept"
    kept.write_text("s3cret\n")
    machine.write(f'{NODE_TABLE}user = "node"\npassword = "{kept}"\n')
    cluster = machine.load().cluster
    assert (cluster.user, str(cluster.password)) == ("node", "s3cret")
    assert "s3cret" not in repr(cluster)
    machine.write(f'{NODE_TABLE}token = "{kept}"\n')
    assert str(machine.load().cluster.token) == "s3cret"
    machine.write(f'{NODE_TABLE}token = "/nowhere/token"\n')
    with pytest.raises(ConfigError, match=r"cluster\.token names the password file /nowhere/token"):
        machine.load()


def test_who_insists_on_a_cluster_gets_none_without_a_table(machine):
    with pytest.raises(ConfigError, match="needs name, node, servers under"):
        machine.load(Flags(cluster=True))
