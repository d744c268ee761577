"""Plugins: code of an operator's own that runs inside the server when a job moves. The whole public API.

A plugin is a class that descends from `Plugin`, overrides the hooks that it wants, and is named by an entry point:

    [project.entry-points."lineshaft.plugins"]
    tenants = "mypackage.tenants:Tenants"

It is made once, without arguments, when the server starts. Every hook gets a view of the job, a copy: changing it
changes nothing. What a hook returns says what is to happen. It runs in the server's only thread and everybody waits
for it, so it must not read, write, connect or sleep; an exception is logged and the job goes on as if the hook had
said nothing.

This module imports nothing of the server, so a plugin can be tested without one.
"""

from collections.abc import Sequence
from typing import Any, Final

from msgspec import UNSET, Struct, UnsetType

__all__ = ["GROUP", "Change", "Failure", "Follow", "JobView", "NewJob", "Outcome", "Plugin", "Refuse"]

GROUP: Final = "lineshaft.plugins"
"""The group of the entry points."""


class Failure(Struct, frozen=True):
    """How a job failed."""

    errtype: str
    message: str
    retry_count: int  #: 0 the first time
    remaining: int  #: retries left


class JobView(Struct, frozen=True):
    """A job as it is, decoded."""

    jid: str
    jobtype: str
    args: list[Any]
    queue: str
    custom: dict[str, Any]
    priority: int | None = None  #: known at the push only; None when it was not said
    retry: int | None = None
    reserve_for: int | None = None
    at: str | None = None
    created_at: str | None = None
    enqueued_at: str | None = None
    failure: Failure | None = None


class NewJob(Struct, frozen=True):
    """A job to push; what is None is left to the server, the jid too."""

    jobtype: str
    args: Sequence[Any] = ()
    queue: str = "default"
    jid: str | None = None
    custom: dict[str, Any] | None = None
    priority: int | None = None
    retry: int | None = None
    reserve_for: int | None = None
    at: str | None = None


class Refuse(Struct, frozen=True):
    """Of `push`: the job does not come in; its client reads `-ERR message`."""

    message: str


class Follow(Struct, frozen=True):
    """Push these jobs too, in the same commit; a hundred at most."""

    jobs: Sequence[NewJob]


class Change(Struct, frozen=True):
    """Of `push`: the job comes in with other fields; those that are not said stay. `follow` as in Follow."""

    args: Sequence[Any] | UnsetType = UNSET
    queue: str | UnsetType = UNSET
    custom: dict[str, Any] | UnsetType = UNSET
    priority: int | UnsetType = UNSET
    retry: int | UnsetType = UNSET
    reserve_for: int | UnsetType = UNSET
    at: str | UnsetType = UNSET
    follow: Sequence[NewJob] = ()


Outcome = Refuse | Change | Follow | None
"""What `push` may return; None lets the job pass as it is. The other hooks return Follow or None."""


class Plugin:
    """The hooks; a hook that is not overridden is never called and costs nothing."""

    def push(self, job: JobView) -> Outcome:  # noqa: ARG002 - for those who override it
        """A job comes in, or a job that another plugin pushes."""
        return None

    def fetch(self, job: JobView, worker: str) -> Follow | None:  # noqa: ARG002 - as above
        """A worker was given a job; `worker` is its wid, empty without one."""
        return None

    def ack(self, job: JobView, worker: str) -> Follow | None:  # noqa: ARG002 - as above
        """A worker has done a job, perhaps after it was given up; nobody else has it then."""
        return None

    def fail(self, job: JobView, worker: str) -> Follow | None:  # noqa: ARG002 - as above
        """A job failed, in its worker's words or because its reservation ran out; `job.failure` says how."""
        return None

    def dead(self, job: JobView) -> Follow | None:  # noqa: ARG002 - as above
        """A job is among the dead now: it failed for the last time (`fail` was called before), or MUTATE killed it."""
        return None
