// What MQTT.js must be able to do through the broker, in Node and in a browser alike.
//
// `everything` is handed the library, so the same scenarios run on the npm package in Node and on its
// browser bundle in Chromium. Each uses topics and client ids of its own; all leave nothing behind.

import { check, pause, same, within } from "./check.mjs";

const NAMES = { 3: "3.1", 4: "3.1.1", 5: "5.0" };
let serial = 0;

/** Runs every scenario for one protocol version (3, 4 or 5). */
export async function everything(mqtt, url, version, report) {
  const world = new World(mqtt, url, version);
  const run = async (name, scenario) => {
    await check(report, `MQTT ${NAMES[version]}: ${name}`, () => scenario(world));
    await world.leave();
  };
  await run("connects, and a clean session is new", connects);
  for (const published of [0, 1, 2]) {
    for (const subscribed of [0, 1, 2]) {
      const name = `QoS ${published} to a QoS ${subscribed} subscription`;
      await run(name, (w) => delivers(w, published, subscribed));
    }
  }
  await run("payloads of 0 bytes, of all byte values and of 300 KiB arrive unchanged", payloads);
  await run("wildcards match, and unsubscribing stops deliveries", wildcards);
  await run("a retained message meets a later subscriber, until it is cleared", retained);
  await run("a will is published for a client that vanishes, not for one that says goodbye", wills);
  await run("a persistent session keeps what arrives while its client is away", persistent);
  await run("a client that lost its connection reconnects by itself and misses nothing", reconnects);
  await run("a second client with the same id takes over", takeover);
  await run("1,000 messages of each QoS arrive in order", burst);
  if (version === 5) await everythingOfFive(run);
}

async function everythingOfFive(run) {
  await run("properties pass through in order and untouched", properties);
  await run("an empty client id is assigned one", assigned);
  await run("subscription identifiers come back with the message", identifiers);
  await run("a shared subscription delivers each message to one member", shared);
  await run("topic aliases stand for topics on the way in and out", aliases);
  await run("no local, retain as published and retain handling are obeyed", options);
}

class World {
  constructor(mqtt, url, version) {
    Object.assign(this, { mqtt, url, version, clients: [] });
  }

  /** A name no other scenario uses. */
  name(word) {
    serial += 1;
    return `js-${this.version}-${serial}-${word}`;
  }

  async client(options = {}) {
    const client = this.mqtt.connect(this.url, {
      protocolVersion: this.version,
      protocolId: this.version === 3 ? "MQIsdp" : "MQTT",
      clientId: this.name("c"),
      reconnectPeriod: 0,
      ...options,
    });
    this.clients.push(client);
    client.inbox = new Inbox(client);
    const connected = new Promise((resolve, reject) => {
      client.once("connect", resolve);
      client.once("error", reject);
      client.once("close", () => reject(new Error("closed before CONNACK")));
    });
    client.connack = await within(connected, "CONNACK");
    client.on("error", () => {});
    return client;
  }

  /** Options of a session that outlives its connection. */
  lasting(clientId) {
    const expiry = this.version === 5 ? { properties: { sessionExpiryInterval: 600 } } : {};
    return { clientId, clean: false, ...expiry };
  }

  /** Session Present as this version shows it: 3.1 had no such flag, its byte was reserved. */
  present(client) {
    return client.connack.sessionPresent === (this.version > 3);
  }

  /** Connects once more with the id and no session to keep. */
  async forget(clientId) {
    const client = await this.client({ clientId, clean: true });
    await client.endAsync();
  }

  async leave() {
    const leaving = this.clients.filter((client) => !client.disconnecting);
    this.clients = [];
    await Promise.all(leaving.map((client) => client.endAsync(true)));
  }
}

/** Messages in the order of their arrival, to be awaited one by one. */
class Inbox {
  constructor(client) {
    this.messages = [];
    this.waiting = [];
    client.on("message", (topic, payload, packet) => {
      const message = { topic, payload, text: new TextDecoder().decode(payload), packet };
      const waiting = this.waiting.shift();
      if (waiting) waiting(message);
      else this.messages.push(message);
    });
  }

