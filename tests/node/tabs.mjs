// Two tabs of headless Chromium whose pages use one client id, each with an MQTT.js that reconnects by itself.
//
// The argument is the broker's ws:// address. One tab must keep the connection, and the other must get it once that tab is closed.

import { check, runAsScript, same } from "./check.mjs";
import { launch, serve } from "./chromium.mjs";

const PAGE = `<!doctype html><title>A tab</title>
<script src="/mqtt.min.js"></script>
<script>
  // Close codes are what a page can see in every version of MQTT; the library does not pass them on.
  window.seen = { connected: 0, codes: [] };
  const Native = window.WebSocket;
  window.WebSocket = class extends Native {
    constructor(...given) {
      super(...given);
      this.addEventListener("close", ({ code }) => window.seen.codes.push(code));
    }
  };
  window.begin = (url, protocolVersion) => {
    // Left to itself MQTT.js gives up when it is refused; what does not is worse.
    const stubborn = { reconnectPeriod: 50, reconnectOnConnackError: true };
    window.client = window.mqtt.connect(url, { clientId: "both-tabs-" + protocolVersion, protocolVersion, ...stubborn });
    window.client.on("connect", () => { window.seen.connected += 1; });
    window.client.on("error", () => {});
  };
</script>`;

runAsScript(async () => {
  const library = new URL("node_modules/mqtt/dist/mqtt.min.js", import.meta.url);
  const address = await serve({ "/": PAGE, "/mqtt.min.js": library });
  const browser = await launch();
  const context = await browser.newContext();
  for (const version of [4, 5]) {
    await check(console.log, `two tabs with one client id, protocol level ${version}`, async () => {
      const tabs = [await open(context, address, version), await open(context, address, version)];
      await settle(context, tabs);
    });
  }
  await browser.close();
});

async function open(context, address, version) {
  const page = await context.newPage();
  await page.goto(address);
  await page.evaluate(([url, level]) => window.begin(url, level), [process.argv[2], version]);
  await page.waitForFunction(() => window.seen.connected > 0);
  return page;
}

async function settle(context, tabs) {
  // Somebody is refused, again and again.
  const refused = (tab) => tab.evaluate(() => window.seen.codes.filter((code) => code === 4159).length);
  const times = async () => (await Promise.all(tabs.map(refused))).reduce((sum, count) => sum + count);
  while ((await times()) < 5) await tabs[0].waitForTimeout(50);
  const loser = (await refused(tabs[0])) > 0 ? tabs[0] : tabs[1];
  const winner = tabs.find((tab) => tab !== loser);
  const seen = await Promise.all([winner, loser].map((tab) => tab.evaluate(() => window.seen)));
  same(seen[0].connected + seen[1].connected, 4, "connections of both tabs");
  same([...seen[0].codes, ...seen[1].codes].filter((code) => code === 4142).length, 3, "takeovers");
  same(await winner.evaluate(() => window.client.connected), true, "whether the winner is connected");
  await winner.close();
  await loser.waitForFunction(() => window.client.connected);
  await loser.close();
}
