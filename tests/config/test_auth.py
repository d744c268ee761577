"""`[auth.users.NAME]`: who may come to the job port, and what stands in for the password of all."""

import re

import pytest

from lineshaft.config import take_over
from lineshaft.errors import ConfigError
from lineshaft.server.settings import Permission
from lineshaft.settings import backup_rule, server_settings

USER = '[auth.users.mailer]\npassword = "hunter2"\nmay = ["push", "work"]\nqueues = ["mail.*"]\n'


def test_users_become_the_server_s(machine):
    machine.write(USER + '[auth.users."ben@example.com"]\npassword = "x"\nmay = ["admin"]')
    config = machine.load()
    assert "hunter2" not in repr(config)
    users = server_settings(config).users
    assert users["mailer"].password == "hunter2"
    assert users["mailer"].may == {Permission.PUSH, Permission.WORK}
    assert (users["mailer"].queues, users["ben@example.com"].queues) == (("mail.*",), ("*",))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[auth.users.a]\nmay = ["push"]', "auth.users.a needs password"),
        ('[auth.users.a]\npassword = "x"', "auth.users.a needs may"),
        ('[auth.users.a]\npassword = "x"\nmay = []', "auth.users.a.may must be a list of some of"),
        ('[auth.users.a]\npassword = "x"\nmay = ["fly"]', "auth.users.a.may must be a list of some of"),
        ('[auth.users.a]\npassword = "x"\nmay = ["push"]\nqueues = []', "auth.users.a.queues must be a list of queues"),
        ('[auth.users.a]\npassword = "x"\nmay = ["push"]\nqueues = ["a b"]', "auth.users.a.queues must be a list"),
        ('[auth.users.a]\npassword = "x"\nmay = ["push"]\nqueues = "mail"', "auth.users.a.queues must be a list"),
        ('[auth.users."a b"]\npassword = "x"\nmay = ["push"]', "a name has 1 to 100 characters"),
        ('[auth.users.a]\npassword = "$argon2id$v=19$x"\nmay = ["push"]', "auth.users.a.password is a hash, and must"),
        ('[auth]\nusers = "x"', "auth.users must be a table"),
        ('[auth]\npassword = "x"', "auth.password is not a key"),
    ],
)
def test_what_cannot_be(machine, text, complaint):
    machine.write(text)
    with pytest.raises(ConfigError, match=re.escape(complaint)) as refused:
        machine.load()
    assert "argon2" not in str(refused.value)


def test_a_password_may_lie_in_a_file(machine):
    secret = machine.root / "mailer"
    secret.write_text("from-a-file\n")
    machine.write(f'[auth.users.mailer]\npassword = "{secret}"\nmay = ["push"]')
    assert machine.load().auth.users["mailer"].password == "from-a-file"


@pytest.mark.parametrize(
    ("guarded", "pages"),
    [
        (False, ""),
        (True, '[web]\nbinding = ":0"'),
        (True, "[web]\nenabled = false"),
        (True, '[web]\npassword = "x"'),
        (True, '[web.users.ana]\npassword = "x"'),
    ],
)
def test_users_stand_in_for_the_password_where_the_pages_are_guarded_too(machine, guarded, pages):
    machine.make("etc/lineshaft/conf.d")
    (machine.root / "etc/lineshaft/conf.d/a.toml").write_text(USER + pages)
    if guarded:
        config = machine.load(FAKTORY_ENV="production")
        assert config.password is None
        assert server_settings(config).asks_for_password
        assert backup_rule(config).anywhere
    else:
        with pytest.raises(ConfigError, match=r"^the pages are open to all: a password is required in production"):
            machine.load(FAKTORY_ENV="production")


def test_skipping_the_password_skips_them(machine):
    machine.write(USER.replace('"hunter2"', '"/no/such/file"'))
    assert not server_settings(machine.load(FAKTORY_SKIP_PASSWORD="1")).asks_for_password


def test_a_reload_takes_them_over(machine):
    machine.write(USER)
    running = machine.load()
    machine.write(USER.replace("hunter2", "hunter3"))
    config, waiting = take_over(running, machine.load())
    assert (config.auth.users["mailer"].password, waiting) == ("hunter3", [])
