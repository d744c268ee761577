"""Places, precedence, passwords and TLS: everything around the tables."""

import os

import pytest

from lineshaft.config import Binding, Flags
from lineshaft.errors import ConfigError


def refused(machine, *arguments, **variables):
    """The message of the ConfigError that loading raises."""
    with pytest.raises(ConfigError) as caught:
        machine.load(*arguments, **variables)
    message = str(caught.value)
    assert "\n" not in message
    return message


# Places


def test_development_lives_in_the_home(machine):
    config = machine.load()
    assert config.environment == "development"
    assert config.config_dir == machine.home / ".lineshaft"
    assert config.data_dir == machine.home / ".lineshaft" / "data"
    assert not machine.home.exists()


@pytest.mark.parametrize("environment", ["staging", "production"])
@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ([], "etc/lineshaft"),
        (["etc/lineshaft"], "etc/lineshaft"),
        (["etc/faktory"], "etc/faktory"),
        (["etc/lineshaft", "etc/faktory"], "etc/lineshaft"),
    ],
)
def test_the_others_live_in_the_system(machine, environment, there, expected):
    machine.make(*there)
    config = machine.load(Flags(environment=environment), FAKTORY_PASSWORD="secret")
    assert config.config_dir == machine.root / expected
    assert config.data_dir == machine.root / "var/lib/lineshaft"


def test_flags_name_the_places(machine):
    machine.make("c", "d")
    config = machine.load(Flags(config=str(machine.root / "c"), data=str(machine.root / "new")))
    assert config.config_dir == machine.root / "c"
    assert config.data_dir == machine.root / "new"


def test_places_are_absolute(machine, monkeypatch):
    monkeypatch.chdir(machine.root)
    assert machine.load(Flags(data="./data")).data_dir == machine.root / "data"


def test_a_tilde_that_the_shell_left_alone_is_the_home(machine):
    assert machine.load(Flags(data="~/jobs")).data_dir == machine.home / "jobs"


def test_a_named_config_directory_must_exist(machine):
    missing = machine.root / "cnf"
    assert refused(machine, Flags(config=str(missing))) == (
        f"--config {missing}: there is no such directory; make it, or leave --config out"
    )


def test_without_a_home_places_must_be_named(machine):
    machine.variables.clear()
    assert refused(machine) == (
        "HOME is not set, so ~/.lineshaft is nowhere: name the directories with --config and --data"
    )
    root = str(machine.root)
    assert machine.load(Flags(config=root, data=root)).data_dir == machine.root


# Precedence: flag > environment > file > default


def test_the_environment_by_flag_variable_or_default(machine):
    assert machine.load().environment == "development"
    assert machine.load(FAKTORY_ENV="").environment == "development"
    assert machine.load(FAKTORY_ENV="staging", FAKTORY_PASSWORD="secret").environment == "staging"
    flags = Flags(environment="development")
    assert machine.load(flags, FAKTORY_ENV="production").environment == "development"


def test_bindings_by_flag_file_or_default(machine):
    assert machine.load().faktory.binding == Binding("127.0.0.1", 7419)
    assert machine.load().web.binding == Binding("127.0.0.1", 7420)
    machine.write('[faktory]\nbinding = ":7000"\n[web]\nbinding = ":0"\n')
    assert machine.load().faktory.binding == Binding("", 7000)
    assert machine.load().web.binding is None
    config = machine.load(Flags(binding="[::1]:8000", web=":8001"))
    assert config.faktory.binding == Binding("::1", 8000)
    assert config.web.binding == Binding("", 8001)


def test_what_only_flags_say(machine):
    assert machine.load().log_level == "info"
    assert machine.load().ephemeral is False
    config = machine.load(Flags(log_level="debug", ephemeral=True))
    assert config.log_level == "debug"
    assert config.ephemeral is True


