"""Verbs: what forms and API ask of the engine that takes more than one call of it."""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from lineshaft.engine.admin.mutate import SLICE
from lineshaft.engine.engine import Engine
from lineshaft.engine.search.filter import EVERYTHING, Filter
from lineshaft.engine.timed import SetName
from lineshaft.engine.views.views import JobView
from lineshaft.errors import Refusal
from lineshaft.lifecycle import Place, WorkerState

__all__ = ["COMMANDS", "DID", "on_every_place", "on_known_queue", "on_queue_jobs", "on_set", "reschedule", "signal"]

T = TypeVar("T")

#: What the forms call an action on the jobs of a set, and what MUTATE calls it. `add_to_queue` is an older name.
COMMANDS: Final = {"retry": "requeue", "add_to_queue": "requeue", "kill": "kill", "delete": "discard"}

DID: Final = {"requeue": "run", "kill": "killed", "discard": "deleted", "clear": "cleared"}


def on_known_queue(name: str, verb: Callable[[Engine], T]) -> Callable[[Engine], T]:
    """A verb on a queue that there is: a misspelt name must not make a queue, nor pass for done. It raises Refusal."""

    def checked(engine: Engine) -> T:
        if engine.views.queue(name) is None:
            raise Refusal(f"there is no queue {name}", "NOTFOUND")
        return verb(engine)

    return checked


def signal(wids: Sequence[str], state: WorkerState) -> Callable[[Engine], None]:
    """Tell workers that there are, or all, to go quiet or to end. It raises Refusal, and tells none, for others."""

    def verb(engine: Engine) -> None:
        for wid in wids:
            if wid != "all" and not (wid and engine.views.workers(limit=1, wid=wid)):
                raise Refusal(f"there is no worker {wid}", "NOTFOUND")
        for wid in wids:
            engine.signal(wid, state)

    return verb


def on_queue_jobs(command: str, name: str, jids: list[str] | None) -> Callable[[Engine], int]:
    """A MUTATE on a queue; how many jobs it concerned at once."""

    def verb(engine: Engine) -> int:
        before = engine.views.queue(name)
        engine.mutate(command, f"queue:{name}", jids=jids)
        after = engine.views.queue(name)
        return before.size - after.size if before and after else 0

    return verb


def on_set(
    name: SetName,
    command: str,
    *,
    jids: list[str] | None = None,
    chosen: Filter | None = None,
    chores: list[int] | None = None,
) -> Callable[[Engine], int]:
    """A MUTATE on a timed set; how many jobs it concerned at once. One that goes on puts its number into `chores`."""

    def verb(engine: Engine) -> int:
        before = getattr(engine.views.overview(), name.value)
        number = engine.mutate(command, name.value, jids=jids, chosen=None if chosen == EVERYTHING else chosen)
        # One that has looked at all of a short set only has to find that there is no more.
        if number is not None and chores is not None and before > SLICE:
            chores.append(number)
        moved: int = before - getattr(engine.views.overview(), name.value)
        return moved

    return verb


def on_every_place(engine: Engine, jid: str, command: str) -> int:
    """A MUTATE on every live job with a jid, wherever it waits; how many that were."""
    targets = {target for view in engine.views.find(jid) if (target := _target(view, command))}
    for target in sorted(targets):
        engine.mutate(command, target, jids=[jid])
    return len(targets)


def _target(view: JobView, command: str) -> str:
    """Where MUTATE finds a job; empty when the command means nothing there."""
    if view.place is Place.READY:
        return f"queue:{view.queue}" if command != "requeue" else ""
    if view.place is Place.LEASED or (view.place is Place.DEAD and command == "kill"):
        return ""
    return view.place.value


def reschedule(engine: Engine, jid: str, instant: int) -> int:
    """Let every job with a jid that waits for an instant wait for this one; in how many sets that was."""
    places = {view.place for view in engine.views.find(jid)} & {Place.SCHEDULED, Place.RETRIES}
    for place in sorted(places):
        engine.reschedule(SetName(place.value), jid, instant)
    return len(places)
