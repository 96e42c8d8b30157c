#!/usr/bin/env node
// Reads a secret, and reads it again when it has changed:
//
//   read_secret.mjs NAME [SECONDS]     SECONDS pass between two looks, 60 by default
//
// JARVIS_SECRETSD_ADDR (http://127.0.0.1:8081), JARVIS_SECRETSD_CLIENT and JARVIS_SECRETSD_TOKEN name the
// daemon and the client.

import { setTimeout as sleep } from "node:timers/promises";

const [name, seconds = 60] = process.argv.slice(2);
if (!name) {
  console.error("usage: read_secret.mjs NAME [SECONDS]");
  process.exit(2);
}
const { JARVIS_SECRETSD_ADDR: address = "http://127.0.0.1:8081", JARVIS_SECRETSD_CLIENT: client = "" } = process.env;
const { JARVIS_SECRETSD_TOKEN: token = "" } = process.env;
const headers = { "X-Jarvis-Client": client, Authorization: `Bearer ${token}` };

/** What an answer says, as a terminal may show it. */
const printable = (text) => text.replace(/[^ -~]/g, "?");

/** What the value is for, as connecting to a database. */
function useSecret({ kid, value }) {
  if (value) console.log(`${name}: ${printable(kid)}`);
}

for (;;) {
  let answer, body;
  try {
    answer = await fetch(`${address}/secret/${name}`, { headers, redirect: "error", signal: AbortSignal.timeout(10_000) });
    body = await answer.text();
  } catch (why) {
    console.error(`${name}: no answer: ${why.cause?.code ?? why.name}`);
    await sleep(1000);
    continue;
  }
  if (answer.status === 200) {
    headers["If-None-Match"] = answer.headers.get("ETag");
    useSecret(JSON.parse(body));
  } else if (answer.status === 429 || answer.status === 503) {
    console.error(`${name}: ${printable(body)}`);
    await sleep(1000 * Number(answer.headers.get("Retry-After")));
    continue;
  } else if (answer.status !== 304) {
    console.error(`${name}: ${printable(body)}`);
    process.exit(1);
  }
  await sleep(1000 * Number(seconds));
}