  next() {
    const message = this.messages.shift();
    if (message) return Promise.resolve(message);
    return within(new Promise((resolve) => this.waiting.push(resolve)), "a message");
  }

  async texts(count) {
    const texts = [];
    while (texts.length < count) texts.push((await this.next()).text);
    return texts;
  }
}

async function connects(w) {
  const client = await w.client();
  same(client.connack.returnCode ?? client.connack.reasonCode ?? 0, 0, "CONNACK code");
  same(client.connack.sessionPresent, false, "Session Present");
}

async function delivers(w, published, subscribed) {
  const topic = w.name("t");
  const [subscriber, publisher] = [await w.client(), await w.client()];
  const [granted] = await subscriber.subscribeAsync(topic, { qos: subscribed });
  same(granted.qos, subscribed, "granted QoS");
  await publisher.publishAsync(topic, "payload", { qos: published });
  const message = await subscriber.inbox.next();
  same([message.topic, message.text], [topic, "payload"]);
  same(message.packet.qos, Math.min(published, subscribed), "QoS of the delivery");
  same(message.packet.retain, false, "retain of the delivery");
}

async function payloads(w) {
  const topic = w.name("t");
  const client = await w.client();
  await client.subscribeAsync(topic, { qos: 1 });
  for (const length of [0, 256, 300 * 1024]) {
    const payload = Uint8Array.from({ length }, (_, index) => (index * 31) % 256);
    await client.publishAsync(topic, binary(payload), { qos: 1 });
    const message = await client.inbox.next();
    same(message.payload.length, length, "payload length");
    same(Array.from(message.payload.subarray(0, 256)), Array.from(payload.subarray(0, 256)));
    if (!payload.every((byte, index) => byte === message.payload[index])) throw new Error("payload changed");
  }
}

async function wildcards(w) {
  const root = w.name("t");
  const client = await w.client();
  await client.subscribeAsync(`${root}/+/temperature`, { qos: 1 });
  await client.subscribeAsync(`${root}/log/#`, { qos: 1 });
  for (const rest of ["kitchen/temperature", "kitchen/humidity", "log", "log/a/b", "temperature"]) {
    await client.publishAsync(`${root}/${rest}`, rest, { qos: 1 });
  }
  await client.publishAsync(`${root}/log/end`, "end", { qos: 1 });
  same(await client.inbox.texts(4), ["kitchen/temperature", "log", "log/a/b", "end"]);
  await client.unsubscribeAsync(`${root}/log/#`);
  await client.publishAsync(`${root}/log/unheard`, "unheard", { qos: 1 });
  await client.publishAsync(`${root}/hall/temperature`, "heard", { qos: 1 });
  same(await client.inbox.texts(1), ["heard"]);
}

async function retained(w) {
  const topic = w.name("t");
  const publisher = await w.client();
  await publisher.publishAsync(topic, "first", { qos: 1, retain: true });
  await publisher.publishAsync(topic, "kept", { qos: 1, retain: true });
  const early = await w.client();
  await early.subscribeAsync(topic, { qos: 1 });
  const message = await early.inbox.next();
  same([message.text, message.packet.retain], ["kept", true]);
  await publisher.publishAsync(topic, "", { qos: 1, retain: true });
  same([(await early.inbox.next()).packet.retain], [false], "retain of a live delivery");
  const late = await w.client();
  await late.subscribeAsync(topic, { qos: 1 });
  await publisher.publishAsync(topic, "live", { qos: 1 });
  same(await late.inbox.texts(1), ["live"]);
}

async function wills(w) {
  const topic = w.name("t");
  const watcher = await w.client();
  await watcher.subscribeAsync(topic, { qos: 2 });
  const will = (payload) => ({ will: { topic, payload: binary(new TextEncoder().encode(payload)), qos: 2, retain: false } });
  const polite = await w.client(will("polite"));
  await polite.endAsync();
  const vanishing = await w.client(will("vanished"));
  await vanishing.endAsync(true);
  const message = await watcher.inbox.next();
  same([message.text, message.packet.qos], ["vanished", 2]);
}

