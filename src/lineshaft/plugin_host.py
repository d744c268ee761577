"""The plugin host: finds plugins, loads them, and stands between them and the engine.

What a plugin is given is a copy; what it returns is checked here, field by field, before a job is touched. Whatever it
raises is logged with its name and the job goes on unchanged. The time that each call takes is measured, and one that
takes longer than it may is named in the log. Both kinds of lines come at most once a second for each hook of a
plugin, with the number of those that were left out.
"""

import logging
import secrets
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from time import perf_counter
from typing import Any, Final

from msgspec import UNSET, Raw, Struct, json

from lineshaft.engine.hooks import Hooks, Verdict
from lineshaft.engine.naming import check_queue_name
from lineshaft.errors import ConfigError
from lineshaft.job import ABSENT, DEFAULT_QUEUE, MAX_RESERVE_SECONDS, Job
from lineshaft.plugins import GROUP, Change, Failure, Follow, JobView, NewJob, Plugin, Refuse

__all__ = ["Loaded", "PluginHost", "load_plugins"]

log = logging.getLogger(__name__)

#: One return of a hook may bring this many jobs.
MOST_FOLLOWING: Final = 100

#: A message that goes to a client.
MAX_MESSAGE: Final = 1000

QUIET_SECONDS: Final = 1.0


class Loaded(Struct, frozen=True):
    """A plugin and the name of its entry point."""

    name: str
    plugin: Plugin


def load_plugins(enabled: Sequence[str] | None, disabled: Sequence[str]) -> list[Loaded]:
    """The plugins that are installed and wanted, by name: all but the disabled ones, or just the enabled ones.

    Raises ConfigError when one cannot be loaded, or is wanted and not installed.
    """
    found = {point.name: point for point in entry_points(group=GROUP)}
    for name in enabled or ():
        if name not in found:
            installed = ", ".join(sorted(found)) or "none"
            raise ConfigError(f"plugins.enabled names {name}, which is not installed; installed are: {installed}")
    names = [name for name in sorted(found) if (enabled is None or name in enabled) and name not in disabled]
    return [_load(name, found[name].load) for name in names]


def _load(name: str, load: Callable[[], Any]) -> Loaded:
    try:
        plugin = load()()
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"the plugin {name} cannot be loaded: {type(error).__name__}: {error} "
            f'(disabled = ["{name}"] in [plugins] starts without it)'
        ) from error
    if not isinstance(plugin, Plugin):
        raise ConfigError(f"the plugin {name} cannot be loaded: what it names does not descend from {GROUP}.Plugin")
    return Loaded(name, plugin)


class _Said:
    """When a line was logged last, and how many were left out since."""

    def __init__(self) -> None:
        self.at = float("-inf")
        self.left_out = 0


class PluginHost:
    """All loaded plugins behind the engine's hooks."""

    def __init__(self, plugins: list[Loaded], slow_ms: float, clock: Callable[[], float] = perf_counter) -> None:
        self.plugins = plugins
        self.slow_ms = slow_ms
        self.clock = clock
        self._said: dict[tuple[str, ...], _Said] = {}

    def hooks(self) -> Hooks | None:
        """What the engine is to call; None when no plugin has a hook."""
        hooks = Hooks(
            push=self._push if self._listeners("push") else None,
            fetch=self._fetched if self._listeners("fetch") else None,
            ack=self._acked if self._listeners("ack") else None,
            fail=self._failed if self._listeners("fail") else None,
            dead=self._dead if self._listeners("dead") else None,
            dropped=self._dropped,
        )
        return hooks if any((hooks.push, hooks.fetch, hooks.ack, hooks.fail, hooks.dead)) else None

    def _listeners(self, hook: str) -> list[Loaded]:
        return [one for one in self.plugins if getattr(type(one.plugin), hook) is not getattr(Plugin, hook)]

    # The hooks

    def _push(self, job: Job) -> Verdict:
        following: tuple[Job, ...] = ()
        for one in self._listeners("push"):
            # Viewed anew for each: a plugin sees what those before it have changed.
            outcome = self._call(one, "push", lambda: _view(job), take=lambda said: _check_push(said, job))
            if isinstance(outcome, Refuse):
                return Verdict(refusal=outcome.message)
            if outcome is not None:
                following += outcome
        return Verdict(follow=following)

    def _fetched(self, job: Job, worker: str) -> tuple[Job, ...]:
        return self._follow("fetch", job, worker)

    def _acked(self, job: Job, worker: str) -> tuple[Job, ...]:
        return self._follow("ack", job, worker)

    def _failed(self, job: Job, worker: str) -> tuple[Job, ...]:
        return self._follow("fail", job, worker)

    def _dead(self, job: Job) -> tuple[Job, ...]:
        return self._follow("dead", job)

    def _follow(self, hook: str, job: Job, *more: str) -> tuple[Job, ...]:
        following: tuple[Job, ...] = ()
        for one in self._listeners(hook):
            following += self._call(one, hook, lambda: _view(job), *more, take=_check_follow) or ()
        return following

    def _dropped(self, job: Job, why: str) -> None:
        self._log(("", "follow"), "a follow-up job of a plugin was not pushed (jid %s): %s", job.jid[:200], why)

    # Guarding

    def _call(self, one: Loaded, hook: str, view: Callable[[], JobView], *more: str, take: Callable[[Any], Any]) -> Any:
        """What a hook returned, checked by `take`; None when it raised or returned what cannot be."""
        began = self.clock()
        try:
            return take(getattr(one.plugin, hook)(view(), *more))
        except (Exception, SystemExit) as error:
            self._log((one.name, hook), "the plugin %s failed in %s: %r", one.name, hook, error, error=error)
            return None
        finally:
            took = (self.clock() - began) * 1000
            if took > self.slow_ms:
                text = "the plugin %s is slow: %s took %.1f ms, and everybody waited"
                self._log((one.name, hook, "slow"), text, one.name, hook, took)

    def _log(self, kind: tuple[str, ...], text: str, *values: object, error: BaseException | None = None) -> None:
        said, now = self._said.setdefault(kind, _Said()), self.clock()
        if now - said.at < QUIET_SECONDS:
            said.left_out += 1
            return
        tail = f" ({said.left_out} more lines like this were left out)" if said.left_out else ""
        said.at, said.left_out = now, 0
        log.warning(text + tail, *values, exc_info=error)