@pytest.mark.parametrize(
    ("flags", "variables", "message"),
    [
        (Flags(environment="prod"), {}, '--environment must be "development", "staging" or "production", not "prod"'),
        (Flags(), {"FAKTORY_ENV": "x"}, 'FAKTORY_ENV must be "development", "staging" or "production", not "x"'),
        (Flags(log_level="loud"), {}, '--log-level must be "debug", "info", "warn" or "error", not "loud"'),
        (
            Flags(binding="7419"),
            {},
            '--binding must be "HOST:PORT" (as "127.0.0.1:7419", "[::1]:7419"; ":7419" is every interface), not "7419"',
        ),
        (
            Flags(web="web"),
            {},
            '--web must be "HOST:PORT" (as "127.0.0.1:7419", "[::1]:7419"; ":7419" is every interface),'
            ' or ":0" to switch it off, not "web"',
        ),
    ],
)
def test_flags_and_variables_are_checked(machine, flags, variables, message):
    assert refused(machine, flags, **variables) == message


@pytest.mark.parametrize(
    ("flags", "name", "what"),
    [
        (Flags(data=""), "--data", "a directory"),
        (Flags(config=""), "--config", "a directory"),
        (Flags(binding=""), "--binding", "HOST:PORT"),
        (Flags(web=""), "--web", "HOST:PORT"),
    ],
)
def test_an_empty_flag_is_refused(machine, flags, name, what):
    assert refused(machine, flags) == (
        f"{name} is empty (from a shell variable that is not set?): give it {what}, or leave {name} out"
    )


@pytest.mark.parametrize(
    ("jobs", "http"),
    [
        ("127.0.0.1:7419", "127.0.0.1:7419"),
        ("[::1]:7419", "[::1]:7419"),
        (":7419", ":7419"),
        (":7419", "127.0.0.1:7419"),
        ("localhost:7419", ":7419"),
    ],
)
def test_one_address_is_not_enough_for_both(machine, jobs, http):
    said = (
        f"jobs ({jobs}) and HTTP ({http}) cannot both have the same address: change --binding (faktory.binding)"
        ' or --web (web.binding; ":0" switches HTTP off)'
    )
    assert refused(machine, Flags(binding=jobs, web=http)) == said
    machine.write(f'[faktory]\nbinding = "{jobs}"\n[web]\nbinding = "{http}"\n')
    assert refused(machine) == said


@pytest.mark.parametrize(
    ("jobs", "http"),
    [
        ("127.0.0.1:0", "127.0.0.1:0"),
        (":0", ":0"),
        ("127.0.0.1:7419", "127.0.0.2:7419"),
        ("127.0.0.1:7419", "127.0.0.1:7420"),
    ],
)
def test_two_addresses_are(machine, jobs, http):
    assert str(machine.load(Flags(binding=jobs, web=http)).faktory.binding) == jobs


# Passwords


def test_no_password_in_development(machine):
    assert machine.load().password is None
    assert machine.load().web_password is None


def test_the_password_guards_the_web_page_that_has_none(machine):
    machine.write('[faktory]\npassword = "jobs"\n')
    assert machine.load().web_password == "jobs"
    machine.write('[faktory]\npassword = "jobs"\n[web]\npassword = "pages"\n')
    assert machine.load().password == "jobs"
    assert machine.load().web_password == "pages"


def test_the_variable_wins_over_the_file(machine):
    machine.write('[faktory]\npassword = "from toml"\n')
    assert machine.load(FAKTORY_PASSWORD="from variable").password == "from variable"
    assert machine.load(FAKTORY_PASSWORD="").password == "from toml"


def test_a_value_with_a_slash_in_front_is_a_file(machine):
    file = machine.root / "password"
    file.write_text("  s3cret \n")
    assert machine.load(FAKTORY_PASSWORD=str(file)).password == "s3cret"
    machine.write(f'[faktory]\npassword = "{file}"\n[web]\npassword = "{file}"\n')
    assert machine.load().password == "s3cret"
    assert machine.load().web_password == "s3cret"


