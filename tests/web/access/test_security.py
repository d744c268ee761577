"""Who comes in, and what each may do: accounts with roles, wrong passwords, and that no secret is told."""

import base64
import time
from collections.abc import Iterator
from pathlib import Path

import argon2
import pytest

from browser.stage import Stage, staged
from lineshaft.config import Secret
from lineshaft.config.entries import ApiToken, WebUser
from lineshaft.config.model import Api, Web
from lineshaft.web.access.accounts import Account, Keyring, Role, hash_password
from lineshaft.web.access.knocks import LINES_A_MINUTE, Knocks
from web.asking import Answer, ask

HASH = hash_password("olga's")
USERS = {
    "ana": WebUser(Secret(hash_password("ana's")), "admin"),
    "olga": WebUser(Secret(HASH), "operator"),
    "rick": WebUser(Secret("rick's"), "reader"),
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    web = Web(password=Secret("for-everybody"), users=USERS)
    api = Api({"ci": ApiToken(Secret("secret-token"), ("read",))})
    with staged(tmp_path_factory.mktemp("guarded"), web=web, api=api) as stage:
        yield stage


def knock(stage: Stage, name: str, password: str, path: str = "/", **more: dict[str, str]) -> Answer:
    credentials = base64.b64encode(f"{name}:{password}".encode()).decode()
    return ask(stage.web_port, path, form=more.get("form"), Authorization=f"Basic {credentials}")


@pytest.mark.parametrize("name", USERS)
def test_who_has_an_account_comes_in(guarded: Stage, name: str) -> None:
    answer = knock(guarded, name, f"{name}'s")
    assert answer.status == 200
    assert f"{name} ·" in answer.text


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("ana", "olga's"),
        ("rick", ""),
        ("nobody", "ana's"),
        ("", "for-everybody"),
        ("ana", "for-everybody"),
    ],
)
def test_nobody_else_does(guarded: Stage, name: str, password: str) -> None:
    answer = knock(guarded, name, password)
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize("header", ["", "Basic", "Basic ???", "Bearer secret-token", "Digest x"])
def test_what_is_no_password_is_none(guarded: Stage, header: str) -> None:
    assert ask(guarded.web_port, "/", Authorization=header).status == 401
    assert ask(guarded.web_port, "/static/app.css", Authorization=header).status == 401