def _view(job: Job) -> JobView:
    failure = job.failure
    return JobView(
        jid=job.jid,
        jobtype=job.jobtype,
        args=json.decode(job.args),
        queue=job.queue or DEFAULT_QUEUE,
        custom={} if job.custom is ABSENT or not bytes(job.custom) else json.decode(job.custom),
        priority=_sent_priority(job),
        retry=job.retry,
        reserve_for=job.reserve_for,
        at=job.at,
        created_at=job.created_at,
        enqueued_at=job.enqueued_at if isinstance(job.enqueued_at, str) else None,
        failure=None
        if failure is None
        else Failure(failure.errtype, failure.message, failure.retry_count, failure.remaining),
    )


def _sent_priority(job: Job) -> int | None:
    sent = bytes(job.priority)
    return int(sent) if len(sent) == 1 and sent.isdigit() and sent != b"0" else None


def _check_follow(said: object) -> tuple[Job, ...]:
    """The jobs that a hook wants pushed. Raises ValueError or TypeError for what cannot be."""
    if said is None:
        return ()
    if not isinstance(said, Follow):
        raise TypeError(f"it returned {type(said).__name__}, and may return Follow or None")
    return _jobs(said.jobs)


def _check_push(said: object, job: Job) -> Refuse | tuple[Job, ...]:
    """What `push` returned; a Change is on the job when all of it is good. Raises ValueError or TypeError."""
    if isinstance(said, Refuse):
        return Refuse(" ".join(str(said.message).split())[:MAX_MESSAGE] or "refused by a plugin")
    if not isinstance(said, Change):
        return _check_follow(said)
    following = _jobs(said.follow)
    fields = {
        name: _checked(name, value)
        for name in ("args", "queue", "custom", "priority", "retry", "reserve_for", "at")
        if (value := getattr(said, name)) is not UNSET
    }
    for name, value in fields.items():
        setattr(job, name, value)
    return following


def _jobs(wanted: Sequence[NewJob]) -> tuple[Job, ...]:
    if len(wanted) > MOST_FOLLOWING:
        raise ValueError(f"it wants {len(wanted)} jobs pushed, and {MOST_FOLLOWING} are the most")
    return tuple(_job(new) for new in wanted)


def _job(new: NewJob) -> Job:
    if not isinstance(new.jobtype, str) or not new.jobtype:
        raise ValueError("a new job needs a jobtype")
    jid = secrets.token_hex(12) if new.jid is None else new.jid
    if not isinstance(jid, str):
        raise TypeError("a jid must be a string")
    job = Job(jid=jid, jobtype=new.jobtype, args=_checked("args", new.args), queue=_checked("queue", new.queue))
    for name in ("custom", "priority", "retry", "reserve_for", "at"):
        value = getattr(new, name)
        if value is not None:
            setattr(job, name, _checked(name, value))
    return job


def _checked(name: str, value: Any) -> Any:
    """A field as a Job holds it. Raises ValueError or TypeError."""
    if name == "args":
        if not isinstance(value, list | tuple):
            raise TypeError("args must be a list")
        return Raw(json.encode(value))
    if name == "custom":
        if not isinstance(value, dict):
            raise TypeError("custom must be a dict")
        return Raw(json.encode(value)) if value else ABSENT
    if name in {"queue", "at"}:
        if not isinstance(value, str):
            raise TypeError(f"{name} must be a string")
        if name == "queue":
            check_queue_name(value)
        return value
    low, high = _RANGES[name]
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} must be a whole number from {low} to {high}, not {value!r}")
    return Raw(b"%d" % value) if name == "priority" else value


_RANGES: Final = {"priority": (1, 9), "retry": (-1, 2**31 - 1), "reserve_for": (1, MAX_RESERVE_SECONDS)}
