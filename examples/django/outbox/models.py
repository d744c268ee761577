"""Jobs that are to be pushed when, and only if, the transaction that wrote them is committed."""

from django.db import models


class OutboxJob(models.Model):
    """A job on its way to the server; the relay deletes it when it is there."""

    payload = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)
    #: Why the server refused it, if it did; such a row waits for somebody to look at it.
    refusal = models.TextField(blank=True, default="", db_index=True)
