"""conf.d: many files read as one, and every complaint with its file."""

import os

import pytest

from lineshaft.config.toml import Document, dotted, read_directory
from lineshaft.errors import ConfigError


def refused(machine):
    with pytest.raises(ConfigError) as caught:
        machine.load()
    return str(caught.value)


def test_no_conf_d_is_defaults(machine):
    assert machine.load().files == ()


def test_files_are_read_in_alphabetical_order_as_one(machine):
    last = machine.write("[storage]\ninterval_ms = 50\n[queues.b]\nmax_jobs = 2\n", "20-b.toml")
    first = machine.write('[storage]\nsync = "interval"\n[queues.a]\nmax_jobs = 1\n', "10-a.toml")
    machine.write("not toml at all", "notes.txt")
    machine.write("nor [this", ".#10-a.toml")
    config = machine.load()
    assert config.files == (first, last)
    assert config.storage.sync == "interval"
    assert config.storage.interval_ms == 50
    assert config.queues.named.keys() == {"a", "b"}


def test_a_key_set_twice_names_both_files(machine):
    one = machine.write('[queues."mail.out"]\nmax_jobs = 1\n', "1.toml")
    two = machine.write('[queues."mail.out"]\nmax_jobs = 1\n', "2.toml")
    assert refused(machine) == f'queues."mail.out".max_jobs is set twice: in {one} and in {two}'


@pytest.mark.parametrize(("first", "second"), [("storage = 1\n", "[storage]\n"), ("[storage]\n", "storage = 1\n")])
def test_a_key_and_a_table_of_one_name_collide(machine, first, second):
    one, two = machine.write(first, "1.toml"), machine.write(second, "2.toml")
    assert refused(machine) == f"storage is set twice: in {one} and in {two}"


def test_arrays_of_tables_append(tmp_path):
    (tmp_path / "2.toml").write_text("[[cron]]\nname = 'c'\n")
    (tmp_path / "1.toml").write_text("[[cron]]\nname = 'a'\n[[cron]]\nname = 'b'\n")
    assert [entry["name"] for entry in read_directory(tmp_path).values["cron"]] == ["a", "b", "c"]


def test_plain_arrays_do_not_append(tmp_path):
    document = Document()
    document.add(tmp_path / "1.toml", {"names": ["a"]})
    with pytest.raises(ConfigError, match="names is set twice"):
        document.add(tmp_path / "2.toml", {"names": ["b"]})


def test_appending_leaves_the_parsed_file_alone(tmp_path):
    document, first = Document(), {"cron": [{"name": "a"}]}
    document.add(tmp_path / "1.toml", first)
    document.add(tmp_path / "2.toml", {"cron": [{"name": "b"}]})
    assert first == {"cron": [{"name": "a"}]}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("[storage]\nsync = always\n", "Invalid value (at line 2, column 8)"),
        ("[web]\n[faktory]\n[web]\n", "Cannot declare ('web',) twice (at line 3, column 5)"),
        ("[storage]\ninterval_ms = 1\ninterval_ms = 2", "Cannot overwrite a value (at line 3, the end of the file)"),
    ],
)
def test_a_syntax_error_names_file_and_line(machine, content, complaint):
    file = machine.write(content)
    assert refused(machine) == f"{file}: {complaint}"


def test_a_file_that_is_not_text(machine):
    file = machine.write("")
    file.write_bytes(b"[web]\n# caf\xe9\n")
    assert refused(machine) == f"{file}: is not UTF-8 text (byte 11)"


def test_a_file_that_cannot_be_read(machine):
    machine.conf_d.mkdir(parents=True)
    (machine.conf_d / "gone.toml").symlink_to(machine.root / "nowhere")
    assert refused(machine) == f"{machine.conf_d / 'gone.toml'}: cannot be read: {os.strerror(2)}"


def test_a_conf_d_that_is_no_directory(machine):
    machine.conf_d.parent.mkdir(parents=True)
    machine.conf_d.touch()
    assert refused(machine) == f"{machine.conf_d}: cannot be read: {os.strerror(20)}"


def test_keys_are_shown_as_toml_writes_them():
    assert dotted(("queues", "a-b_1", "c.d")) == 'queues.a-b_1."c.d"'
