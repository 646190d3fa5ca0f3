// What a page can read of the ends of its connection, with MQTT.js in headless Chromium: a good part of the table of refusals.
//
// Arguments: the broker's ws:// address, with the users, rules and limits of the test that starts this.

import { attempts } from "./attempt.mjs";
import { check, runAsScript, same } from "./check.mjs";

const ann = { username: "ann", password: "secret one" };
const old = { username: "old", password: "secret one" };
const stay = { act: "nothing" };

/** What is tried: how, CONNACK's code in 5.0 and 3.1.1 or DISCONNECT's, close code, text. */
const ROWS = [
  [{}, { connack: [0x87, 5], close: 1008, text: "refused: credentials missing" }],
  [{ ...ann, password: "wrong" }, { connack: [0x86, 4], close: 1008, text: "refused: bad user name or password" }],
  [{ ...ann, will: { topic: "secret/will", payload: "x" } },
    { connack: [0x87, 5], close: 1008, text: "refused: not authorized to publish the will" }],
  [{ ...ann, will: { topic: "a/".repeat(200), payload: "x" } },
    { connack: [0x90, 5], close: 1008, text: "refused: will topic has too many levels" }],
  [{ ...ann, act: "large" }, { disconnect: 0x95, close: 1009, text: "packet is larger than allowed" }],
  [{ ...ann, act: "deep" }, { disconnect: 0x90, close: 1002, text: "topic name has too many levels" }],
  [{ ...ann, act: "flood" }, { disconnect: 0x96, close: 4150, text: "more is sent than may be, for too long" }],
];

const ONLY_IN_3_1_1 = [
  [{ ...ann, act: "denied" }, { close: 1002, text: "not authorized to publish" }],
];

const ONLY_IN_5_0 = [
  [{ ...ann, properties: { authenticationMethod: "none such" } },
    { connack: [0x8c, 5], close: 1008, text: "refused: authentication method not supported" }],
];

runAsScript(async () => {
  const [url] = process.argv.slice(2);
  const { browser, page, attempt } = await attempts();

  async function row(version, [options, told]) {
    const name = `in Chromium, MQTT ${version}: ${told.text}`;
    await check(console.log, name, async () => {
      judge(version, told, await attempt(url, { clientId: `${told.text} ${version}`, ...options, protocolVersion: version }));
    });
  }

  for (const version of [4, 5]) {
    for (const of of [...ROWS, ...(version === 4 ? ONLY_IN_3_1_1 : ONLY_IN_5_0)]) await row(version, of);
    const takenOver = { disconnect: 0x8e, close: 4142, text: "session taken over by a new connection" };
    await check(console.log, `in Chromium, MQTT ${version}: ${takenOver.text}`, async () => {
      const first = attempt(url, { ...ann, ...stay, clientId: `twin ${version}`, protocolVersion: version });
      await page.waitForFunction((id) => window.clients.some((it) => it.options.clientId === id), `twin ${version}`);
      same((await attempt(url, { ...ann, clientId: `twin ${version}`, protocolVersion: version })).connected, true);
      judge(version, takenOver, await first);
    });
    await row(version, [{ ...old, clientId: `twin ${version}` },
      { connack: [0x87, 5], close: 1008, text: "refused: client identifier belongs to another user" }]);
  }
  await crowd(page, attempt, url);
  // The last that the broker says, when the test has it end.
  const end = attempt(url, { ...ann, ...stay, clientId: "last", protocolVersion: 5 });
  await page.waitForFunction(() => window.clients.some((it) => it.options.clientId === "last"));
  console.log("ready for the end");
  await check(console.log, "in Chromium, the broker's end", async () => {
    judge(5, { disconnect: 0x8b, close: 1001, text: "server shutting down" }, await end);
  });
  await browser.close();
});

function judge(version, { connack, disconnect, close, text }, seen) {
  same([seen.code, seen.reason], [close, text], "close");
  if (connack) same(seen.error?.code, connack[version === 5 ? 0 : 1], "CONNACK");
  if (disconnect && version === 5) same(seen.disconnect?.code, disconnect, "DISCONNECT");
}

/** One user has eight connections. */
async function crowd(page, attempt, url) {
  await page.evaluate(() => Promise.all(window.clients.splice(0).map((client) => client.endAsync(true))));
  const text = "refused: the user has as many connections as it may have";
  for (const version of [4, 5]) {
    await check(console.log, `in Chromium, MQTT ${version}: ${text}`, async () => {
      for (let count = 0; count < 20; count += 1) {
        const seen = await attempt(url, { ...ann, clientId: `crowd ${version} ${count}`, protocolVersion: version });
        if (!seen.connected) return judge(version, { connack: [0x97, 3], close: 4151, text }, seen);
      }
      throw new Error("all were let in");
    });
  }
  await page.evaluate(() => Promise.all(window.clients.splice(0).map((client) => client.endAsync(true))));
}
