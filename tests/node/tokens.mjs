// Tokens of a page, with MQTT.js in headless Chromium: every way in which a page can send one, their end, and their renewal.
//
// Arguments: the broker's ws:// address, and the secret that tokens are signed with (HS256).

import { createHmac } from "node:crypto";
import mqtt from "mqtt";
import { attempts } from "./attempt.mjs";
import { check, runAsScript, same, within } from "./check.mjs";

const [url, secret] = process.argv.slice(2);

function token(seconds, claims = {}) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const exp = Date.now() / 1000 + seconds;
  const message = `${part({ alg: "HS256" })}.${part({ sub: "ann", exp, ...claims })}`;
  return `${message}.${createHmac("sha256", secret).update(message).digest("base64url")}`;
}

/** How a page sends a token: the address, and what else MQTT.js is told. */
const WAYS = {
  "as the password": (it) => [url, { username: "token", password: it }],
  "in the query string": (it) => [`${url}?token=${it}`, {}],
  "as a subprotocol": (it) => [url, { subprotocols: [`bearer.${it}`] }],
};

runAsScript(async () => {
  const { browser, page, attempt } = await attempts();
  const run = (name, scenario) => check(console.log, `in Chromium, a token ${name}`, scenario);
  for (const [way, send] of Object.entries(WAYS)) {
    for (const protocolVersion of [4, 5]) {
      await run(`${way} is accepted, MQTT ${protocolVersion}`, async () => {
        const [at, options] = send(token(60));
        const clientId = `${way} ${protocolVersion}`;
        same(await attempt(at, { ...options, clientId, protocolVersion }), { connected: true });
      });
      await run(`${way} that is forged is refused, MQTT ${protocolVersion}`, async () => {
        const forged = `${token(60).slice(0, -43)}${"A".repeat(43)}`;
        const [at, options] = send(forged);
        const seen = await attempt(at, { ...options, protocolVersion });
        same([seen.code, seen.reason], [1008, "refused: bad user name or password"]);
        same(seen.error.code, protocolVersion === 5 ? 0x86 : 4);
      });
    }
  }
  for (const protocolVersion of [4, 5]) {
    await run(`that ends is told, MQTT ${protocolVersion}`, async () => {
      const [at, options] = WAYS["as a subprotocol"](token(2));
      const seen = await attempt(at, { ...options, protocolVersion, act: "nothing" });
      same([seen.code, seen.reason], [1008, "credentials expired"]);
      if (protocolVersion === 5) same(seen.disconnect.code, 0xa0, "DISCONNECT");
    });
  }
  await run("is renewed in place, and no message is missed", () => renewed(page));
  await browser.close();
});

async function renewed(page) {
  await page.evaluate(async ([url, token]) => {
    const authentication = (data) => ({ authenticationMethod: "JWT", authenticationData: data });
    const options = { clientId: "renewed", protocolVersion: 5, reconnectPeriod: 0, properties: authentication(token) };
    const client = await window.mqtt.connectAsync(url, options);
    window.got = [];
    window.ends = 0;
    client.on("message", (_, payload) => window.got.push(payload.toString()));
    client.on("close", () => { window.ends += 1; });
    // MQTT.js answers AUTH, and has no public way to begin with it.
    window.renew = (next) => client._sendPacket({ cmd: "auth", reasonCode: 0x19, properties: authentication(next) });
    await client.subscribeAsync("t", { qos: 1 });
  }, [url, token(3)]);
  const begun = Date.now();
  const publisher = await mqtt.connectAsync(url, { username: "token", password: token(60), reconnectPeriod: 0 });
  const sent = [];
  // For longer than the first token lives.
  while (Date.now() - begun < 4500) {
    if (sent.length === 5) await page.evaluate((next) => window.renew(next), token(60));
    await publisher.publishAsync("t", String(sent.length), { qos: 1 });
    sent.push(String(sent.length));
    await new Promise((done) => setTimeout(done, 100));
  }
  await within(page.waitForFunction((count) => window.got.length === count, sent.length), "all messages");
  same(await page.evaluate(() => [window.got, window.ends]), [sent, 0]);
  await publisher.endAsync();
}
