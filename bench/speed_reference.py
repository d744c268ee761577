"""The speed to keep: a bare commit pipeline with no features, as a yardstick for the real server.

`bench/run.py` runs it beside the real server and loads both in one run with jobload. Judge by the
ratio, never by the absolute.

    python speed_reference.py PORT DATA_DIR never|always

It speaks just enough of the protocol for jobload (HELLO PUSH PUSHB FETCH ACK FLUSH END), keeps its
queues in memory, writes every change to RocksDB in one batch per loop turn, and with `always` holds
a PUSH reply until the write-ahead log is synced (group commit). No retries, no timers, no checks
worth the name. It is a yardstick, not a starting point: it has none of the structure that the
project needs. Its code stays as it is, so that ratios of different days can be compared.
"""

# ruff: noqa: UP017, ARG002
# fmt: off

import asyncio
import gc
import shutil
import sys
import time
from collections import deque
from datetime import datetime, timezone

import msgspec
import uvloop
from rocksdict import Options, Rdict, WriteBatch, WriteOptions


class Job(msgspec.Struct, gc=False, omit_defaults=True):
    jid: str
    jobtype: str
    args: msgspec.Raw
    queue: str = "default"
    at: str | None = None
    reserve_for: int | None = None
    retry: int | None = 25
    created_at: str | None = None
    enqueued_at: str | None = None
    custom: msgspec.Raw = msgspec.Raw(b"")


class Jid(msgspec.Struct, gc=False):
    jid: str


decode_job = msgspec.json.Decoder(Job).decode
decode_jid = msgspec.json.Decoder(Jid).decode
decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Pipeline:
    """Changes of one loop turn become one batch; durable replies wait for one shared fsync."""

    def __init__(self, path, always):
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_write_buffer_size(128 << 20)
        self.db = Rdict(path, options)
        self.write_options = WriteOptions()
        self.always = always
        self.loop = asyncio.get_running_loop()
        self.batch = WriteBatch(raw_mode=True)
        self.talking = []
        self.scheduled = False
        self.groups = []
        self.syncing = False
        self.queues = {}
        self.parked = {}
        self.leases = {}
        self.seq = 0
        self.tick()

    def tick(self):
        self.now = datetime.now(timezone.utc).isoformat().encode()
        self.loop.call_later(0.001, self.tick)

    def speak(self, conn):
        self.talking.append(conn)
        if not self.scheduled:
            self.scheduled = True
            self.loop.call_soon(self.commit)

    def commit(self):
        self.scheduled = False
        if not self.batch.is_empty():
            self.db.write(self.batch, self.write_options)
            self.batch = WriteBatch(raw_mode=True)
        talking, self.talking = self.talking, []
        group = []
        for conn in talking:
            if self.always and (conn.durable or conn.held):
                conn.durable = False
                conn.held += 1
                group.append((conn, conn.take()))
            else:
                conn.transport.write(conn.take())
        if group:
            self.groups.append(group)
            if not self.syncing:
                self.sync()

    def sync(self):
        self.syncing = True
        groups, self.groups = self.groups, []
        done = self.loop.run_in_executor(None, self.db.flush_wal, True)
        done.add_done_callback(lambda _: self.release(groups))

    def release(self, groups):
        self.syncing = False
        if self.groups:
            self.sync()
        for group in groups:
            for conn, data in group:
                conn.held -= 1
                conn.transport.write(data)

    def push(self, raw):
        job = decode_job(raw)
        payload = b'%s,"enqueued_at":"%s"}' % (bytes(raw)[:-1], self.now)
        self.seq += 1
        key = b"q%s\0%016x" % (job.queue.encode(), self.seq)
        self.batch.put(key, payload)
        queue = self.queues.setdefault(job.queue, deque())
        parked = self.parked.get(job.queue)
        while parked:
            conn = parked.popleft()
            if conn.timer is not None:
                conn.timer.cancel()
                conn.timer = None
                conn.hand_over(job.jid, key, payload)
                return
        queue.append((job.jid, key, payload))

    def lease(self, conn, jid, key):
        until = time.time() + 1800
        self.leases[jid] = key
        self.batch.put(b"w" + jid.encode(), b"%d %s" % (until, key))

    def ack(self, jid):
        key = self.leases.pop(jid, None)
        if key is not None:
            self.batch.delete(key)
            self.batch.delete(b"w" + jid.encode())


class Connection(asyncio.Protocol):
    def __init__(self, pipeline):
        self.pipeline = pipeline
        self.rest = b""
        self.out = []
        self.durable = False
        self.held = 0
        self.timer = None

    def connection_made(self, transport):
        self.transport = transport
        transport.write(b'+HI {"v":2}\r\n')

    def take(self):
        out, self.out = self.out, []
        return b"".join(out)

    def reply(self, data):
        if not self.out:
            self.pipeline.speak(self)
        self.out.append(data)

    def data_received(self, data):
        lines = (self.rest + data).split(b"\n")
        self.rest = lines.pop()
        for line in lines:
            verb, _, argument = line.rstrip(b"\r").partition(b" ")
            VERBS[verb](self, argument)

    def push(self, argument):
        self.pipeline.push(argument)
        self.durable = True
        self.reply(b"+OK\r\n")

    def pushb(self, argument):
        for raw in decode_list(argument):
            self.pipeline.push(raw)
        self.durable = True
        self.reply(b"$2\r\n{}\r\n")

    def fetch(self, argument):
        names = argument.decode().split()
        for name in names:
            queue = self.pipeline.queues.get(name)
            if queue:
                self.hand_over(*queue.popleft())
                return
        for name in names:
            self.pipeline.parked.setdefault(name, deque()).append(self)
        self.timer = self.pipeline.loop.call_later(2, self.give_up)

    def hand_over(self, jid, key, payload):
        self.pipeline.lease(self, jid, key)
        self.reply(b"$%d\r\n%s\r\n" % (len(payload), payload))

    def give_up(self):
        self.timer = None
        self.reply(b"$-1\r\n")

    def ack(self, argument):
        self.pipeline.ack(decode_jid(argument).jid)
        self.reply(b"+OK\r\n")

    def flush(self, _):
        for queue in self.pipeline.queues.values():
            queue.clear()
        self.pipeline.leases.clear()
        self.reply(b"+OK\r\n")

    def ok(self, _):
        self.reply(b"+OK\r\n")

    def end(self, _):
        self.transport.close()


VERBS = {
    b"HELLO": Connection.ok, b"BEAT": Connection.ok, b"PUSH": Connection.push, b"PUSHB": Connection.pushb,
    b"FETCH": Connection.fetch, b"ACK": Connection.ack, b"FLUSH": Connection.flush, b"END": Connection.end,
}


async def main(port, path, always):
    shutil.rmtree(path, ignore_errors=True)
    pipeline = Pipeline(path, always)
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(pipeline), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3] == "always"))
