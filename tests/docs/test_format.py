"""docs/format.md against the code: the version, the records' fields, and the worked example byte by byte."""

import re

import pytest
from msgspec import Struct

from docs.pages import Block, blocks, read, section, table
from lineshaft.engine import keys, records, value
from lineshaft.engine.engine import Engine
from lineshaft.engine.retry import Report
from lineshaft.engine.settings import Settings
from lineshaft.job import decode_pushed
from lineshaft.store.memory import MemoryStore

PAGE = read("docs/format.md")
EXAMPLE = section(PAGE, "A worked example")
NOW = 1_764_000_000_000

KINDS = [
    value.Extras,
    records.QueueRecord,
    records.LanesRecord,
    records.LaneRules,
    records.Rate,
    records.LaneRecord,
    records.Lease,
    records.BucketRecord,
    records.LockRecord,
    records.TrackRecord,
    records.HistoryRecord,
    records.HistorySizeRecord,
    records.SetRecord,
    records.WorkerRecord,
    records.ChoreRecord,
    records.TotalsRecord,
    records.DayRecord,
    records.PeriodicRecord,
    records.GroupRecord,
    records.NoteRecord,
    records.PositionRecord,
]


def test_the_version() -> None:
    assert f"Version **{keys.FORMAT_VERSION}**" in PAGE


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_field_of_a_record_in_its_order(kind: type[Struct]) -> None:
    rows = table(PAGE, head=kind.__name__)
    assert [cells[0].strip("`") for cells in rows] == list(kind.__struct_fields__)


def test_every_record_is_described() -> None:
    kept = {name for name in [*records.__all__, *value.__all__] if re.fullmatch(r"[A-Z]\w*[a-z]\w*", name)} - {"Head"}
    assert kept == {kind.__name__ for kind in KINDS}


def test_every_kind_of_key_is_described() -> None:
    described = {cells[0].strip("`")[:1] for cells in table(PAGE, head="Key")}
    drawn = set(re.findall(r"^([A-Z])(?: .*)?  +\S", keys.__doc__ or "", re.MULTILINE))
    assert described == drawn
    assert len(described) >= 18


def test_what_flush_leaves() -> None:
    kinds = [cells[0].strip("`")[:1].encode() for cells in table(PAGE, head="Key")]
    left = [kind for kind in kinds if not any(start <= kind < end for start, end in keys.JOB_RANGES)]
    assert sorted(left) == [b"A", b"F", b"I", b"J", b"K", b"N"]


class Steps:
    """The example, played: each step returns what it wrote and what it deleted."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.before: dict[bytes, bytes] = {}
        self.engine = Engine(self.store, Settings(), lambda: 0.5, NOW)

    def end(self) -> tuple[dict[bytes, bytes], set[bytes]]:
        self.engine.commit()
        rows = dict(self.store.scan(b"", b"\xff", limit=100))
        before, self.before = self.before, rows
        written = {key: value for key, value in rows.items() if before.get(key) != value}
        return written, before.keys() - rows.keys()


def as_bytes(block: Block) -> bytes:
    """What a block says: hex before two spaces or the line's end, or the text itself."""
    if block.language == "json":
        return block.text.removesuffix("\n").encode()
    return b"".join(bytes.fromhex(re.split(r"  +", line)[0]) for line in block.text.splitlines())


def documented(heading: str) -> dict[bytes, bytes]:
    """The rows of a step of the example: blocks in pairs, key and value."""
    found = [as_bytes(block) for block in blocks(section(EXAMPLE, heading), "hex", "json")]
    assert len(found) % 2 == 0
    return dict(zip(found[::2], found[1::2], strict=True))


def test_the_example() -> None:
    headings = re.findall(r"^### (.+)$", EXAMPLE, re.MULTILINE)
    steps = Steps()
    engine = steps.engine
    new, push, fetch, fail = headings
    assert (documented(new), set()) == steps.end()

    engine.push(decode_pushed(push.strip("`").removeprefix("PUSH ").encode()))
    assert (documented(push), set()) == steps.end()

    engine.connect("w1", "h", 1, ())
    engine.beat("w1", 0, None)
    assert engine.fetch(["default"], "w1") is not None
    assert (documented(fetch), set()) == steps.end()

    assert fail == '`FAIL {"jid":"job-0001","errtype":"Boom","message":"it broke"}`'
    engine.fail("job-0001", "w1", Report("Boom", "it broke"))
    ready = next(key for key in documented(push) if key[:1] == b"R")
    assert (documented(fail), {ready, keys.lease_key(1)}) == steps.end()


def test_a_removed_queue_and_a_dead_job_write_what_the_tables_say() -> None:
    steps = Steps()
    engine = steps.engine
    engine.push(
        decode_pushed(b'{"jid":"job-0001","jobtype":"mail","args":[],"priority":9,"at":"2096-01-01T00:00:00Z"}')
    )
    written, _ = steps.end()
    scheduled = next(value for key, value in written.items() if key[:2] == b"Ts")
    assert scheduled.startswith(b'+{"priority":9}\n{')
    engine.remove(["default"])
    written, _ = steps.end()
    (chore,) = [records.decode_chore(value) for key, value in written.items() if key[:1] == b"C"]
    assert chore.kind == "sweep"
    assert written[b"G"] == records.encode_record(records.TotalsRecord(0, 0))
