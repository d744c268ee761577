"""Settings: what the configuration says, as the engine and the server are told it.

    Config ─> engine_settings ─> Settings         the rules: limits, queues, throttles, periodic jobs
          └─> server_settings ─> ServerSettings   the conversation: passwords, users, limits, syncs

Engine and server know no files and no keys, so that each can be built without a configuration. The same Config gives
the same settings, at the start and on a reload; nothing here changes anything.
"""

from msgspec import json

from lineshaft.config import Config, Cron, Queue
from lineshaft.engine.agenda.run import check_periodic
from lineshaft.engine.records import LaneRules, Rate
from lineshaft.engine.settings import Limits, Periodic, QueueLimits, Settings, Throttle
from lineshaft.errors import ConfigError, Refusal
from lineshaft.schedule import Schedule
from lineshaft.server.settings import BackupRule, Permission, ServerSettings, SyncMode, User

__all__ = ["backup_rule", "engine_settings", "periodic", "server_settings"]


def engine_settings(config: Config) -> Settings:
    """What of the configuration concerns the rules. Raises ConfigError."""
    return Settings(
        most=Limits(
            config.limits.queues,
            config.limits.bulk,
            config.limits.mutates,
            config.limits.nesting,
            config.limits.result_bytes,
            config.limits.batches,
            config.limits.custom_bytes,
            config.limits.workers,
        ),
        jid_index=config.storage.jid_index,
        refuse_duplicate_jids=config.server.refuse_duplicate_jids,
        recover_after=config.workers.recover_after_ms,
        recover_limit=config.workers.recover_limit,
        dead_keep=config.retention.dead_ms,
        dead_max=config.retention.dead_max,
        results_keep=config.retention.results_ms,
        batches_keep=config.retention.batches_ms,
        batches_open=config.retention.batches_open_ms,
        history_keep=config.history.completed_ms,
        history_max=config.history.max_jobs,
        history_max_bytes=config.history.max_bytes,
        every_queue=QueueLimits(config.queues.backpressure),
        queues={
            name: QueueLimits(queue.limit, queue.reserve_for_seconds, queue.backoff, _lane_rules(queue))
            for name, queue in config.queues.named.items()
        },
        throttles={
            name: Throttle(each.concurrency, each.worker, each.timeout_ms, each.rate, each.per_ms or 1000)
            for name, each in config.throttles.named.items()
        },
        periodic=tuple(periodic(cron, config.limits.custom_bytes) for cron in config.cron),
    )


def _lane_rules(queue: Queue) -> LaneRules | None:
    """The lanes of a queue; None where it has none."""
    if queue.lane_by is None:
        return None
    rate = None if queue.lane_rate is None else Rate(queue.lane_rate.tokens, queue.lane_rate.per_ms)
    return LaneRules(queue.lane_by, queue.lane_concurrency, queue.lane_order == "strict", rate)


def periodic(cron: Cron, most_custom: int) -> Periodic:
    """A periodic job as the rules know it, with so many bytes of `custom` at most. Raises ConfigError for any other."""
    job = cron.job
    pushed = {
        "jobtype": job.jobtype,
        "queue": job.queue,
        "args": job.args,
        "retry": job.retry,
        "priority": job.priority,
        "reserve_for": job.reserve_for_seconds,
        "backtrace": job.backtrace,
        "custom": job.custom,
    }
    what = Periodic(
        cron.identity,
        Schedule(cron.schedule, cron.tz),
        job.jobtype,
        job.queue,
        json.encode(pushed),
        catch_up=cron.catch_up == "once",
    )
    try:
        check_periodic(what, most_custom)
    except Refusal as refusal:
        raise ConfigError(f"{cron.where}.job: {refusal}") from None
    return what


def server_settings(config: Config) -> ServerSettings:
    """What of the configuration concerns the conversation with clients."""
    return ServerSettings(
        # In a cluster every reply waits for the log, whatever is said of this machine's disk.
        sync=SyncMode.ALWAYS if config.cluster.name is not None else SyncMode(config.storage.sync),
        sync_interval_ms=config.storage.interval_ms,
        password=config.password,
        users={
            name: User(name, user.password, frozenset(map(Permission, user.may)), user.queues)
            for name, user in config.auth.users.items()
        },
        max_connections=config.server.connections,
        line_limit_bytes=config.server.line_limit_bytes,
        unfinished_bytes=config.limits.unfinished_bytes,
        waiting_places=config.limits.waiting,
        most_labels=config.limits.labels,
        description=config.server.description,
        backups=backup_rule(config),
        data=None if config.ephemeral else str(config.data_dir),
    )


def backup_rule(config: Config) -> BackupRule:
    """Where clients may have backups written: see `server.backup`."""
    root, data = config.storage.backups, str(config.data_dir)
    if root is not None:
        return BackupRule(root, data=data)
    is_guarded = config.password is not None or bool(config.auth.users)
    return BackupRule(anywhere=is_guarded or config.faktory.binding.is_local, data=data)
