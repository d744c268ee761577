"""What browsers do at a dashboard over many jobs, in threads, until a block ends; and how long pages take.

dashboards   each holds the stream of `/live`, and asks for its page again every two seconds
searching    one searches one set after the other, from end to end
asking       one asks for each page in turn, as somebody who clicks quickly
"""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from talk import ServerFailed

__all__ = [
    "EVERY_SECONDS",
    "PAGES",
    "PAGE_LIMIT_MS",
    "SEARCHED",
    "Asked",
    "Searched",
    "ask_each",
    "asking",
    "at",
    "dashboards",
    "get",
    "searching",
]

EVERY_SECONDS = 2.0
PAGE_LIMIT_MS = 100.0

#: Beyond these the promises say nothing: a page of the whole menu, and searches that find much, little and nothing.
PAGES = {
    "home": "/",
    "queues": "/queues",
    "a queue": "/queues/queue-007",
    "retries": "/retries",
    "scheduled": "/scheduled",
    "dead": "/morgue",
    "dead, oldest first": "/morgue?order=oldest",
    "busy": "/busy",
    "batches": "/batches",
    "periodic": "/periodic",
    "server": "/server",
    "metrics": "/metrics",
    "retries by error type": "/retries?errtype=Errno7",
    "search that finds much": "/retries?text=customer",
    "search that finds little": "/retries?text=customer-999983",
    "search that finds nothing": "/morgue?text=nowhere-to-be-found",
    "search of a queue": "/queues/queue-007?text=nowhere",
    "count before a bulk action": "/retries?confirm=retry&text=customer-99",
    "api, retries": "/api/v1/retries?text=customer-999983",
}
SEARCHED = ("/scheduled", "/retries", "/morgue")
#: What the ten look at.
WATCHED = (
    "/",
    "/",
    "/queues",
    "/queues/queue-003",
    "/retries",
    "/morgue",
    "/scheduled",
    "/busy",
    "/server",
    "/retries",
)


@dataclass
class Asked:
    """How long pages took, in milliseconds, by name."""

    ms: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, milliseconds: float) -> None:
        """It took so long."""
        self.ms.setdefault(name, []).append(milliseconds)

    @property
    def is_met(self) -> bool:
        """Whether nearly every answer came in time; one in twenty may meet a hiccup of a shared machine."""
        return all(at(times, 0.95) <= PAGE_LIMIT_MS for times in self.ms.values())


def at(times: list[float], share: float) -> float:
    """The time within which that share came."""
    ordered = sorted(times)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


@contextmanager
def dashboards(port: int, count: int) -> Iterator[None]:
    """So many dashboards are open until the block ends."""
    closing = threading.Event()
    threads = []
    for number in range(count):
        path = WATCHED[number % len(WATCHED)]
        threads.append(threading.Thread(target=_hold_stream, args=(port, closing), daemon=True))
        threads.append(threading.Thread(target=_look_again, args=(port, path, closing, number / count), daemon=True))
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        closing.set()
        for thread in threads:
            thread.join()


def _hold_stream(port: int, closing: threading.Event) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=3)
    connection.request("GET", "/live")
    stream = connection.getresponse()
    while not closing.is_set():
        stream.readline()
    connection.close()


def _look_again(port: int, path: str, closing: threading.Event, phase: float) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    closing.wait(phase * EVERY_SECONDS)
    while not closing.is_set():
        get(connection, path, **{"X-Live": "1"})
        closing.wait(EVERY_SECONDS)
    connection.close()


@dataclass
class Searched:
    """What a browser that searches has seen."""

    through: int = 0
    rows: int = 0


@contextmanager
def searching(port: int) -> Iterator[Searched]:
    """A browser searches one set after the other for what is nowhere, from end to end, until the block ends."""
    closing = threading.Event()
    searched = Searched()

    def search_all() -> None:
        while not closing.is_set():
            for path in SEARCHED:
                _follow(port, path, searched, closing)

    thread = threading.Thread(target=search_all, daemon=True)
    thread.start()
    try:
        yield searched
    finally:
        closing.set()
        thread.join()


def _follow(port: int, path: str, searched: Searched, closing: threading.Event) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", f"{path}?stream=1&text=nowhere-to-be-found")
    stream = connection.getresponse()
    before = 0
    while (line := stream.readline()) and not closing.is_set():
        if line.startswith(b"data: "):
            looked_at = int("".join(filter(str.isdecimal, json.loads(line[6:])["told"].partition(" of ")[0])))
            searched.rows, before = searched.rows + looked_at - before, looked_at
        searched.through += line.startswith(b"event: end")
    connection.close()


@contextmanager
def asking(port: int, asked: Asked) -> Iterator[None]:
    """One browser asks for each page in turn, until the block ends."""
    closing = threading.Event()

    def ask_all() -> None:
        while not closing.is_set():
            ask_each(port, asked, closing)

    thread = threading.Thread(target=ask_all, daemon=True)
    thread.start()
    try:
        yield
    finally:
        closing.set()
        thread.join()


def ask_each(port: int, asked: Asked, closing: threading.Event | None = None) -> None:
    """Ask for each page once."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for name, path in PAGES.items():
        if closing is not None and closing.is_set():
            break
        began = time.perf_counter()
        get(connection, path)
        asked.add(name, (time.perf_counter() - began) * 1000)
        if closing is not None:
            # Somebody who clicks quickly, not a load test.
            closing.wait(0.05)
    connection.close()


def get(connection: http.client.HTTPConnection, path: str, **headers: str) -> bytes:
    """A page, whole. Raises ServerFailed when it is none."""
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise ServerFailed(f"GET {path} was answered with {answer.status}: {body[:200].decode(errors='replace')}")
    return body
