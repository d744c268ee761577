"""What a running server takes over when its configuration is loaded again."""

from lineshaft.config import take_over

BEFORE = '[faktory]\npassword = "old"\n'
AFTER = """
[faktory]
binding = ":1"
password = "new"
[web]
binding = ":0"
password = "pages"
[storage]
sync = "never"
interval_ms = 1
jid_index = false
min_free = 0
memory = "8MiB"
[server]
connections = 1
line_limit = "1KiB"
description = "New"
[workers]
recover_after = 1
recover_limit = 1
[retention]
dead = "1d"
dead_max = 1
[queues]
backpressure = 1
[queues.mail]
max_jobs = 1
[throttles]
mail = { concurrency = 1 }
[[cron]]
schedule = "@hourly"
[cron.job]
type = "Report"
"""


def test_what_needs_no_restart_is_taken_over(loaded):
    running, fresh = loaded(BEFORE), loaded(AFTER)
    config, _ = take_over(running, fresh)
    assert config.password == "new"
    assert config.web_password == "pages"
    assert config.storage.min_free_bytes == 0
    assert config.server.description == "New"
    assert config.workers == fresh.workers
    assert config.retention == fresh.retention
    assert config.queues == fresh.queues
    assert config.throttles == fresh.throttles
    assert config.cron == fresh.cron != running.cron


def test_the_rest_stays_and_is_named(loaded):
    running, fresh = loaded(BEFORE), loaded(AFTER)
    config, waiting = take_over(running, fresh)
    assert waiting == [
        "faktory.binding",
        "web.binding",
        "storage.sync",
        "storage.interval_ms",
        "storage.jid_index",
        "storage.memory",
        "server.connections",
        "server.line_limit",
    ]
    assert config.faktory.binding == running.faktory.binding
    assert config.web.binding == running.web.binding
    assert config.storage.sync == "always"
    assert config.server.connections == 10_000


def test_what_was_taken_over_goes_back_to_its_default_when_it_is_gone(loaded):
    running, _ = take_over(loaded(BEFORE), loaded(AFTER))
    config, waiting = take_over(running, loaded(""))
    assert waiting == []
    assert config.password is None
    assert config.queues.named == {}
    assert config.cron == ()


def test_nothing_waits_when_nothing_changed(loaded):
    running = loaded(AFTER)
    assert take_over(running, loaded(AFTER)) == (running, [])


def test_tls_waits(machine):
    running = machine.load()
    machine.conf_d.parent.mkdir(parents=True)
    for name in ("public.cert.pem", "private.key.pem"):
        (machine.conf_d.parent / name).touch()
    config, waiting = take_over(running, machine.load())
    assert waiting == ["tls"]
    assert config.tls is None
