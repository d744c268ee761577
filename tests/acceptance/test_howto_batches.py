"""docs/howto/batches.md: each sample, run with its library, makes the batch that the page speaks of."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from acceptance.clients.programs import CLIENTS, Client
from acceptance.clients.servers import Target
from docs.pages import blocks, read
from wire_client import WireClient

pytestmark = pytest.mark.timeout(600)

PAGE = read("docs/howto/batches.md")

PYTHON = """
import os
from pyfaktory import Batch, Client, Job, Producer, TargetJob

with Client(faktory_url=os.environ["FAKTORY_URL"], role="producer") as client:
    producer = Producer(client=client)
    exec({sample!r})
"""

NODE = """
const faktory = require("faktory-worker");
(async () => {{
  const client = await faktory.connect({{ url: process.env.FAKTORY_URL }});
  {sample}
  await client.close();
}})();
"""

GO = """
package main

import faktory "github.com/contribsys/faktory/client"

func sample(client *faktory.Client) error {{
{sample}
return err
}}

func main() {{
	client, err := faktory.Open()
	if err == nil {{
		err = sample(client)
	}}
	if err != nil {{
		panic(err)
	}}
}}
"""

RUST = """
use faktory::ent::Batch;
use faktory::{{Client, Job}};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {{
    let mut client = Client::connect().await?;
    {sample}
    Ok(())
}}
"""


def sample_of(language: str) -> str:
    """The page's example in a language; that of our own client is run with its pages."""
    (block,) = [block for block in blocks(PAGE, language) if "client.batch(" not in block.text]
    return block.text


def place(client: Client) -> Path:
    """Beside what was built for the client program, so that it serves the sample too; git ignores it."""
    folder = client.directory / "target" / "howto"
    (folder / "src").mkdir(parents=True, exist_ok=True)
    return folder


def python(_client: Client) -> list[str]:
    return [sys.executable, "-W", "ignore", "-c", PYTHON.format(sample=sample_of("python"))]


def node(_client: Client) -> list[str]:
    return ["node", "-e", NODE.format(sample=sample_of("javascript"))]


def go(client: Client) -> list[str]:
    # Inside the module of the client program, so that the versions are the same.
    (place(client) / "src" / "main.go").write_text(GO.format(sample=sample_of("go")))
    return ["go", "run", "-buildvcs=false", "./target/howto/src"]


def rust(client: Client) -> list[str]:
    folder = place(client)
    (folder / "src" / "main.rs").write_text(RUST.format(sample=sample_of("rust")))
    manifest = (client.directory / "Cargo.toml").read_text()
    (folder / "Cargo.toml").write_text(manifest.replace('name = "client"', 'name = "howto"'))
    (folder / "Cargo.lock").write_bytes((client.directory / "Cargo.lock").read_bytes())
    return ["cargo", "run", "--locked", "--quiet", f"--manifest-path={folder}/Cargo.toml", "--target-dir=target"]


@pytest.mark.parametrize(
    ("name", "command"),
    [("pyfaktory", python), ("faktory-worker.js", node), ("faktory.go", go), ("faktory.rs", rust)],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_sample(name: str, command: Callable[[Client], list[str]], target: Target, wire: WireClient) -> None:
    (client,) = (each for each in CLIENTS if each.name == name)
    client.prepare()
    done = subprocess.run(
        command(client),
        cwd=client.directory,
        env={**os.environ, **target.environment()},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    job = wire.fetch()
    assert job is not None
    assert (job["jobtype"], job["args"]) == ("import", [1])
    bid = job["custom"]["bid"]
    wire.ack(job["jid"])
    announce = wire.fetch()
    assert announce is not None
    assert (announce["jobtype"], announce["args"], announce["custom"]["_bid"]) == ("announce", [42], bid)
    status = json.loads(wire.command(b"BATCH STATUS " + bid.encode()))
    assert (status["description"], status["total"], status["success_st"]) == ("import 42", 1, "1")
