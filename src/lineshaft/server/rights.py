"""Rights: what a client may do that came in with a user name, and on which queues.

```
HELLO {"username":"mailer",...} ──> its User ──> Rights.verbs, the session's table instead of COMMANDS
                                                   PUSH   ──> the verb itself, where all queues are allowed
                                                   PUSH   ──> look at its queue, then the verb
                                                   FETCH  ──> a refusal
```

A session's table of verbs is all that differs, so whoever has no users, or comes in with the password of all, pays
nothing. What a command touches is read by the verb's own parser: nothing can mean one thing here and another there.

RULES names every verb, with its subcommands. A command touches some queues, or the whole server: that needs the right
to all queues. What is known by its jid is looked up, and belongs to the queue that it is in.

What is true after every call: a refusal was raised before anything moved.
"""

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from lineshaft.engine.admin.mutate import QUEUE_TARGET
from lineshaft.errors import PeerError, Refusal
from lineshaft.job import DEFAULT_QUEUE, Job, decode_pushed, decode_pushed_list
from lineshaft.protocol.admin import parse_cron, parse_inspect, parse_mutate
from lineshaft.protocol.commands import (
    SUBCOMMANDS,
    Batch,
    parse_ack,
    parse_batch,
    parse_beat,
    parse_cancel,
    parse_fail,
    parse_requeue,
    parse_track,
)
from lineshaft.protocol.handshake import Hello, verify
from lineshaft.protocol.queues import parse_fetch, parse_queue
from lineshaft.server.commands import COMMANDS, Verb, push_all
from lineshaft.server.session import NO_FETCH
from lineshaft.server.settings import Permission, ServerSettings, User

if TYPE_CHECKING:
    from lineshaft.server.session import Session

__all__ = ["RULES", "Rights", "Rule", "Users", "commands_of"]

PUSH, WORK, ADMIN = Permission.PUSH, Permission.WORK, Permission.ADMIN

#: What is compared where there is no password, so that it takes as long as where there is one.
NOBODY: Final = "nobody has this password"


class Users:
    """Who may come in, and with which rights."""

    def __init__(self, users: dict[str, User]) -> None:
        self._rights = {name: Rights(user) for name, user in users.items()}

    def admit(self, session: "Session", greeting: Hello, settings: ServerSettings) -> "Rights | None":
        """The rights of who knocks; None for everything. Raises PeerError, as late for an unknown name as for a
        wrong password.
        """
        # Without users a name means nothing, as it always did.
        rights = self._rights.get(greeting.username or "")
        if session.salt is not None:
            is_named = bool(greeting.username and self._rights)
            password = (rights.user.password if rights else None) if is_named else settings.password
            is_right = verify(greeting, password or NOBODY, session.salt, settings.password_iterations)
            if not (is_right and password):
                raise PeerError("Invalid password")
        if self._rights and greeting.wid:
            self._check_wid(session, greeting.wid, rights)
        return rights

    def _check_wid(self, session: "Session", wid: str, rights: "Rights | None") -> None:
        """A worker belongs to who came with it first: another must not speak for it."""
        for mate in session.server.by_wid.get(wid, ()):
            if mate.rights is not rights:
                raise PeerError(f"the wid {wid} is that of another user's worker")

    def apply(self, users: dict[str, User], sessions: "Iterable[Session]") -> None:
        """Take other users into effect, for those who are connected too: who is none of them any more has to leave."""
        before, self._rights = self._rights, {}
        for name, user in users.items():
            known = before.get(name)
            self._rights[name] = known if known is not None and known.user == user else Rights(user)
        for session in sessions:
            if session.rights is None:
                continue
            rights = self._rights.get(session.rights.user.name)
            if rights is None or rights.user.password != session.rights.user.password:
                session.abort()
            elif rights is not session.rights:
                session.rights = rights
                session.verbs = session.server.verbs_of(session)
                # The names in it were looked at under the former rights.
                session.fetch_argument = NO_FETCH