async function persistent(w) {
  const [topic, id] = [w.name("t"), w.name("keeper")];
  const publisher = await w.client();
  const first = await w.client(w.lasting(id));
  same(first.connack.sessionPresent, false, "Session Present of a new session");
  await first.subscribeAsync(topic, { qos: 2 });
  await first.endAsync();
  const sent = { 1: [], 2: [] };
  for (let index = 0; index < 30; index += 1) {
    const qos = 1 + index % 2;
    sent[qos].push(`away ${index}`);
    await publisher.publishAsync(topic, `away ${index}`, { qos });
  }
  const second = await w.client(w.lasting(id));
  same(w.present(second), true, "Session Present");
  same(await byQos(second, 30), sent);
  await publisher.publishAsync(topic, "live", { qos: 2 });
  same(await second.inbox.texts(1), ["live"]);
  await second.endAsync();
  await w.forget(id);
  const third = await w.client(w.lasting(id));
  same(third.connack.sessionPresent, false, "Session Present after a clean start");
  await third.endAsync();
  await w.forget(id);
}

// MQTT.js hands out a QoS 2 message when its PUBREL comes: order is promised within a QoS only.
async function byQos(client, count) {
  const texts = { 1: [], 2: [] };
  for (let index = 0; index < count; index += 1) {
    const message = await client.inbox.next();
    texts[message.packet.qos].push(message.text);
  }
  return texts;
}

async function reconnects(w) {
  const [topic, id] = [w.name("t"), w.name("unsteady")];
  const publisher = await w.client();
  const client = await w.client({ ...w.lasting(id), reconnectPeriod: 300, resubscribe: false });
  await client.subscribeAsync(topic, { qos: 1 });
  await publisher.publishAsync(topic, "before", { qos: 1 });
  same(await client.inbox.texts(1), ["before"]);
  const again = new Promise((resolve) => client.once("connect", resolve));
  client.stream.destroy();
  await within(new Promise((resolve) => client.once("close", resolve)), "the connection to close");
  await publisher.publishAsync(topic, "while away", { qos: 1 });
  client.connack = await within(again, "the reconnection");
  same(w.present(client), true, "Session Present");
  await publisher.publishAsync(topic, "after", { qos: 1 });
  same(await untilAfter(client), ["while away", "after"]);
  await client.endAsync();
  await w.forget(id);
}

// The PUBACK of "before" may have been lost with the connection; then it rightly comes again, marked DUP.
async function untilAfter(client) {
  const texts = [];
  while (texts.at(-1) !== "after") {
    const { text, packet } = await client.inbox.next();
    if (!(text === "before" && packet.dup)) texts.push(text);
  }
  return texts;
}

async function takeover(w) {
  const clientId = w.name("twin");
  const first = await w.client({ clientId });
  const closed = new Promise((resolve) => first.once("close", resolve));
  const told = new Promise((resolve) => first.once("disconnect", resolve));
  const second = await w.client({ clientId });
  await within(closed, "the first connection to close");
  if (w.version === 5) same((await within(told, "DISCONNECT")).reasonCode, 0x8e, "reason");
  const topic = w.name("t");
  await second.subscribeAsync(topic, { qos: 1 });
  await second.publishAsync(topic, "mine", { qos: 1 });
  same(await second.inbox.texts(1), ["mine"]);
}

async function burst(w) {
  const topic = w.name("t");
  const [subscriber, publisher] = [await w.client(), await w.client()];
  await subscriber.subscribeAsync(`${topic}/#`, { qos: 2 });
  const expected = Array.from({ length: 1000 }, (_, index) => `${index}`);
  // MQTT.js does not keep to the broker's Receive Maximum by itself.
  const window = publisher.connack.properties?.receiveMaximum ?? 65_535;
  for (const qos of [0, 1, 2]) {
    for (let sent = 0; sent < expected.length; sent += window) {
      const batch = expected.slice(sent, sent + window);
      await Promise.all(batch.map((text) => publisher.publishAsync(`${topic}/${qos}`, text, { qos })));
    }
    same(await subscriber.inbox.texts(expected.length), expected);
  }
}

