"""A real server with periodic jobs of every second is killed again and again: no due time has two jobs."""

import signal
import time
from collections import Counter
from pathlib import Path

from invariants import check_store, rows_of
from lineshaft.engine.records import decode_periodic
from lineshaft.engine.value import split_value
from lineshaft.job import decode_stored
from lineshaft.store.rocks import RocksStore
from processes import ServerProcess

CONFIG = """
[[cron]]
name = "left-out"
schedule = "* * * * * *"
[cron.job]
type = "T"

[[cron]]
name = "made-up-for"
schedule = "* * * * * *"
catch_up = "once"
[cron.job]
type = "T"
"""


def test_no_due_time_has_two_jobs_whatever_is_killed(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, CONFIG)
    for round_number in range(8):
        server.start()
        assert server.process is not None
        # Not as long as a second, nor always the same part of one.
        time.sleep(0.9 + 0.13 * round_number)
        if round_number % 2:
            server.process.send_signal(signal.SIGHUP)
        server.kill()
    store = RocksStore(server.data)
    try:
        check_store(store)
        rows = rows_of(store)
    finally:
        store.close()
    jids = Counter(decode_stored(split_value(value)[1]).jid for key, value in rows.items() if key[:1] == b"R")
    assert max(jids.values()) == 1
    for name in ("left-out", "made-up-for"):
        record = decode_periodic(rows[b"J" + name.encode()])
        runs = sorted(jid for jid in jids if jid.startswith(f"cron-{name}-"))
        assert record.runs == len(runs) >= 4
        assert record.last_jid == runs[-1]
    assert "Traceback" not in server.log.read_text()
