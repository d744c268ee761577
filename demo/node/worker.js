// The demo's worker in JavaScript, on npm's `faktory-worker`; ../python_worker.py is its twin in Python.
//
//     FAKTORY_URL=... node worker.js RESULTS_DIRECTORY
"use strict";

const { createHash } = require("node:crypto");
const fs = require("node:fs");
const path = require("node:path");
const faktory = require("faktory-worker");

const results = process.argv[2];
const output = fs.openSync(path.join(results, "node.jsonl"), "a");

function say(fields) {
  fs.writeSync(output, JSON.stringify({ worker: "node", ...fields }) + "\n");
}

// True the first time that it is asked about a job, in whichever worker.
function isFirstTry(jid) {
  try {
    fs.closeSync(fs.openSync(path.join(results, `${jid}.tried`), "wx"));
    return true;
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  }
}

function countLines(data) {
  let lines = 0;
  for (let at = data.indexOf(10); at !== -1; at = data.indexOf(10, at + 1)) lines += 1;
  return lines;
}

faktory.register("Summarize", (file, failsFirst) => async ({ job }) => {
  const started = Date.now() / 1000;
  if (failsFirst && isFirstTry(job.jid)) {
    say({ file, started, failed: true });
    throw new Error("this job fails on its first try");
  }
  const data = await fs.promises.readFile(file);
  const sha256 = createHash("sha256").update(data).digest("hex");
  say({ file, started, sha256, lines: countLines(data) });
});

faktory.work({ queues: ["files"], concurrency: 2 }).catch((error) => {
  console.error(error);
  process.exit(1);
});
