"""The examples for other clients on the pages of features: for each language one program of all of them, run.

Each block is a function of its own that is given what its page takes for granted: a client, a jid, a job at work. What
the jobs that were pushed ask for is compared with what the blocks name, so that a block that does nothing is noticed.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.clients.programs import CLIENTS, Client
from docs.test_blocks import rest
from lineshaft.client import Client as Ours
from processes import ServerProcess

pytestmark = pytest.mark.timeout(600)

#: Ours on these pages is run by test_python.py.
OURS = re.compile(r"client\.push\(|@jobs\.job|^raise Retry|Worker\(")


def blocks(language: str) -> list[str]:
    return [
        block.text
        for page, block in rest(language)
        if page.startswith("docs/howto/") and not (language == "python" and OURS.search(block.text))
    ]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path) as running, Ours(f"tcp://127.0.0.1:{running.port}") as client:
        client.push({"jid": "at-work-1", "jobtype": "T", "args": [], "queue": "held", "custom": {"track": 1}})
        client.push({"jid": "at-work-2", "jobtype": "T", "args": [], "queue": "held"})
        assert client.fetch("held")
        assert client.fetch("held")
        yield running


def run(server: ServerProcess, command: list[str], cwd: Path) -> None:
    environment = {**os.environ, "FAKTORY_URL": f"tcp://127.0.0.1:{server.port}"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def asked_for(server: ServerProcess) -> set[str]:
    """What the jobs that were pushed carry in `custom`."""
    found: set[str] = set()
    with Ours(f"tcp://127.0.0.1:{server.port}") as client:
        for queue in ("default", "mail"):
            while (job := client.fetch(queue)) is not None:
                found |= set(job.get("custom", {}))
                client.ack(job["jid"])
    return found


def client_of(folder: str) -> Client:
    (client,) = [one for one in CLIENTS if one.folder == folder and "worker_go" not in one.name][:1]
    client.prepare()
    return client


NODE = """
// A block may start a worker, which the library does once: each has a library of its own.
const fresh = () => {
  for (const name of Object.keys(require.cache)) delete require.cache[name];
  return require("faktory-worker");
};
const faktory = fresh();
(async () => {
  const client = await faktory.connect({ url: process.env.FAKTORY_URL });
  const worked = { jid: "at-work-2" };
  const functions = [FUNCTIONS];
  for (const one of functions) await one(fresh(), client, "at-work-1", worked);
  process.exit(0);
})().catch((failure) => { console.error(failure); process.exit(1); });
"""


def test_node(server: ServerProcess) -> None:
    found = blocks("javascript")
    assert len(found) == 9
    client = client_of("node")
    # Workers apart: they would take the jobs of the others.
    for is_worker in (False, True):
        functions = []
        for text in found:
            # Where a block makes the job that it speaks of, the name is its own.
            names = "faktory, client, jid" + ("" if "const job" in text else ", job")
            if ("faktory.work(" in text) == is_worker:
                functions.append(f"async ({names}) => {{\n{text}\n}}")
        run(server, ["node", "-e", NODE.replace("FUNCTIONS", ",\n".join(functions))], client.directory)
        if not is_worker:
            assert asked_for(server) == {"expires_in", "tenant", "backoff", "track", "unique_for"}


PYTHON = """
import os
from pyfaktory import Client, Consumer, Job, Producer

with Client(faktory_url=os.environ["FAKTORY_URL"], role="both") as client:
    producer = Producer(client=client)
    for block in {blocks!r}:
        names = dict(globals())
        exec(block, names)
        if "job" in names and "producer.push" not in block:
            producer.push(names["job"])
    # The heartbeat of a consumer that was made would keep the process for another ten seconds.
    os._exit(0)
"""


def test_pyfaktory(server: ServerProcess, tmp_path: Path) -> None:
    found = blocks("python")
    assert len(found) == 7
    run(server, [sys.executable, "-W", "ignore", "-c", PYTHON.format(blocks=found)], tmp_path)
    assert asked_for(server) == {"expires_in", "tenant", "backoff", "track", "unique_for"}


def test_the_worker_of_the_other_python_client() -> None:
    from faktory import Worker  # noqa: PLC0415 - its name is that of ours

    (text,) = [block.text for page, block in rest("python") if re.search(r"^worker = Worker\(", block.text, re.M)]
    names = {"Worker": Worker}
    exec(text, names)
    assert isinstance(names["worker"], Worker)


GO = """
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	faktory "github.com/contribsys/faktory/client"
	worker "github.com/contribsys/faktory_worker_go"
)

var _ = fmt.Sprintf

