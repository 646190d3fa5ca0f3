// What a message costs a page: MQTT.js in headless Chromium receives the same messages from Weir and from mosquitto.
//
//     cost.mjs WEIR MOSQUITTO [ROUNDS] [SECONDS]
//
// The figure is the CPU time that the page's main thread spends on tasks, as the DevTools protocol counts it, for each
// message received. The brokers take turns, each time with a new page. What arrives must be in order; what does not, since
// the page can't keep up and the broker drops it, is counted.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pause, runAsScript } from "../../tests/node/check.mjs";
import { launch, serve } from "../../tests/node/chromium.mjs";
import { publish } from "./publisher.mjs";

const RATE = 20_000;
const MQTT_JS = new URL("../../tests/node/node_modules/mqtt/dist/mqtt.min.js", import.meta.url);
const PAGE = `<!doctype html><title>Cost</title>
<script src="/mqtt.min.js"></script>
<script>
  Object.assign(window, { received: 0, frames: 0, misplaced: 0, last: -1 });
  const Native = WebSocket;
  window.WebSocket = class extends Native {
    constructor(...all) {
      super(...all);
      this.addEventListener("message", () => { window.frames += 1; });
    }
  };
  window.listen = async (url) => {
    const client = await mqtt.connectAsync(url, { protocolVersion: 4 });
    client.on("message", (_, payload) => {
      const number = (payload[0] << 24) | (payload[1] << 16) | (payload[2] << 8) | payload[3];
      if (number <= window.last) window.misplaced += 1;
      window.last = number;
      window.received += 1;
    });
    await client.subscribeAsync("bench/#");
  };
</script>`;

const weirs = (ws, mqtt) => `shards = 1
[[listener]]
bind = "127.0.0.1:${ws}"
allowed_origins = ["*"]
[[listener]]
bind = "127.0.0.1:${mqtt}"
protocol = "mqtt"
`;
const mosquittos = (ws, mqtt) => `allow_anonymous true
set_tcp_nodelay true
listener ${mqtt} 127.0.0.1
listener ${ws} 127.0.0.1
socket_domain ipv4
protocol websockets
`;

runAsScript(async () => {
  const [weir, mosquitto, rounds = "5", seconds = "5"] = process.argv.slice(2);
  const brokers = {
    weir: (config) => [weir, ["run", "--config", config], weirs],
    mosquitto: (config) => [mosquitto, ["-c", config], mosquittos],
  };
  const figures = { weir: [], mosquitto: [] };
  const browser = await launch();
  const address = await serve({ "/": PAGE, "/mqtt.min.js": MQTT_JS });
  for (let round = 0; round < Number(rounds); round += 1) {
    for (const [name, command] of Object.entries(brokers)) {
      const figure = await withBroker(command, (ports) => measure(browser, address, ports, Number(seconds)));
      figures[name].push(figure);
      console.log(
        `${name.padEnd(9)} ${figure.micros.toFixed(2)} us a message on the main thread, ` +
          `${figure.scriptMicros.toFixed(2)} of it script; ${figure.perFrame.toFixed(1)} messages a WebSocket message; ` +
          `${(figure.lost * 100).toFixed(1)} % lost`,
      );
    }
  }
  await browser.close();
  const of = (name, key) => median(figures[name].map((figure) => figure[key]));
  console.log(
    `medians of ${rounds} rounds at ${RATE} messages a second: Weir ${of("weir", "micros").toFixed(2)} us, ` +
      `mosquitto ${of("mosquitto", "micros").toFixed(2)} us, ratio ${(of("weir", "micros") / of("mosquitto", "micros")).toFixed(2)}`,
  );
});

/** Starts a broker with free ports, and ends it when `use` is done. */
async function withBroker(command, use) {
  const folder = mkdtempSync(join(tmpdir(), "weir-cost-"));
  const config = join(folder, "broker.conf");
  const [program, options, configuration] = command(config);
  const ports = { ws: await freePort(), mqtt: await freePort() };
  writeFileSync(config, configuration(ports.ws, ports.mqtt));
  const broker = spawn(program, options, { stdio: "ignore" });
  try {
    await reachable(ports.ws);
    await reachable(ports.mqtt);
    return await use(ports);
  } finally {
    broker.kill("SIGKILL");
    rmSync(folder, { recursive: true });
  }
}

async function measure(browser, address, ports, seconds) {
  const count = RATE * seconds;
  const page = await browser.newPage();
  await page.goto(address);
  await page.evaluate((url) => window.listen(url), `ws://127.0.0.1:${ports.ws}/mqtt`);
  // What is compiled on the way is not what a message costs.
  await publishAndAwait(page, ports.mqtt, RATE);
  await page.evaluate(() => Object.assign(window, { received: 0, frames: 0, misplaced: 0, last: -1 }));
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Performance.enable", { timeDomain: "threadTicks" });
  const before = await spent(devtools);
  await publishAndAwait(page, ports.mqtt, count);
  const after = await spent(devtools);
  const { frames, misplaced, received } = await page.evaluate(() => ({ frames: window.frames, misplaced: window.misplaced, received: window.received }));
  await page.close();
  if (misplaced > 0) throw new Error(`${misplaced} of ${count} messages were out of order`);
  return {
    micros: ((after.TaskDuration - before.TaskDuration) * 1e6) / received,
    scriptMicros: ((after.ScriptDuration - before.ScriptDuration) * 1e6) / received,
    perFrame: received / frames,
    lost: 1 - received / count,
  };
}

/** Publishes, and waits until all has arrived, or nothing has for a while. */
async function publishAndAwait(page, port, count) {
  await publish(port, RATE, count);
  let received = -1;
  for (;;) {
    const now = await page.evaluate(() => window.received);
    if (now === count || now === received) return;
    received = now;
    await pause(2000);
  }
}

/** Seconds of the page's main thread. */
async function spent(devtools) {
  const { metrics } = await devtools.send("Performance.getMetrics");
  return Object.fromEntries(metrics.map(({ name, value }) => [name, value]));
}

function median(values) {
  return values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

async function reachable(port) {
  for (let tries = 0; ; tries += 1) {
    const isOpen = await new Promise((resolve) => {
      const socket = connect(port, "127.0.0.1", () => resolve(true)).on("error", () => resolve(false));
      socket.on("connect", () => socket.destroy());
    });
    if (isOpen) return;
    if (tries > 100) throw new Error(`nothing listens on port ${port}`);
    await pause(50);
  }
}
