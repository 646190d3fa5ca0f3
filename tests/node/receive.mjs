// MQTT.js receives a whole replayed stream: arguments are the broker's ws:// address and the stream's file.
//
// Prints "ready" once subscribed. Order is compared within each QoS, which is what MQTT promises.

import { readFile } from "node:fs/promises";
import mqtt from "mqtt";
import { runAsScript, within } from "./check.mjs";

const STREAM_MS = 60_000;

runAsScript(async () => {
  const [url, file] = process.argv.slice(2);
  const expected = [[], [], []];
  let missing = 0;
  for (const line of (await readFile(file, "utf8")).trimEnd().split("\n")) {
    const { topic, payload, qos } = JSON.parse(line);
    expected[qos].push([topic, payload]);
    missing += 1;
  }
  const total = missing;
  const client = await mqtt.connectAsync(url, { protocolVersion: 5, clientId: "receiver-mqttjs", reconnectPeriod: 0 });
  const whole = new Promise((resolve, reject) => {
    client.on("close", () => reject(new Error(`the connection closed with ${missing} messages missing`)));
    client.on("message", (topic, payload, { qos }) => {
      const [wantedTopic, wantedPayload] = expected[qos].shift() ?? [];
      const got = payload.toString("base64");
      if (topic !== wantedTopic || got !== wantedPayload) {
        reject(new Error(`QoS ${qos}, ${missing} missing: got ${topic} ${got}, expected ${wantedTopic} ${wantedPayload}`));
      }
      missing -= 1;
      if (missing === 0) resolve();
    });
  });
  await client.subscribeAsync("#", { qos: 2 });
  console.log("ready");
  await within(whole, "the whole stream", STREAM_MS);
  console.log(`ok MQTT.js received ${total} messages in order`);
  await client.endAsync();
});