def test_a_hash_is_compared_once(guarded: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []
    verify = argon2.PasswordHasher.verify

    def counting(hasher: argon2.PasswordHasher, wanted: str, given: bytes) -> bool:
        compared.append(wanted)
        return verify(hasher, wanted, given)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", counting)
    assert knock(guarded, "olga", "not olga's").status == 401
    assert compared == [HASH], "argon2 takes some hundredths of a second"
    knock(guarded, "olga", "olga's")
    compared.clear()
    for _ in range(10):
        assert knock(guarded, "olga", "olga's", "/stats").status == 200
    assert compared == []


def test_guessing_is_slowed(guarded: Stage) -> None:
    knock(guarded, "rick", "rick's")
    began = time.monotonic()
    for _ in range(4):
        assert knock(guarded, "rick", "wrong").status == 401
    assert time.monotonic() - began > 0.5
    assert knock(guarded, "rick", "rick's").status == 200


FORMS = [
    ("operator", "/queues/mail", {"action": "pause"}),
    ("operator", "/queues/mail", {"action": "delete_jobs", "jid": "12345678"}),
    ("admin", "/queues/mail", {"action": "clear"}),
    ("admin", "/queues/mail", {"action": "delete"}),
    ("operator", "/morgue", {"action": "retry", "key": "2026-01-01T00:00:00Z|12345678"}),
    ("operator", "/morgue", {"action": "retry", "all": "1"}),
    ("admin", "/morgue", {"action": "delete", "all": "1"}),
    ("operator", "/jobs/12345678", {"action": "delete"}),
    ("operator", "/busy", {"signal": "quiet", "wid": "all"}),
    ("operator", "/push", {"job": '{"jobtype":"x","args":[]}'}),
]


@pytest.mark.parametrize("name", USERS)
@pytest.mark.parametrize(("role", "path", "form"), FORMS)
def test_a_role_is_enough_or_not(guarded: Stage, name: str, role: str, path: str, form: dict[str, str]) -> None:
    may = Role[USERS[name].role.upper()] >= Role[role.upper()]
    guarded.push({"queue": "mail"})
    answer = knock(guarded, name, f"{name}'s", path, form=form)
    assert answer.status == (302 if may else 403)
    if not may:
        assert guarded.site.audit.deeds[0].who == name
        assert guarded.site.audit.deeds[0].outcome, "that it was tried is written down"


def test_who_may_not_act_is_shown_no_buttons(guarded: Stage) -> None:
    guarded.push({"queue": "mail", "jid": "12345678-x"})
    for path in ("/", "/queues", "/queues/mail", "/jobs/12345678-x", "/busy", "/morgue"):
        text = knock(guarded, "rick", "rick's", path).text
        for button in (">Pause", ">Delete<", ">Kill<", ">Run now<", ">Remove…<", ">Quiet<", ">New push<"):
            assert button not in text, (path, button)


def test_no_secret_is_on_any_page(guarded: Stage) -> None:
    for path in ("/", "/server", "/stats", "/health", "/busy"):
        text = knock(guarded, "ana", "ana's", path).text
        for secret in ("for-everybody", "secret-token", "$argon2", "rick's"):
            assert secret not in text, (path, secret)
    assert "***" in knock(guarded, "ana", "ana's", "/server").text


def test_the_password_of_all_is_asked_for_without_accounts(tmp_path: Path) -> None:
    with staged(tmp_path, web=Web(password=Secret("page"))) as stage:
        assert ask(stage.web_port, "/").status == 401
        assert knock(stage, "whoever", "page").status == 200
        assert knock(stage, "whoever", "pagé").status == 401
        assert ask(stage.web_port, "/health").status == 200


def test_a_keyring_remembers_only_what_was_right() -> None:
    keyring, olga = Keyring(), Account("olga", HASH, Role.OPERATOR)
    assert not keyring.is_quick(olga, b"olga's")
    assert not keyring.opens(olga, b"wrong")
    assert not keyring.is_quick(olga, b"wrong")
    assert keyring.opens(olga, b"olga's")
    assert keyring.is_quick(olga, b"olga's")
    changed = Account("olga", hash_password("new"), Role.OPERATOR)
    assert not keyring.is_quick(changed, b"olga's"), "a changed password forgets the old one"
    assert not keyring.opens(Account("x", "$argon2id$broken", Role.READER), b"x")


def test_a_reader_has_no_form_to_push_with(guarded: Stage) -> None:
    assert knock(guarded, "rick", "rick's", "/push").status == 403
    assert knock(guarded, "olga", "olga's", "/push").status == 200


def test_a_failed_login_is_in_the_log(guarded: Stage, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", "lineshaft.web"):
        knock(guarded, "mallory\nroot", "hunter2", "/queues")
        ask(guarded.web_port, "/metrics", Authorization="Bearer guessed-token")
        knock(guarded, "olga", "olga's")
        ask(guarded.web_port, "/")
    assert [record.getMessage() for record in caplog.records] == [
        "login failed from 127.0.0.1: 'mallory\\nroot', path '/queues'",
        "login failed from 127.0.0.1: 'a token', path '/metrics'",
    ]


def test_a_flood_of_failed_logins_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    knocks = Knocks(lambda: now[0])
    with caplog.at_level("WARNING", "lineshaft.web"):
        for _ in range(1000):
            knocks.note("192.0.2.1", "x" * 500, "/" * 5000)
        assert len(caplog.records) == LINES_A_MINUTE + 1
        assert max(len(record.getMessage()) for record in caplog.records) < 300
        now[0] = 61.0
        knocks.note("192.0.2.1", "x", "/")
    assert caplog.records[-2].getMessage() == f"login failed {1000 - LINES_A_MINUTE} times more"
    assert len(caplog.records) == LINES_A_MINUTE + 3
