"""The client program of PyPI's `pyfaktory`; ../README.md says what it must do."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from pyfaktory import Batch, Client, Consumer, Job, JobFilter, MutateOperation, Producer, TargetJob

URL = os.environ["FAKTORY_URL"]


def say(**fields: Any) -> None:
    # One write per line: the handlers run in processes of their own and share this stdout.
    os.write(1, json.dumps(fields).encode() + b"\n")


#: What the server reads in a job's `custom`; the library has no methods for it.
WISHES = ("unique_for", "unique_until", "expires_in", "track")


def wish(job: dict[str, Any]) -> dict[str, Any]:
    """The job with its wishes where they are sent."""
    wishes = {name: job.pop(name) for name in WISHES if name in job}
    return {**job, "custom": {**job.get("custom", {}), **wishes}} if wishes else job


def note(jid: str, *args: Any) -> None:
    say(ran=jid, jobtype="note", args=args)


def boom(jid: str, *args: Any) -> None:
    say(ran=jid, jobtype="boom", args=args)
    raise ValueError("boom")


def flaky(jid: str, *args: Any) -> None:
    say(ran=jid, jobtype="flaky", args=args)
    marker = Path(args[0])
    if not marker.exists():
        marker.touch()
        raise ValueError("the first try")


def produce(command: str, wanted: dict[str, Any]) -> None:
    with Client(faktory_url=URL, role="producer") as client:
        producer = Producer(client=client)
        jobs = [Job(**wish(job)) for job in wanted["jobs"]]
        if command == "bulk":
            say(refused=producer.push_bulk(jobs))
            return
        for job in jobs:
            producer.push(job)
        say(pushed=len(jobs))


def bulk_string(reply: str) -> str:
    """What a reply holds, which the library hands on as it came: its length, a line end, its text, a line end."""
    return reply.split("\r\n")[1]


def callback(job: dict[str, Any] | None) -> TargetJob | None:
    """The library's callbacks have neither a jid nor anything else that a job may have."""
    return TargetJob(jobtype=job["jobtype"], args=job["args"], queue=job["queue"]) if job else None


def fill(producer: Producer, bid: str, wanted: dict[str, Any]) -> None:
    """Push the jobs into a batch: the library leaves it to us to name it in each."""
    jobs = [wish(job) for job in wanted.get("jobs", [])]
    joining = [Job(**{**job, "custom": {**job.get("custom", {}), "bid": bid}}) for job in jobs]
    if wanted.get("bulk"):
        assert producer.push_bulk(joining) == {}
    else:
        for job in joining:
            producer.push(job)


def batch(command: str, wanted: dict[str, Any]) -> None:
    with Client(faktory_url=URL, role="producer") as client:
        producer = Producer(client=client)
        match command:
            case "batch":
                callbacks = {name: callback(wanted.get(name)) for name in ("success", "complete")}
                made = Batch(parent_bid=wanted.get("parent"), description=wanted.get("description"), **callbacks)
                bid = bulk_string(producer.batch_new(made))
            case "batch_open":
                bid = wanted["bid"]
                producer.batch_open(bid)
            case _:
                # A custom command, as the library's README has it; there is nothing public for this one.
                found = client._send_and_receive(f"BATCH STATUS {wanted['bid']}\r\n")
                if found.startswith("-"):
                    sys.exit(found)
                say(status=json.loads(bulk_string(found)))
                return
        fill(producer, bid, wanted)
        if not wanted.get("open"):
            producer.batch_commit(bid)
        say(bid=bid)


def administer(command: str, wanted: dict[str, Any]) -> None:
    with Client(faktory_url=URL) as client:
        match command:
            case "info":
                say(info=client.info())
                return
            case "pause":
                client.queue_pause(queues=wanted["queues"])
            case "resume":
                client.queue_unpause(queues=wanted["queues"])
            case "remove":
                client.queue_remove(queues=wanted["queues"])
            case "mutate":
                chosen = wanted.pop("filter", None)
                fields = {"jids": None, "jobtype": None, "regexp": None, **(chosen or {})}
                client.mutate(MutateOperation(**wanted, filter=JobFilter(**fields) if chosen else None))
    say(done=True)


def work(wanted: dict[str, Any]) -> None:
    with Client(faktory_url=URL, role="consumer", worker_id=wanted["wid"], beat_period=5) as client:
        consumer = Consumer(client=client, queues=wanted["queues"], concurrency=1, grace_period=5)
        for handler in (note, boom, flaky):
            consumer.register(handler.__name__, handler, bind=True)
        try:
            consumer.run()
        except SystemExit:
            say(stopped=True)
    # The library's heartbeat thread would keep the process for another five seconds.
    os._exit(0)


if __name__ == "__main__":
    verb, message = sys.argv[1], json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}
    if verb == "work":
        work(message)
    elif verb in {"push", "bulk"}:
        produce(verb, message)
    elif verb.startswith("batch"):
        batch(verb, message)
    else:
        administer(verb, message)
