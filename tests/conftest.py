"""Which tests stay together when the suite runs in several processes (`make test`)."""

import pytest

#: Files whose tests are long and share nothing: each goes to whoever is free.
APART = {"test_model.py", "test_simulation.py", "test_kill.py", "test_power_cut.py"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file's tests share their fixtures; those with other people's clients share the programs that are built once."""
    for item in items:
        if item.path.name in APART:
            continue
        built = "client" in getattr(item, "fixturenames", ()) and item.path.parent.name == "acceptance"
        group = "clients" if built or item.path.name == "test_howto_batches.py" else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))
