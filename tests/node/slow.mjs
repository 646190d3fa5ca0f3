// A tab of headless Chromium that does nothing for a while, as a busy page or one in the background: MQTT.js subscribes there with a wish
// for how to be treated. The argument is the broker's ws:// address.
//
// The page stands still in a synchronous request, which is answered when everything has been published.

import mqtt from "mqtt";
import { check, runAsScript, same, within } from "./check.mjs";
import { launch, serve } from "./chromium.mjs";

const TOPICS = 10;
const ROUNDS = 300;
const PAYLOAD = "x".repeat(8000);

const PAGE = `<!doctype html><title>A slow tab</title>
<script src="/mqtt.min.js"></script>
<script>
  window.begin = async (url, wish) => {
    window.got = { received: 0, missed: 0, latest: {} };
    const client = await window.mqtt.connectAsync(url, { protocolVersion: 5, reconnectPeriod: 0 });
    client.on("message", (topic, payload, { properties }) => {
      window.got.received += 1;
      window.got.missed += Number(properties?.userProperties?.["weir-missed"] ?? 0);
      window.got.latest[topic] = payload.toString().split(" ")[0];
    });
    await client.subscribeAsync("slow/" + wish + "/#", { qos: 0, properties: { userProperties: { "weir-slow-reader": wish } } });
  };
  window.freeze = () => {
    const request = new XMLHttpRequest();
    request.open("GET", "/thaw", false);
    request.send();
  };
</script>`;

runAsScript(async () => {
  let thaw;
  let frozen;
  const stopped = () => new Promise((resolve) => {
    thaw = () => resolve("go on");
    frozen();
  });
  const library = new URL("node_modules/mqtt/dist/mqtt.min.js", import.meta.url);
  const address = await serve({ "/": PAGE, "/mqtt.min.js": library, "/thaw": stopped });
  const browser = await launch();
  for (const wish of ["latest-per-topic", "drop-oldest"]) {
    await check(console.log, `a tab that stands still, ${wish}`, async () => {
      const page = await browser.newPage();
      await page.goto(address);
      await page.evaluate(([url, word]) => window.begin(url, word), [process.argv[2], wish]);
      const standing = new Promise((resolve) => { frozen = resolve; });
      await page.evaluate(() => { setTimeout(window.freeze); });
      await within(standing, "the page to stand still");
      await publish(wish);
      thaw();
      const last = String(ROUNDS - 1);
      const caughtUp = ([topics, value]) => Object.values(window.got.latest).filter((it) => it === value).length === topics;
      await page.waitForFunction(caughtUp, [TOPICS, last]);
      const got = await page.evaluate(() => window.got);
      same(got.received + got.missed, TOPICS * ROUNDS, "received and missed together");
      if (got.missed === 0) throw new Error("nothing was missed: the page was not slow");
      await page.close();
    });
  }
  await browser.close();
});

async function publish(wish) {
  const client = await mqtt.connectAsync(process.argv[2], { protocolVersion: 5, reconnectPeriod: 0 });
  for (let round = 0; round < ROUNDS; round += 1) {
    for (let topic = 0; topic < TOPICS; topic += 1) client.publish(`slow/${wish}/${topic}`, `${round} ${PAYLOAD}`);
    // Not more at once than the socket takes.
    if (round % 20 === 19) await client.publishAsync("slow", "so far", { qos: 1 });
  }
  await client.publishAsync("slow", "done", { qos: 1 });
  await client.endAsync();
}
