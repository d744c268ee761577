// The client program of npm's `faktory-worker`; ../README.md says what it must do.
"use strict";

const fs = require("node:fs");
const faktory = require("faktory-worker");

const options = { url: process.env.FAKTORY_URL };
if (options.url.startsWith("tcp+tls")) {
  options.tlsOptions = { ca: fs.readFileSync(process.env.FAKTORY_CA) };
}

function say(fields) {
  fs.writeSync(1, JSON.stringify(fields) + "\n");
}

function build(client, wanted) {
  const job = client.job(wanted.jobtype, ...wanted.args);
  job.jid = wanted.jid;
  job.queue = wanted.queue;
  job.retry = wanted.retry;
  if (wanted.at !== undefined) job.at = wanted.at;
  // The server reads these in `custom`; the library has no methods for them.
  for (const name of ["unique_for", "unique_until", "expires_in", "track"]) {
    if (wanted[name] !== undefined) wanted.custom = { ...wanted.custom, [name]: wanted[name] };
  }
  if (wanted.custom !== undefined) job.custom = wanted.custom;
  if (wanted.reserve_for !== undefined) job.reserveFor = wanted.reserve_for;
  return job;
}

async function mutate(client, { cmd, target, filter = {} }) {
  const mutation = client[target];
  if (filter.jids) mutation.withJids(...filter.jids);
  if (filter.jobtype) mutation.ofType(filter.jobtype);
  if (filter.regexp) mutation.matching(filter.regexp);
  await mutation[cmd]();
  say({ done: true });
}

// The library has no words for batches; a verb that it does not know is a line.
const batches = {
  async make(client, { description, parent, success, complete }) {
    const callback = (wanted) => wanted && build(client, wanted).toJSON();
    const batch = { description, parent_bid: parent, success: callback(success), complete: callback(complete) };
    return client.send(["BATCH NEW", JSON.stringify(batch)]);
  },
  async fill(client, bid, { jobs = [], bulk, open }) {
    const joining = jobs.map((wanted) => build(client, { ...wanted, custom: { ...wanted.custom, bid } }));
    if (bulk) await client.pushBulk(joining);
    else for (const job of joining) await job.push();
    if (!open) await client.send(["BATCH COMMIT", bid]);
    say({ bid });
  },
};

const commands = {
  async batch(client, wanted) {
    await batches.fill(client, await batches.make(client, wanted), wanted);
  },
  async batch_open(client, wanted) {
    await batches.fill(client, await client.send(["BATCH OPEN", wanted.bid]), wanted);
  },
  async batch_status(client, { bid }) {
    say({ status: JSON.parse(await client.send(["BATCH STATUS", bid])) });
  },
  async push(client, { jobs }) {
    for (const wanted of jobs) await build(client, wanted).push();
    say({ pushed: jobs.length });
  },
  async bulk(client, { jobs }) {
    const rejected = await client.pushBulk(jobs.map((wanted) => build(client, wanted)));
    const reasons = Object.entries(rejected).map(([jid, { reason }]) => [jid, reason]);
    say({ refused: Object.fromEntries(reasons) });
  },
  async info(client) {
    say({ info: await client.info() });
  },
  async line(client, { verb, argument }) {
    say({ reply: await client.send([verb, argument]) });
  },
  mutate,
};

function register(name, perform) {
  faktory.register(name, (...args) => async ({ job }) => {
    const { bid, _bid } = job.custom ?? {};
    say({ ran: job.jid, jobtype: name, args, bid, _bid });
    await perform(...args, job);
  });
}

async function work({ queues, wid }) {
  register("note", () => {});
  register("boom", () => {
    throw new Error("boom");
  });
  register("flaky", (marker) => {
    if (fs.existsSync(marker)) return;
    fs.writeFileSync(marker, "");
    throw new Error("the first try");
  });
  register("more", async (queue, { custom }) => {
    const client = await faktory.connect(options);
    const job = client.job("note", "more");
    job.queue = queue;
    job.custom = { bid: custom.bid };
    await job.push();
    await client.close();
  });
  process.on("exit", () => say({ stopped: true }));
  await faktory.work({ ...options, queues, wid, concurrency: 1, beatInterval: 1 });
}

async function main([command, text = "{}"]) {
  const wanted = JSON.parse(text);
  if (command === "work") return work(wanted);
  const client = await faktory.connect(options);
  try {
    await commands[command](client, wanted);
  } finally {
    await client.close();
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
