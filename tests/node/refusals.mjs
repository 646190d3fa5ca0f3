// What a page can read of a refusal, with MQTT.js in headless Chromium.
//
// Arguments: the ws:// address of a listener that lets in pages of its own host only, and of one that lets in all; both
// let in three connections of one address.

import { attempts } from "./attempt.mjs";
import { check, runAsScript, same } from "./check.mjs";

runAsScript(async () => {
  const [closed, open] = process.argv.slice(2);
  const { browser, page, origin: address, attempt } = await attempts();
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
