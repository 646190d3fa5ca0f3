// MQTT.js in Node against the broker whose ws:// address is the argument.

import mqtt from "mqtt";
import { runAsScript } from "./check.mjs";
import { everything } from "./scenarios.mjs";

runAsScript(async () => {
  for (const version of [3, 4, 5]) await everything(mqtt, process.argv[2], version, console.log);
});
