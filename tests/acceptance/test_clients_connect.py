"""Other people's clients find their way in: without a password, with one, and over TLS."""

from pathlib import Path

import pytest

from acceptance.clients.programs import Client, a_job, wait_until
from acceptance.clients.servers import Target

# The first test of a client also builds its program.
pytestmark = pytest.mark.timeout(600)


def test_connects_without_a_password(client: Client, target: Target) -> None:
    assert client.run(target.environment(), "push", {"jobs": [a_job("open-0001")]}) == {"pushed": 1}
    with target.wire() as wire:
        fetched = wire.fetch()
        assert fetched is not None
        assert fetched["jid"] == "open-0001"


def test_connects_with_the_password(client: Client, guarded_target: Target) -> None:
    with guarded_target.wire() as wire:
        wire.command(b"FLUSH")
        assert client.run(guarded_target.environment(), "push", {"jobs": [a_job("guarded-0001")]}) == {"pushed": 1}
        assert wire.info()["faktory"]["queues"] == {"default": 1}


def test_a_wrong_password_is_refused(client: Client, guarded_target: Target) -> None:
    with guarded_target.wire() as wire:
        wire.command(b"FLUSH")
        environment = guarded_target.environment("battery-staple")
        done = client.try_run(environment, "push", {"jobs": [a_job("refused-0001")]})
        assert done.returncode != 0
        assert "password" in done.stderr.lower()
        assert wire.info()["faktory"]["total_enqueued"] == 0


def test_a_worker_connects_with_the_password(client: Client, guarded_target: Target, tmp_path: Path) -> None:
    with (
        guarded_target.wire() as wire,
        client.working(tmp_path, guarded_target.environment(), "work", wid="worker-guarded") as it,
    ):
        wire.command(b"FLUSH")
        wire.push("guarded-0002", jobtype="note", queue="work", reserve_for=600)
        wait_until(lambda: it.ran() == ["guarded-0002"], "the job ran")


def test_pushes_and_works_over_tls(client: Client, secured_target: Target, tmp_path: Path) -> None:
    client.need("tls")
    environment = secured_target.environment()
    queue = f"tls-{client.name}"
    assert client.run(environment, "push", {"jobs": [a_job("secured-0001", queue=queue)]}) == {"pushed": 1}
    with client.working(tmp_path, environment, queue, wid="worker-secured") as it:
        wait_until(lambda: it.ran() == ["secured-0001"], "the job ran")
