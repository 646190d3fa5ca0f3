// Publishes over plain MQTT at a steady rate: what a field of devices sends, without a library's cost.

import { connect } from "node:net";

const TOPIC = "bench/topic";
const PAYLOAD_BYTES = 100;
const CONNECT = Buffer.from([0x10, 16, 0, 4, ...Buffer.from("MQTT"), 4, 2, 0, 0, 0, 4, ...Buffer.from("load")]);

/** Publishes `count` messages at `rate` a second, each with its number in the first four bytes; resolves when all are sent. */
export async function publish(port, rate, count) {
  const socket = connect(port, "127.0.0.1").setNoDelay(true);
  await new Promise((resolve, reject) => {
    socket.once("data", resolve);
    socket.once("error", reject);
    socket.write(CONNECT);
  });
  const started = performance.now();
  let sent = 0;
  while (sent < count) {
    // As many as are due by now: a few each millisecond.
    const due = Math.min(count, Math.floor(((performance.now() - started) / 1000) * rate));
    if (due > sent) socket.write(Buffer.concat(Array.from({ length: due - sent }, (_, n) => message(sent + n))));
    sent = due;
    await new Promise((next) => setTimeout(next, 1));
  }
  await new Promise((done) => socket.end(Buffer.from([0xe0, 0]), done));
}

function message(number) {
  const topic = Buffer.from(TOPIC);
  const header = Buffer.from([0x30, 2 + topic.length + PAYLOAD_BYTES, 0, topic.length]);
  const payload = Buffer.alloc(PAYLOAD_BYTES, "x");
  payload.writeUInt32BE(number);
  return Buffer.concat([header, topic, payload]);
}
