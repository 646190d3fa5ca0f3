// The try-it page, clicked through in two tabs as a person would, with pictures taken on the way.
//
// Arguments: the page's http:// address, and a folder for the screenshots.

import { mkdir } from "node:fs/promises";
import { check, PATIENCE_MS, runAsScript, same } from "./check.mjs";
import { launch } from "./chromium.mjs";

const [address, pictures] = process.argv.slice(2);

class Tab {
  static async open(context) {
    const tab = new Tab();
    tab.page = await context.newPage();
    tab.page.setDefaultTimeout(PATIENCE_MS);
    tab.faults = [];
    tab.page.on("pageerror", (error) => tab.faults.push(String(error)));
    tab.page.on("console", (message) => message.type() === "error" && tab.faults.push(message.text()));
    await tab.page.goto(address);
    return tab;
  }

  fill(form, name, value) { return this.page.locator(`#${form} [name=${name}]`).fill(value); }
  choose(form, qos) { return this.page.locator(`#${form} select`).selectOption(String(qos)); }
  submit(form) { return this.page.locator(`#${form} button[type=submit]`).click(); }
  logged(words) { return this.page.locator("#log li", { hasText: words }).first().waitFor(); }

  async connect() {
    await this.submit("connect");
    await this.page.locator('#status[data-state="open"]').waitFor();
  }

  async subscribe(filter, qos) {
    await this.fill("subscribe", "filter", filter);
    await this.choose("subscribe", qos);
    await this.submit("subscribe");
    await this.logged(`subscribe ${filter}: 0x0${qos}`);
  }

  async publish(topic, payload, qos, retain = false) {
    await this.fill("publish", "topic", topic);
    await this.fill("publish", "payload", payload);
    await this.choose("publish", qos);
    await this.page.locator("#publish [name=retain]").setChecked(retain);
    await this.submit("publish");
    await this.logged(`publish ${topic}, QoS ${qos}: ${qos === 0 ? "sent" : "0x"}`);
  }

  /** Waits for a message and gives its line: topic, badges; then its payload. */
  async message(payload) {
    const item = this.page.locator("#messages li", { hasText: payload }).first();
    await item.waitFor();
    return { topic: await item.locator("code").innerText(), badges: await item.locator(".badge").allInnerTexts() };
  }
}

runAsScript(async () => {
  const browser = await launch();
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 } });
  const [left, right] = [await Tab.open(context), await Tab.open(context)];
  const run = (name, scenario) => check(console.log, `try-it page: ${name}`, scenario);
  await run("two tabs connect under ids of their own", () => connects(left, right));
  await run("messages of every QoS go from one tab to the other", () => talks(left, right));
  await run("a byte order mark is a character like others [MQTT-1.5.4-3]", () => marked(left, right));
  await run("a retained message meets a later subscription", () => retained(left, right));
  await run("unsubscribing stops deliveries", () => unsubscribes(left, right));
  await mkdir(pictures, { recursive: true });
  await left.page.screenshot({ path: `${pictures}/page.png`, fullPage: true });
  await run("a takeover is shown with its reason", () => takeover(left, right));
  await left.page.screenshot({ path: `${pictures}/page-takeover.png`, fullPage: true });
  await run("a refusal is shown with its reason, and the page can try again", () => refused(left));
  await run("it fits a phone, in the dark", () => phone(browser));
  same([...left.faults, ...right.faults].filter((fault) => !fault.includes("WebSocket connection")), [], "page errors");
  await browser.close();
});

async function connects(left, right) {
  const ids = [];
  for (const tab of [left, right]) {
    await tab.connect();
    ids.push(await tab.page.locator("#connect [name=clientId]").inputValue());
  }
  if (ids[0] === ids[1]) throw new Error(`both tabs are ${ids[0]}`);
}

async function talks(left, right) {
  await left.subscribe("home/#", 2);
  for (const qos of [0, 1, 2]) {
    await right.publish(`home/kitchen/${qos}`, `{"temperature": 21.${qos}, "unit": "°C"}`, qos);
    const { topic, badges } = await left.message(`21.${qos}`);
    same([topic, badges], [`home/kitchen/${qos}`, [`QoS ${qos}`]]);
  }
  await right.subscribe("home/#", 1);
  await left.publish("home/hall/light", "on", 1);
  await left.message("on");
  await right.message("on");
}

async function marked(left, right) {
  await left.subscribe("+/marked", 1);
  await right.publish("\ufeff/marked", "behind a mark", 1);
  same((await left.message("behind a mark")).topic, "\ufeff/marked", "topic");
}

async function retained(left, right) {
  await right.publish("shed/door", "closed and locked", 1, true);
  await left.subscribe("shed/door", 1);
  same((await left.message("closed and locked")).badges, ["QoS 1", "retained"]);
  await right.publish("shed/door", "", 1, true);
  same((await left.message("(empty)")).badges, ["QoS 1"]);
}

async function unsubscribes(left, right) {
  await left.page.getByTitle("Unsubscribe shed/door").click();
  await left.logged("unsubscribe shed/door: 0x00");
  await right.publish("shed/door", "unheard", 1);
  await right.publish("home/end", "the end", 1);
  await left.message("the end");
  same(await left.page.locator("#messages li", { hasText: "unheard" }).count(), 0);
}

async function takeover(left, right) {
  await right.page.locator("#close").click();
  await right.logged("closed: 1000");
  await right.fill("connect", "clientId", await left.page.locator("#connect [name=clientId]").inputValue());
  await right.connect();
  await left.logged("0x8e Session taken over");
  await left.page.locator('#status[data-state="closed"]').waitFor();
}

async function refused(left) {
  const good = await left.page.locator("#connect [name=url]").inputValue();
  await left.fill("connect", "url", `${good}/nowhere`);
  await left.submit("connect");
  // Told by a CONNACK and a close code, since a page can not read an HTTP status.
  await left.logged("connect refused: 0x80");
  await left.logged("no WebSocket at /mqtt/nowhere: connect to / or /mqtt");
  await left.page.locator('#status[data-state="closed"]').waitFor();
  await left.fill("connect", "url", good);
  await left.fill("connect", "clientId", "");
  await left.connect();
  if (!(await left.page.locator("#connect [name=clientId]").inputValue())) throw new Error("no assigned id shown");
}

async function phone(browser) {
  const context = await browser.newContext({ viewport: { width: 375, height: 812 }, colorScheme: "dark", deviceScaleFactor: 2 });
  const tab = await Tab.open(context);
  await tab.connect();
  await tab.subscribe("phone/#", 1);
  await tab.publish("phone/a/topic/that/is/rather/long/for/a/narrow/screen", "a payload as long as its topic ".repeat(4), 1, false);
  await tab.message("a payload as long");
  const width = await tab.page.evaluate(() => document.documentElement.scrollWidth);
  same(width, 375, "width of the page");
  await tab.page.screenshot({ path: `${pictures}/page-phone.png`, fullPage: true });
  same(tab.faults, [], "page errors");
}
