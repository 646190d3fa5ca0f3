// What a page can read of a refusal, with MQTT.js in headless Chromium.
//
// Arguments: the ws:// address of a listener that lets in pages of its own host only, and of one that lets in all; both
// let in three connections of one address.

import { check, runAsScript, same } from "./check.mjs";
import { launch, serve } from "./chromium.mjs";

const PAGE = `<!doctype html><title>Refusals</title>
<script src="/mqtt.min.js"></script>
<script>
  // One try: what MQTT.js reports, and what its socket was closed with.
  window.attempt = (url, options) => new Promise((resolve) => {
    const seen = { error: null, code: null, reason: null };
    const client = mqtt.connect(url, { reconnectPeriod: 0, connectTimeout: 10_000, ...options });
    client.on("error", (error) => { seen.error = { code: error.code ?? null, message: error.message }; });
    client.on("connect", () => { window.clients.push(client); resolve({ connected: true }); });
    const watch = () => {
      const socket = client.stream?.socket;
      if (!socket) return setTimeout(watch, 1);
      socket.addEventListener("close", ({ code, reason }) => {
        Object.assign(seen, { code, reason });
        setTimeout(() => resolve(seen), 50);
      });
    };
    watch();
  });
  window.clients = [];
</script>`;

runAsScript(async () => {
  const [closed, open] = process.argv.slice(2);
  const address = await serve({ "/": PAGE, "/mqtt.min.js": new URL("node_modules/mqtt/dist/mqtt.min.js", import.meta.url) });
  const browser = await launch();
  const page = await browser.newPage();
  await page.goto(address);
  const attempt = (url, options = {}) => page.evaluate(([url, options]) => window.attempt(url, options), [url, options]);
  const run = (name, scenario) => check(console.log, `in Chromium, ${name}`, scenario);

  for (const [protocolVersion, code] of [[4, 5], [5, 0x87]]) {
    await run(`MQTT ${protocolVersion} is told that its origin may not connect`, async () => {
      const seen = await attempt(`${closed}/mqtt`, { protocolVersion });
      same(seen.code, 1008, "close code");
      if (!seen.reason.startsWith(`origin ${address} may not connect`)) throw new Error(seen.reason);
      same(seen.error?.code, code, "error of MQTT.js");
    });
  }
  await run("an unknown path is told with the known ones", async () => {
    const seen = await attempt(`${open}/nowhere`, { protocolVersion: 5 });
    same([seen.code, seen.reason], [1008, "no WebSocket at /nowhere: connect to / or /mqtt"]);
    same(seen.error?.code, 0x80);
  });
  await run("three connections are accepted", async () => {
    same((await attempt(`${open}/mqtt`)).connected, true);
    same((await attempt(`${open}/mqtt`)).connected, true);
    same((await attempt(`${open}/mqtt`)).connected, true);
  });
  await run("one connection too many is told so", async () => {
    const seen = await attempt(`${open}/mqtt`, { protocolVersion: 5 });
    same([seen.code, seen.reason], [1013, "your address has as many connections as it may have"]);
    same(seen.error?.code, 0x97);
  });
  await run("after one is closed, another may come", async () => {
    await page.evaluate(() => window.clients.pop().endAsync());
    for (let tries = 0; ; tries += 1) {
      const seen = await attempt(`${open}/mqtt`);
      if (seen.connected) return;
      if (tries === 20) throw new Error(JSON.stringify(seen));
    }
  });
  await browser.close();
});