func must(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

FUNCTIONS

func main() {
	cl, err := faktory.Open()
	must(err)
	mgr := worker.NewManager()
	midnight := time.Now().Add(time.Hour)
	CALLS
	mgr.Concurrency = 1
	mgr.ProcessStrictPriorityQueues("blocks")
	ended := make(chan bool, 100)
	work := func(inside func(context.Context) error) func(context.Context, ...interface{}) error {
		return func(ctx context.Context, _ ...interface{}) error {
			must(inside(ctx))
			ended <- true
			return nil
		}
	}
	WORKS
	ctx, cancel := context.WithCancel(context.Background())
	go func() { must(mgr.RunWithContext(ctx)) }()
	for range WORKS_COUNT {
		<-ended
	}
	cancel()
	os.Exit(0)
}
"""


def go_function(number: int, text: str) -> str:
    names = {name for found in re.findall(r"^(\w+(?:, \w+)*) :=", text, re.MULTILINE) for name in found.split(", ")}
    used = "\n".join(f"\t\tmust({name})" if name == "err" else f"\t\t_ = {name}" for name in sorted(names - {"_"}))
    push = "\t\tmust(cl.Push(job))\n" if "job" in names and "cl.Push" not in text else ""
    if "HelperFor" in text:
        return f"func block{number}(ctx context.Context) error {{\n{text}\n\treturn err\n}}\n"
    # A job that is pushed has to be there before it can be asked for.
    body = text.replace("status, err := cl.TrackGet", f"{push}status, err := cl.TrackGet")
    push = "" if body != text else push
    given = "cl *faktory.Client, jid string, midnight time.Time, mgr *worker.Manager"
    return f"func block{number}({given}) {{\n\t{{\n{body}\n{used}\n{push}\t}}\n}}\n"


def test_go(server: ServerProcess) -> None:
    found = blocks("go")
    assert len(found) == 10
    functions = [go_function(number, text) for number, text in enumerate(found)]
    works = [number for number, text in enumerate(found) if "HelperFor" in text]
    calls = [f'block{number}(cl, "at-work-1", midnight, mgr)' for number in range(len(found)) if number not in works]
    begin = [
        f'mgr.Register("block{number}", work(block{number}))\n'
        f'\tblock{number}job := faktory.NewJob("block{number}", 1)\n'
        f'\tblock{number}job.Queue = "blocks"\n\tblock{number}job.SetCustom("track", 1)\n'
        f"\tmust(cl.Push(block{number}job))"
        for number in works
    ]
    program = GO.replace("FUNCTIONS", "\n".join(functions)).replace("CALLS", "\n\t".join(calls))
    program = program.replace("WORKS_COUNT", f"make([]bool, {len(works)})").replace("WORKS", "\n\t".join(begin))
    client = client_of("go")
    folder = client.directory / "target" / "blocks"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "main.go").write_text(program)
    run(server, ["go", "run", "-buildvcs=false", "./target/blocks"], client.directory)
    # Of the two ways to let a job expire the second is what is pushed.
    assert asked_for(server) == {"expires_at", "tenant", "backoff", "track", "unique_for", "unique_until"}


RUST = """
use faktory::ent::ProgressUpdate;
use faktory::{Client, Error, Job, JobId};

FUNCTIONS

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut client = Client::connect().await?;
    CALLS
    Ok(())
}
"""


def test_rust(server: ServerProcess) -> None:
    found = blocks("rust")
    assert len(found) == 3
    functions, calls = [], []
    for number, text in enumerate(found):
        push = "client.enqueue(job).await?;" if "let job" in text and "enqueue" not in text else ""
        head = f"async fn block{number}(client: &mut Client, jid: JobId) -> Result<(), Error>"
        functions.append(f"#[allow(unused_variables)]\n{head} {{\n{text}\n{push}\nOk(())\n}}\n")
        calls.append(f'block{number}(&mut client, JobId::new("at-work-1")).await?;')
    client = client_of("rust")
    folder = client.directory / "target" / "blocks"
    (folder / "src").mkdir(parents=True, exist_ok=True)
    program = RUST.replace("FUNCTIONS", "\n".join(functions)).replace("CALLS", "\n    ".join(calls))
    (folder / "src" / "main.rs").write_text(program)
    manifest = (client.directory / "Cargo.toml").read_text()
    (folder / "Cargo.toml").write_text(manifest.replace('name = "client"', 'name = "blocks"'))
    (folder / "Cargo.lock").write_bytes((client.directory / "Cargo.lock").read_bytes())
    command = ["cargo", "run", "--locked", "--quiet", f"--manifest-path={folder}/Cargo.toml", "--target-dir=target"]
    run(server, command, client.directory)
    # Its feature `ent` has every job tracked.
    assert asked_for(server) == {"expires_at", "unique_for", "unique_until", "track"}


def test_what_is_raised_is_ours() -> None:
    """The one block that only raises."""
    (text,) = [block.text for _, block in rest("python") if block.text.startswith("raise Retry")]
    from lineshaft import Retry  # noqa: PLC0415 - only here

    with pytest.raises(Retry) as caught:
        exec(text, {"Retry": Retry})
    assert caught.value.in_seconds == 120
    assert json.dumps(str(caught.value)) == '"429"'
