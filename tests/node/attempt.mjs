// A page of headless Chromium that tries connections with MQTT.js, and says what it can see of each.

import { launch, serve } from "./chromium.mjs";

const PAGE = `<!doctype html><title>Attempts</title>
<script src="/mqtt.min.js"></script>
<script>
  window.clients = [];
  // What is done once connected, by name, since functions do not travel.
  const acts = {
    nothing() {},
    flood(client) { for (let count = 0; count < 400; count += 1) client.publish("t", "x"); },
    large(client) { client.publish("t", "x".repeat(5000)); },
    deep(client) { client.publish("a/".repeat(200), "x", { qos: 1 }); },
    denied(client) { client.publish("secret/t", "x", { qos: 1 }); },
    leave(client) { client.end(); },
  };
  // One try: what MQTT.js reports, and what its socket was closed with. Who stays connected has nothing to report but that,
  // unless an act is to end it.
  window.attempt = (url, { subprotocols, act, ...options }) => new Promise((resolve) => {
    const seen = { error: null, disconnect: null, code: null, reason: null };
    const createWebsocket = (at, own) => {
      const socket = new WebSocket(at, [...own, ...(subprotocols ?? [])]);
      socket.binaryType = "arraybuffer";
      socket.addEventListener("close", ({ code, reason }) => {
        Object.assign(seen, { code, reason });
        setTimeout(() => resolve(seen), 50);
      });
      return socket;
    };
    const client = mqtt.connect(url, { reconnectPeriod: 0, connectTimeout: 10_000, createWebsocket, ...options });
    client.on("error", (error) => { seen.error = { code: error.code ?? null, message: error.message }; });
    client.on("disconnect", ({ reasonCode, properties }) => {
      seen.disconnect = { code: reasonCode, message: properties?.reasonString ?? null };
    });
    client.on("connect", () => {
      window.clients.push(client);
      if (act) acts[act](client);
      else resolve({ connected: true });
    });
  });
</script>`;

/** Opens the page; resolves with it, its origin, and a function that tries. */
export async function attempts() {
  const library = new URL("node_modules/mqtt/dist/mqtt.min.js", import.meta.url);
  const origin = await serve({ "/": PAGE, "/mqtt.min.js": library });
  const browser = await launch();
  const page = await browser.newPage();
  await page.goto(origin);
  const attempt = (url, options = {}) => page.evaluate(([url, options]) => window.attempt(url, options), [url, options]);
  return { browser, page, origin, attempt };
}
