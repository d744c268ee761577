"""The API's jobs: pushed, found, moved."""

from typing import Any, Final

import msgspec

from lineshaft.clock import parse_instant
from lineshaft.errors import Refusal
from lineshaft.job import Job, decode_pushed
from lineshaft.web.actions.push import with_jid
from lineshaft.web.actions.verbs import on_every_place
from lineshaft.web.actions.verbs import reschedule as move_to
from lineshaft.web.api import records as types
from lineshaft.web.api.operation import Call, Handler
from lineshaft.web.api.shown import job_out

__all__ = ["job", "on_job", "push", "push_many", "reschedule"]

#: A reservation is not longer: a day.
MOST_SECONDS: Final = 86_400


async def job(call: Call) -> list[types.JobOut]:
    views = call.look(lambda engine: engine.views.find(call.path("jid")))
    if not views:
        raise Refusal("no such job", "NOTFOUND")
    return [job_out(view) for view in views]


async def push(call: Call) -> types.Made:
    job = decode_pushed(with_jid(call.body))
    wrong = _wrong(call.body)
    if wrong:
        raise Refusal(wrong)
    await call.act("push", f"job {job.jid}", lambda engine: engine.push(job))
    return types.Made(job.jid)


async def push_many(call: Call) -> types.PushedOut:
    raw = msgspec.json.decode(call.body, type=list[msgspec.Raw])
    jobs: list[Job] = [decode_pushed(with_jid(bytes(one))) for one in raw]
    wrong = {job.jid: told for job, one in zip(jobs, raw, strict=True) if (told := _wrong(bytes(one)))}
    jobs = [job for job in jobs if job.jid not in wrong]
    errors = await call.act("push", f"{len(jobs)} jobs", lambda engine: engine.push_bulk(jobs))
    return types.PushedOut([job.jid for job in jobs if job.jid not in errors], {**errors, **wrong})


class _Numbers(msgspec.Struct):
    priority: Any = None
    reserve_for: Any = None


def _wrong(job: bytes) -> str:
    """What is wrong with the numbers of a job; empty for nothing.

    The protocol takes any, since its clients send them: it overlooks what makes no sense. Whoever writes to the API is
    told, as by `lineshaft push`.
    """
    given = msgspec.json.decode(job, type=_Numbers)
    for name, least, most in (("priority", 1, 9), ("reserve_for", 0, MOST_SECONDS)):
        number = getattr(given, name)
        if number is not None and not (type(number) is int and least <= number <= most):
            return f"{name} must be a whole number from {least} to {most}"
    return ""


def on_job(what: str, command: str) -> Handler:
    async def handler(call: Call) -> None:
        jid = call.path("jid")
        if command == "cancel":
            await call.act(what, f"job {jid}", lambda engine: engine.cancel(jid))
        elif not await call.act(what, f"job {jid}", lambda engine: on_every_place(engine, jid, command)):
            raise Refusal("no such job, or not where that means anything", "NOTFOUND")

    return handler


async def reschedule(call: Call) -> None:
    jid, wanted = call.path("jid"), msgspec.json.decode(call.body, type=types.RescheduleIn)
    try:
        instant = parse_instant(wanted.at)
    except (ValueError, OverflowError):
        raise Refusal("at must be an RFC 3339 time with an offset") from None

    if not await call.act("reschedule", f"job {jid}", lambda engine: move_to(engine, jid, instant)):
        raise Refusal("no such job that waits for a time", "NOTFOUND")
