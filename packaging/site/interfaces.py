"""The pages of the Python API: which names stand on which page; the rest is in their docstrings."""

from importlib import import_module
from typing import Final

from msgspec import Struct

__all__ = ["PAGES", "pages"]


class Page(Struct, frozen=True):
    """The public names of a module: those that are looked for most first."""

    title: str
    module: str
    introduction: str
    first: tuple[str, ...] = ()


PAGES: Final = {
    "client": Page(
        "Python: client",
        "lineshaft.client",
        "How it is used, and why, is told in [Pushing jobs from Python](../howto/python-client.md). `AsyncClient` has"
        " the methods of `Client`; there they are awaited.",
        ("Client", "AsyncClient", "Job", "job_of", "PushedJob", "Batch"),
    ),
    "worker": Page(
        "Python: worker",
        "lineshaft.worker",
        "How to write and run one: [Working in Python](../howto/python-worker.md).",
        ("Jobs", "JobFunction", "Worker", "this_job", "RunningJob"),
    ),
    "testing": Page(
        "Python: testing kit",
        "lineshaft.testing",
        "Tests that use it: [Testing jobs](../howto/python-testing.md).",
    ),
    "plugins": Page(
        "Python: plugins",
        "lineshaft.plugins",
        "What they are for: [Plugins](../howto/plugins.md).",
        ("Plugin", "JobView", "Outcome", "Change", "Refuse", "Follow"),
    ),
    "errors": Page("Python: errors", "lineshaft.errors", "What client and worker raise, by who is at fault."),
}
"""By file."""


def pages() -> dict[str, str]:
    """File to Markdown, with a line for each name that `mkdocstrings` fills in."""
    found = {}
    for file, page in PAGES.items():
        names = import_module(page.module).__all__
        ordered = [*page.first, *(name for name in names if name not in page.first)]
        shown = "\n\n".join(f"::: {page.module}.{name}" for name in ordered)
        found[file] = f"# {page.title}\n\n{page.introduction}\n\n{shown}\n"
    return found
