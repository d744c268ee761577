"""pytest's fixtures. pytest imports this in every run, so the engine is imported by the fixtures alone."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lineshaft.client import Client
    from lineshaft.testing.fake import FakeServer

__all__ = ["lineshaft_client", "lineshaft_server"]


@pytest.fixture
def lineshaft_server() -> "FakeServer":
    """A server in memory, new for each test."""
    from lineshaft.testing.fake import FakeServer  # noqa: PLC0415

    return FakeServer()


@pytest.fixture
def lineshaft_client(lineshaft_server: "FakeServer") -> "Client":
    """A client of `lineshaft_server`."""
    return lineshaft_server.client()
