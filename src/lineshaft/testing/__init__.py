"""The testing kit: your jobs in your tests, with the real engine in memory, and a clock that moves when you say so.

    def test_welcome(lineshaft_server):
        client = lineshaft_server.client()
        client.push(welcome.job(42).using(in_=3600))
        lineshaft_server.advance(hours=1)
        lineshaft_server.drain(jobs)

Needs the extra `lineshaft[testing]`. The pytest fixtures are in `lineshaft.testing.plugin`, and found by themselves.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lineshaft.testing.drain import Run
    from lineshaft.testing.fake import FakeServer

__all__ = ["FakeServer", "Run"]


def __getattr__(name: str) -> Any:
    # Every run of pytest imports the plugin, and with it this package: the engine only for those who use it.
    if name == "FakeServer":
        from lineshaft.testing.fake import FakeServer  # noqa: PLC0415

        return FakeServer
    if name == "Run":
        from lineshaft.testing.drain import Run  # noqa: PLC0415

        return Run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
