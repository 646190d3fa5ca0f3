// MQTT.js in headless Chromium against the broker whose ws:// or wss:// address is the first argument; the second may
// name the versions, as in `4,5`.
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
  const [url, versions = "3,4,5"] = process.argv.slice(2);
  // The certificate is of an authority that lasts as long as the test.
  const browser = await launch(url.startsWith("wss:") ? ["--ignore-certificate-errors"] : []);
  const page = await browser.newPage();
  page.on("console", (message) => {
    if (message.type() === "log") console.log(message.text().replace(/^ok /, "ok in Chromium, "));
  });
  await page.goto(address);
  await page.waitForFunction(() => window.everything);
  for (const version of versions.split(",").map(Number)) {
    await page.evaluate(([url, level]) => window.everything(url, level), [url, version]);
  }
  await browser.close();
});