def test_a_password_file_that_cannot_be_used(machine):
    gone, empty, binary = (machine.root / name for name in ("gone", "empty", "binary"))
    empty.write_text(" \n")
    binary.write_bytes(b"\xff\xfe")
    reason = os.strerror(2)
    assert refused(machine, FAKTORY_PASSWORD=str(gone)) == (
        f"FAKTORY_PASSWORD names the password file {gone}, which cannot be read: {reason}"
    )
    assert refused(machine, FAKTORY_PASSWORD=str(empty)) == (
        f"FAKTORY_PASSWORD names the password file {empty}, which is empty"
    )
    assert refused(machine, FAKTORY_PASSWORD=str(binary)) == (
        f"FAKTORY_PASSWORD names the password file {binary}, which cannot be read: not UTF-8 text"
    )
    file = machine.write(f'[web]\npassword = "{gone}"\n')
    assert refused(machine) == (f"{file}: web.password names the password file {gone}, which cannot be read: {reason}")


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_a_password_is_required(machine, environment):
    assert refused(machine, Flags(environment=environment)) == (
        f"a password is required in {environment}: set FAKTORY_PASSWORD to it, or to the path of a file that holds it,"
        f' or write password = "..." under [faktory] in {machine.root}/etc/lineshaft/conf.d/*.toml'
        " (FAKTORY_SKIP_PASSWORD=1 starts without one)"
    )


def test_a_web_password_does_not_stand_in_for_it(machine):
    machine.make("etc/lineshaft/conf.d")
    (machine.root / "etc/lineshaft/conf.d/a.toml").write_text('[web]\npassword = "pages"\n')
    assert refused(machine, Flags(environment="production")).startswith("a password is required in production")


@pytest.mark.parametrize("value", ["1", "true", "yes", "anything"])
def test_skipping_the_password_asks_for_none_at_all(machine, value):
    machine.write('[faktory]\npassword = "/gone"\n[web]\npassword = "pages"\n')
    config = machine.load(
        Flags(config=str(machine.conf_d.parent), environment="production"), FAKTORY_SKIP_PASSWORD=value
    )
    assert config.password is None
    assert config.web_password is None


@pytest.mark.parametrize("value", ["", "0", "false", "No", "off"])
def test_a_plain_no_does_not_skip_it(machine, value):
    config = machine.load(FAKTORY_PASSWORD="secret", FAKTORY_SKIP_PASSWORD=value)
    assert config.password == "secret"


def test_no_password_shows_in_the_config(machine):
    machine.write('[web]\npassword = "pages2"\n')
    shown = repr(machine.load(FAKTORY_PASSWORD="hunter2"))
    assert "hunter2" not in shown
    assert "pages2" not in shown


# TLS


def test_tls_needs_both_files(machine):
    directory = machine.conf_d.parent
    directory.mkdir(parents=True)
    certificate, key = directory / "public.cert.pem", directory / "private.key.pem"
    assert machine.load().tls is None
    certificate.touch()
    assert refused(machine) == f"{certificate}: TLS needs private.key.pem beside it; add that, or take this file away"
    key.touch()
    assert machine.load().tls == (certificate, key)
    certificate.unlink()
    assert refused(machine) == f"{key}: TLS needs public.cert.pem beside it; add that, or take this file away"


# The whole


def test_the_same_input_gives_the_same_config(machine):
    machine.write("[queues.mail]\nmax_jobs = 5\n")
    assert machine.load() == machine.load()


def test_refusing_duplicates_needs_the_index(machine):
    machine.write("[server]\nrefuse_duplicate_jids = true\n[storage]\njid_index = false\n")
    assert refused(machine) == (
        "server.refuse_duplicate_jids = true needs the index that storage.jid_index = false switches off:"
        " change one of them"
    )
