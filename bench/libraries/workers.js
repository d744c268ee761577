// Push jobs, or work on them, with a job library for Node: what bench/workers.py is for Python.
//
//   node workers.js push bullmq|faktory-worker URL KIND COUNT
//   node workers.js work bullmq|faktory-worker URL CONCURRENCY     until it is killed
//
// Jobs do nothing (noop), or wait a millisecond (1ms). Each adds a byte to the file $BENCH_COUNT, so that the jobs of
// all processes are counted alike.
"use strict";
const fs = require("node:fs");
const { setTimeout: sleep } = require("node:timers/promises");

const counted = fs.openSync(process.env.BENCH_COUNT || "/dev/null", "a");
const endOne = () => fs.writeSync(counted, ".");

const KINDS = {
  noop: async () => endOne(),
  "1ms": async () => {
    await sleep(1);
    endOne();
  },
};

async function inPortions(count, push) {
  for (let start = 0; start < count; start += 1000) await push(Math.min(1000, count - start));
}

const SYSTEMS = {
  bullmq: {
    async push(url, kind, count) {
      const { Queue } = require("bullmq");
      const queue = new Queue("bench", { connection: { url } });
      await queue.waitUntilReady();
      const job = { name: kind, data: {}, opts: { removeOnComplete: true } };
      await inPortions(count, (portion) => queue.addBulk(Array(portion).fill(job)));
      await queue.close();
    },
    async work(url, concurrency) {
      const { Worker } = require("bullmq");
      const connection = { url, maxRetriesPerRequest: null };
      new Worker("bench", (job) => KINDS[job.name](), { connection, concurrency });
    },
  },
  "faktory-worker": {
    async push(url, kind, count) {
      const faktory = require("faktory-worker");
      const client = await faktory.connect({ url });
      await inPortions(count, (portion) =>
        client.pushBulk(Array.from({ length: portion }, () => client.job(kind))),
      );
      await client.close();
    },
    async work(url, concurrency) {
      const faktory = require("faktory-worker");
      for (const [kind, work] of Object.entries(KINDS)) faktory.register(kind, work);
      await faktory.work({ url, concurrency });
    },
  },
};

async function main([verb, system, url, ...more]) {
  if (verb === "work") await SYSTEMS[system].work(url, Number(more[0]));
  else await SYSTEMS[system].push(url, more[0], Number(more[1]));
}

main(process.argv.slice(2));
