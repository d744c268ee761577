"""The demo's worker in Python, on PyPI's `pyfaktory`; node/worker.js is its twin in JavaScript.

FAKTORY_URL=... python python_worker.py NAME RESULTS_DIRECTORY
"""

import hashlib
import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from pyfaktory import Client, Consumer

NAME, RESULTS = sys.argv[1], Path(sys.argv[2])


def say(**fields: Any) -> None:
    # The library runs jobs in processes of their own: each writes to a file of its own.
    with (RESULTS / f"{NAME}-{os.getpid()}.jsonl").open("a") as output:
        output.write(json.dumps({"worker": NAME, **fields}) + "\n")


def is_first_try(jid: str) -> bool:
    """True the first time that it is asked about a job, in whichever worker."""
    try:
        (RESULTS / f"{jid}.tried").open("x").close()
    except FileExistsError:
        return False
    return True


def summarize(jid: str, file: str, fails_first: bool) -> None:
    started = time.time()
    if fails_first and is_first_try(jid):
        say(file=file, started=started, failed=True)
        raise RuntimeError("this job fails on its first try")
    data = Path(file).read_bytes()
    say(file=file, started=started, sha256=hashlib.sha256(data).hexdigest(), lines=data.count(b"\n"))


def main() -> None:
    with Client(role="consumer", worker_id=f"{NAME}-{os.getpid()}") as client:
        consumer = Consumer(client=client, queues=["files"], concurrency=8, grace_period=5)
        consumer.register("Summarize", summarize, bind=True)
        with suppress(SystemExit):  # how the library ends
            consumer.run()
    # Its heartbeat thread would keep the process for another quarter of a minute.
    os._exit(0)


if __name__ == "__main__":
    main()
