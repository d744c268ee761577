"""From a transaction to a job. A client connects when it is used, and may be forked."""

import json
from typing import Any

from django.db import connection, transaction

from lineshaft import Client, Job
from lineshaft.clock import system_clock
from outbox.models import OutboxJob

client = Client()
#: Of the relay, which comes again by itself.
relay_client = Client(reconnect=False)

PORTION = 500


def push_on_commit(job: Job[Any]) -> None:
    """Push when the transaction is committed; at once outside of one."""
    transaction.on_commit(lambda: client.push(job))


def push_in_transaction(job: Job[Any]) -> None:
    """Have the relay push it if the transaction is committed, and surely then."""
    OutboxJob.objects.create(payload=job.encode(system_clock()).decode())


def relay() -> int:
    """Push a portion of what is in the outbox; returns how many rows it has seen to.

    Several relays may run: where the database can, each takes rows that no other holds.
    """
    skips = connection.features.has_select_for_update_skip_locked
    with transaction.atomic():
        rows = OutboxJob.objects.select_for_update(skip_locked=skips).filter(refusal="").order_by("id")[:PORTION]
        jobs = {row.id: json.loads(row.payload) for row in rows}
        refused = relay_client.push_bulk(jobs.values())
        done = []
        for number, job in jobs.items():
            refusal = refused.get(job["jid"])
            if refusal is None or refusal.code == "NOTUNIQUE":  # the same work is on its way already
                done.append(number)
            else:
                OutboxJob.objects.filter(id=number).update(refusal=refusal.text)
        OutboxJob.objects.filter(id__in=done).delete()
    return len(jobs)