class Rights:
    """What one user may do."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.has_all_queues = "*" in user.queues
        patterns = [".*".join(map(re.escape, pattern.split("*"))) for pattern in user.queues]
        self._is_own = re.compile("|".join(patterns)).fullmatch
        #: Every verb: itself, guarded, or refused.
        self.verbs: dict[bytes, Verb] = {verb: self._guard(verb.decode()) for verb in COMMANDS}

    def may(self, rule: "Rule") -> bool:
        """Whether this user may give such a command at all."""
        return not rule.needs or ADMIN in self.user.may or bool(rule.needs & self.user.may)

    def may_use(self, queue: str) -> bool:
        """Whether this queue is one of this user's."""
        return self.has_all_queues or self._is_own(queue) is not None

    def check(self, session: "Session", command: str, argument: bytes) -> None:
        """Raises Refusal for a command that is not allowed, or that cannot be read."""
        rule = RULES[command]
        if not self.may(rule):
            raise self._refusal(command)
        touched = rule.look(session, argument)
        if touched is None and not self.has_all_queues:
            raise Refusal(f"user {self.user.name} may not {command} but for queues of its own")
        for queue in touched or ():
            if not self.may_use(queue):
                raise self._refusal_of(queue)

    def _refusal(self, command: str) -> Refusal:
        may = ", ".join(sorted(self.user.may))
        return Refusal(f"user {self.user.name} may not {command}: the permissions are {may}")

    def _refusal_of(self, queue: str) -> Refusal:
        return Refusal(f"user {self.user.name} may not use the queue {queue[:255]}")

    def _guard(self, verb: str) -> Verb:
        """How this user gives a verb."""
        rules = [RULES[command] for command in commands_of(verb)]
        allowed = [rule for rule in rules if self.may(rule)]
        command = COMMANDS[verb.encode()]
        if not allowed:
            return self._refuse(verb)
        if allowed == rules and self.has_all_queues and not any(rule.always for rule in rules):
            return command
        if verb == "PUSHB":
            return self._push_bulk

        def guarded(session: "Session", argument: bytes) -> bytes | None:
            self.check(session, _command(verb, argument), argument)
            return command(session, argument)

        return guarded

    def _refuse(self, verb: str) -> Verb:
        def refuse(session: "Session", argument: bytes) -> bytes | None:  # noqa: ARG001 - as every verb
            raise self._refusal(verb)

        return refuse

    def _push_bulk(self, session: "Session", argument: bytes) -> bytes | None:
        """PUSHB: a job for a queue of others stops no other job, so it is told of in the map."""
        jobs = decode_pushed_list(argument)
        # Too many are refused together, whosever they are.
        most = session.server.engine.state.settings.most.bulk
        own = jobs if len(jobs) > most else [job for job in jobs if self.may_use(_queue_of(job))]
        others = {} if own is jobs else {job.jid: _queue_of(job) for job in jobs if not self.may_use(_queue_of(job))}
        return push_all(session, own, {jid: self._refusal_of(queue).text for jid, queue in others.items()})


# What a command touches


Touched = Iterable[str] | None
"""Names of queues; None is the whole server."""


def _queue_of(job: Job) -> str:
    return job.queue or DEFAULT_QUEUE


def _nothing(session: "Session", argument: bytes) -> Touched:  # noqa: ARG001
    return ()


def _server(session: "Session", argument: bytes) -> Touched:  # noqa: ARG001
    return None


def _pushed(session: "Session", argument: bytes) -> Touched:  # noqa: ARG001
    return (_queue_of(decode_pushed(argument)),)


def _fetched(session: "Session", argument: bytes) -> Touched:
    # Nearly every FETCH of a session is the same, and the last one was allowed.
    return () if argument == session.fetch_argument else parse_fetch(argument)[0]


def _own_worker(session: "Session", argument: bytes) -> Touched:
    """Nobody beats for another's worker, who could be sent home by it."""
    wid = parse_beat(argument).wid
    if wid and wid != session.holder:
        raise Refusal(f"the worker {wid[:200]} is not that of this connection")
    return ()


def _job(session: "Session", jid: str) -> Touched:
    """The queues of all that have this jid; the one that the worker holds is enough."""
    lease = session.server.engine.state.leases.find(jid, session.holder)
    if lease is not None and lease.holder == session.holder:
        return (lease.queue,)
    return [view.queue for view in session.server.engine.views.find(jid)]


def _callbacks(session: "Session", argument: bytes) -> Touched:  # noqa: ARG001
    _, message = parse_batch(argument)
    assert isinstance(message, Batch), "only BATCH NEW is looked at"
    jobs = (message.complete, message.success, message.death)
    return [_queue_of(job) for job in jobs if job is not None]


def _tracked(session: "Session", argument: bytes) -> Touched:
    message = parse_track(argument)
    return _job(session, message if isinstance(message, str) else message.jid)


def _named(session: "Session", argument: bytes) -> Touched:  # noqa: ARG001
    names = parse_queue(argument)[1]
    return None if "*" in names else names