async function properties(w) {
  const topic = w.name("t");
  const [subscriber, publisher] = [await w.client(), await w.client()];
  await subscriber.subscribeAsync(topic, { qos: 1 });
  const userProperties = { one: ["1", "uno"], zwei: "2", empty: "" };
  await publisher.publishAsync(topic, "payload", {
    qos: 1,
    properties: {
      payloadFormatIndicator: true, contentType: "text/plain", responseTopic: "reply/here",
      correlationData: binary(Uint8Array.of(0, 1, 255)), messageExpiryInterval: 600, userProperties,
    },
  });
  const got = (await subscriber.inbox.next()).packet.properties;
  same([got.payloadFormatIndicator, got.contentType, got.responseTopic], [true, "text/plain", "reply/here"]);
  same(Array.from(got.correlationData), [0, 1, 255], "correlation data");
  same({ ...got.userProperties }, userProperties, "user properties");
  if (!(got.messageExpiryInterval > 0 && got.messageExpiryInterval <= 600)) throw new Error("expiry");
}

async function assigned(w) {
  const client = await w.client({ clientId: "" });
  const id = client.connack.properties?.assignedClientIdentifier;
  if (!id) throw new Error("no Assigned Client Identifier");
}

async function identifiers(w) {
  const topic = w.name("t");
  const client = await w.client();
  await client.subscribeAsync(`${topic}/#`, { qos: 1, properties: { subscriptionIdentifier: 268_435_455 } });
  await client.publishAsync(`${topic}/x`, "payload", { qos: 1 });
  same((await client.inbox.next()).packet.properties.subscriptionIdentifier, 268_435_455);
}

async function shared(w) {
  const topic = w.name("t");
  const members = [await w.client(), await w.client(), await w.client()];
  for (const member of members) await member.subscribeAsync(`$share/${topic}/${topic}/#`, { qos: 1 });
  const publisher = await w.client();
  for (let index = 0; index < 30; index += 1) await publisher.publishAsync(`${topic}/${index}`, `${index}`, { qos: 1 });
  const total = () => members.reduce((sum, member) => sum + member.inbox.messages.length, 0);
  for (let tries = 0; total() < 30 && tries < 100; tries += 1) await pause(20);
  await pause(100);
  same(total(), 30, "messages over all members");
  const texts = members.flatMap((member) => member.inbox.messages.map((message) => Number(message.text)));
  same(texts.sort((a, b) => a - b), Array.from({ length: 30 }, (_, index) => index));
}

async function aliases(w) {
  const topic = w.name("a-topic-long-enough-for-an-alias-to-pay");
  const subscriber = await w.client({ properties: { topicAliasMaximum: 10 } });
  const publisher = await w.client({ autoAssignTopicAlias: true });
  await subscriber.subscribeAsync(`${topic}/#`, { qos: 1 });
  const expected = [];
  for (let round = 0; round < 5; round += 1) {
    for (const leaf of ["a", "b", "c"]) {
      await publisher.publishAsync(`${topic}/${leaf}`, `${leaf}${round}`, { qos: 1 });
      expected.push([`${topic}/${leaf}`, `${leaf}${round}`]);
    }
  }
  const got = [];
  while (got.length < expected.length) {
    const { topic: name, text } = await subscriber.inbox.next();
    got.push([name, text]);
  }
  same(got, expected);
}

async function options(w) {
  const topic = w.name("t");
  const [client, other] = [await w.client(), await w.client()];
  await other.publishAsync(topic, "kept", { qos: 1, retain: true });
  await client.subscribeAsync(topic, { qos: 1, nl: true, rap: true, rh: 2 });
  await client.publishAsync(topic, "own", { qos: 1 });
  await other.publishAsync(topic, "other", { qos: 1, retain: true });
  const message = await client.inbox.next();
  same([message.text, message.packet.retain], ["other", true]);
  await other.publishAsync(topic, "", { qos: 1, retain: true });
}

// MQTT.js wants its own Buffer for binary data; in a page its bundle takes a Uint8Array.
function binary(bytes) {
  return globalThis.Buffer ? globalThis.Buffer.from(bytes) : bytes;
}
