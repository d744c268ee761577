"""docs/howto/throttles.md and weights.md: what they show, with a real server: its file, a kill, and a reload."""

import re
import signal
from pathlib import Path

import pytest

from acceptance.clients.programs import wait_until
from docs.pages import blocks, inline, read
from processes import ServerProcess
from wire_client import WireClient, WireError

EXAMPLE = blocks(read("docs/howto/throttles.md"), "toml")[0].text
WEIGHTS = read("docs/howto/weights.md")


def test_the_example_holds_over_a_kill_and_until_a_reload(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, EXAMPLE) as server:
        with WireClient(server.port) as wire:
            for number in range(8):
                wire.push(f"report-{number}", queue="reports")
            wire.push("plain-01")
            taken = [wire.fetch("reports", "default") for _ in range(5)]
            assert [job["jid"] for job in taken if job] == [*(f"report-{number}" for number in range(4)), "plain-01"]
            # It has its reply before the kill only if the lease is on disk by then, as that of every FETCH before.
            wire.push("plain-02")
        server.kill()
        server.start()
        with WireClient(server.port) as wire:
            assert wire.fetch("reports", "default")["jid"] == "plain-02"  # type: ignore[index]
            wire.ack("report-0")
            assert wire.fetch("reports")["jid"] == "report-4"  # type: ignore[index]
            assert wire_is_woken(server, wire)
        assert server.stop() == 0
        assert "the configuration was reloaded" in server.log.read_text()


def wire_is_woken(server: ServerProcess, wire: WireClient) -> bool:
    """Whether a FETCH that waits is given a job as soon as a reload lets one more run."""
    for limit in (5, 6, 7):
        wire.send(b"FETCH reports")
        (server.config / "conf.d" / "test.toml").write_text(f"[throttles]\nreports = {{ concurrency = {limit} }}\n")
        assert server.process is not None
        server.process.send_signal(signal.SIGHUP)
        if (job := wire.reply()) is not None:
            return b'"jid":"report-%d"' % limit in job
        # The machine was busy, and the two seconds of the FETCH were over before the reload: once more, with the next.
        wait_until(lambda: wire.fetch("reports") is not None, "the reload")
    return False


def test_the_weights_of_the_page(tmp_path: Path) -> None:
    line = blocks(WEIGHTS, "")[0].text.strip().encode()
    with ServerProcess(tmp_path) as server, WireClient(server.port) as wire:
        expected = {f"{queue}-0{number}" for queue in ("critical", "default", "bulk") for number in range(3)}
        for jid in expected:
            wire.push(f"job-{jid}", queue=jid[:-3])
        assert {re.findall(rb'"jid":"job-([^"]+)"', wire.command(line))[0].decode() for _ in expected} == expected
        refusal = next(code for code in inline(WEIGHTS) if code.startswith("-ERR"))
        with pytest.raises(WireError) as caught:
            wire.fetch("bulk:0")
        assert str(caught.value) == refusal.removeprefix("-")
