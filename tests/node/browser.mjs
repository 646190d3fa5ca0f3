// MQTT.js in headless Chromium against the broker whose ws:// address is the argument.
//
// The page comes from another origin than the broker, as a real web application's does, and runs the very
// scenarios that MQTT.js runs in Node, on the library's browser bundle.

import { runAsScript } from "./check.mjs";
import { launch, serve } from "./chromium.mjs";

const PAGE = `<!doctype html><title>MQTT.js</title>
<script src="/mqtt.min.js"></script>
<script type="module">
  import { everything } from "/scenarios.mjs";
  window.everything = (url, version) => everything(window.mqtt, url, version, (line) => console.log(line));
</script>`;

runAsScript(async () => {
  const here = (path) => new URL(path, import.meta.url);
  const address = await serve({
    "/": PAGE,
    "/mqtt.min.js": here("node_modules/mqtt/dist/mqtt.min.js"),
    "/scenarios.mjs": here("scenarios.mjs"),
    "/check.mjs": here("check.mjs"),
  });
  const browser = await launch();
  const page = await browser.newPage();
  page.on("console", (message) => {
    if (message.type() === "log") console.log(message.text().replace(/^ok /, "ok in Chromium, "));
  });
  await page.goto(address);
  await page.waitForFunction(() => window.everything);
  for (const version of [3, 4, 5]) {
    await page.evaluate(([url, level]) => window.everything(url, level), [process.argv[2], version]);
  }
  await browser.close();
});