def _mutated(session: "Session", argument: bytes) -> Touched:  # noqa: ARG001
    message = parse_mutate(argument)
    target, chosen = message.target or "", message.filter
    if target.startswith(QUEUE_TARGET):
        return (target.removeprefix(QUEUE_TARGET),)
    # Where jids are named, nothing else of the filter counts.
    return (chosen.queue,) if chosen is not None and chosen.queue and chosen.jids is None else None


def _inspected(session: "Session", argument: bytes) -> Touched:  # noqa: ARG001
    asked = parse_inspect(argument)
    return (asked.queue,) if asked.queue and asked.what in {"queues", "jobs"} else None


def _periodic(session: "Session", argument: bytes) -> Touched:
    entry = session.server.engine.state.periodic.entries.get(parse_cron(argument)[1])
    return () if entry is None else (entry.what.queue,)


class Rule(Struct, frozen=True):
    """Who may give a command: one of these permissions (none: anybody), and what it touches."""

    needs: frozenset[Permission] = frozenset()
    look: Callable[["Session", bytes], Touched] = _nothing
    always: bool = False  #: looked at also for those who may use every queue


def _rule(*needs: Permission, look: Callable[["Session", bytes], Touched] = _nothing, always: bool = False) -> Rule:
    return Rule(frozenset({*needs, ADMIN}) if needs else frozenset(), look, always)


RULES: Final[dict[str, Rule]] = {
    "PUSH": _rule(PUSH, look=_pushed),
    "PUSHB": _rule(PUSH),  # each job is looked at by itself: see `Rights._push_bulk`
    "FETCH": _rule(WORK, look=_fetched),
    "ACK": _rule(WORK, look=lambda session, argument: _job(session, parse_ack(argument).jid)),
    "FAIL": _rule(WORK, look=lambda session, argument: _job(session, parse_fail(argument).jid)),
    "REQUEUE": _rule(WORK, look=lambda session, argument: _job(session, parse_requeue(argument).jid)),
    "CANCEL": _rule(PUSH, look=lambda session, argument: _job(session, parse_cancel(argument))),
    "TRACK GET": _rule(PUSH, WORK, look=_tracked),
    "TRACK SET": _rule(PUSH, WORK, look=_tracked),
    "BATCH NEW": _rule(PUSH, look=_callbacks),
    "BATCH OPEN": _rule(PUSH),
    "BATCH COMMIT": _rule(PUSH),
    "BATCH STATUS": _rule(PUSH, WORK),
    "BEAT": _rule(WORK, look=_own_worker, always=True),
    "INFO": _rule(),
    "FLUSH": _rule(ADMIN, look=_server),
    "QUEUE PAUSE": _rule(ADMIN, look=_named),
    "QUEUE RESUME": _rule(ADMIN, look=_named),
    "QUEUE REMOVE": _rule(ADMIN, look=_named),
    "QUEUE LATENCY": _rule(PUSH, WORK, look=_named),
    "MUTATE": _rule(ADMIN, look=_mutated),
    "BACKUP": _rule(ADMIN, look=_server),
    "ADOPT": _rule(ADMIN, look=_server),
    "INSPECT": _rule(ADMIN, look=_inspected),
    "SIGNAL": _rule(ADMIN, look=_server),
    "CRON LIST": _rule(ADMIN, look=_server),
    "CRON RUN": _rule(ADMIN, look=_periodic),
    "CRON PAUSE": _rule(ADMIN, look=_periodic),
    "CRON RESUME": _rule(ADMIN, look=_periodic),
    "CLUSTER": _rule(ADMIN, look=_server),
    "END": _rule(),
}
"""Every command there is after the handshake, and who may give it."""


def commands_of(verb: str) -> list[str]:
    """A verb as RULES has it: with each of its subcommands, where it has any."""
    return [f"{verb} {word}" for word in SUBCOMMANDS[verb]] if verb in SUBCOMMANDS else [verb]


def _command(verb: str, argument: bytes) -> str:
    """The key in RULES. Raises Refusal for a subcommand that there is not."""
    if verb == "BATCH":
        return f"BATCH {parse_batch(argument)[0]}"
    if verb == "CRON":
        return f"CRON {parse_cron(argument)[0]}"
    if verb == "QUEUE":
        return f"QUEUE {parse_queue(argument)[0]}"
    if verb == "TRACK":
        return "TRACK GET" if isinstance(parse_track(argument), str) else "TRACK SET"
    return verb
