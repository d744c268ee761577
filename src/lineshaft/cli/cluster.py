"""`lineshaft cluster`: who leads and how far each node is; let another lead; make a node's data a single server's."""

import sys
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from cyclopts import App, Parameter

from lineshaft.cli.confirm import is_confirmed
from lineshaft.cli.flag import Flag
from lineshaft.cli.looking import ask, print_rows
from lineshaft.cli.reach import reach
from lineshaft.errors import UsageError

__all__ = ["app"]

app: Final = App(name="cluster", help="Show the cluster; let another node lead; make a node's data a single server's.")


@app.default
@app.command
def status(*, json: Flag = False) -> int:
    """List the nodes: who leads, and how many entries of the log each is behind. FAKTORY_URL names any of them.

    Parameters
    ----------
    json
        Print a line of JSON per node.
    """
    with reach() as client:
        found: dict[str, Any] = ask(client, b"CLUSTER STATUS")
    columns = ("node", "role", "address", ">epoch", ">behind", ">silent s", "version")
    print_rows(found["nodes"], columns, _cells, json=json, title=f"Cluster {found['cluster']}")
    for node in found["nodes"]:
        if node.get("problem") and not json:
            print(f"{node['node']}: {node['problem']}", file=sys.stderr)
    if found.get("problem") and not json:
        print(f"{found['node']}: {found['problem']}", file=sys.stderr)
    return 0 if found["leader"] is not None else 1


def _cells(row: dict[str, Any]) -> tuple[object, ...]:
    silent = f"{row['seen_ms'] / 1000:.1f}"
    return row["node"], row["role"], row["address"], row["epoch"], row["behind"], silent, row["version"]


@app.command
def transfer(node: str = "", /) -> int:
    """Let another node lead, and close all connections: clients come back to the new one.

    Parameters
    ----------
    node
        Which [default: the standby that has applied most of the log].
    """
    with reach() as client:
        client.command(b"CLUSTER TRANSFER " + msgspec.json.encode({"node": node}))
    print(f"leadership goes to {node or 'the nearest standby'}")
    return 0


@app.command
def leave(*, data: Annotated[str, Parameter(name=["--data", "-d"])], yes: bool = False) -> int:
    """Make the data directory of a node, which must not run, that of a single server.

    A cluster that goes on has the same jobs still: this is for the last node of one that is given up.

    Parameters
    ----------
    data
        The node's data directory.
    yes
        Do not ask.
    """
    from lineshaft.engine.keys import POSITION_KEY  # noqa: PLC0415 - needs what the server needs
    from lineshaft.store.rocks import RocksStore  # noqa: PLC0415

    path = Path(data)
    if not path.is_dir():
        raise UsageError(f"there is no directory {path}")
    if not is_confirmed(f"takes {path} out of its cluster", yes=yes):
        return 1
    store = RocksStore(path)
    try:
        if store.get(POSITION_KEY) is None:
            raise UsageError(f"{path} belongs to no cluster")
        store.commit({POSITION_KEY: None})
        store.sync()
    finally:
        store.close()
    print(f"{path} is a single server's now: start it without [cluster]")
    return 0
