// The try-it page: forms in, messages and log lines out. The protocol is in mqtt.js.

import { Client, reasonName } from "./mqtt.js";

const MESSAGES_SHOWN = 200;
const CLOSE_NAMES = {
  1000: "normal closure", 1001: "going away", 1002: "protocol error", 1003: "unsupported data",
  1005: "no status", 1006: "connection lost or refused", 1008: "policy violation",
  1009: "message too big", 1011: "internal error", 1013: "try again later",
};

const element = (id) => document.getElementById(id);
const client = new Client();
const subscriptions = new Map();
let received = 0;

const connectForm = element("connect");
const subscribeForm = element("subscribe");
const publishForm = element("publish");

const scheme = location.protocol === "https:" ? "wss" : "ws";
connectForm.elements.url.value = `${scheme}://${location.host}/mqtt`;
connectForm.elements.clientId.value = `tab-${randomName()}`;

connectForm.addEventListener("submit", async (event) => {
  event.preventDefault();
  const fields = connectForm.elements;
  show("opening", "connecting…");
  try {
    const connack = await client.open({
      url: fields.url.value.trim(),
      clientId: fields.clientId.value.trim(),
      cleanStart: fields.cleanStart.checked,
      keepAlive: Number(fields.keepAlive.value),
      sessionExpiry: Number(fields.sessionExpiry.value),
      username: fields.username.value,
      password: fields.password.value,
    });
    connected(connack);
  } catch (error) {
    log(`connect refused: ${error.message}`, "fault");
    client.close();
    show("closed", "not connected");
  }
});

element("close").addEventListener("click", () => client.close());

subscribeForm.addEventListener("submit", (event) => {
  event.preventDefault();
  const filter = subscribeForm.elements.filter.value;
  attempt(`subscribe ${filter}`, async () => {
    const granted = await client.subscribe(filter, Number(subscribeForm.elements.qos.value));
    subscriptions.set(filter, granted);
    listSubscriptions();
    return reasonName(granted);
  });
});

publishForm.addEventListener("submit", (event) => {
  event.preventDefault();
  const { topic, payload, qos, retain } = publishForm.elements;
  const bytes = new TextEncoder().encode(payload.value);
  attempt(`publish ${topic.value}, QoS ${qos.value}`, async () => {
    const reason = await client.publish(topic.value, bytes, Number(qos.value), retain.checked);
    return qos.value === "0" ? "sent" : reasonName(reason);
  });
});

client.addEventListener("message", ({ detail }) => {
  received += 1;
  const list = element("messages");
  list.prepend(messageItem(detail));
  while (list.children.length > MESSAGES_SHOWN) list.lastElementChild.remove();
  countMessages();
});

client.addEventListener("closed", ({ detail: { code, reason, farewell } }) => {
  if (farewell) {
    const why = farewell.properties.reasonString ? `: ${farewell.properties.reasonString}` : "";
    log(`the broker disconnected: ${reasonName(farewell.reason)}${why}`, "fault");
  }
  const name = CLOSE_NAMES[code] ? ` ${CLOSE_NAMES[code]}` : "";
  log(`closed: ${code}${name}${reason ? `, "${reason}"` : ""}`, code === 1000 ? "" : "fault");
  show("closed", "not connected");
});

element("clear").addEventListener("click", () => {
  element("messages").replaceChildren();
  received = 0;
  countMessages();
});

function connected(connack) {
  if (connack.assignedClientId) connectForm.elements.clientId.value = connack.assignedClientId;
  if (!connack.sessionPresent) subscriptions.clear();
  listSubscriptions();
  const name = connectForm.elements.clientId.value;
  log(`connected as ${name}, ${connack.sessionPresent ? "session resumed" : "new session"}`);
  show("open", `connected as ${name}`);
}

// One thing the user asked for: its outcome is one log line, good or bad.
async function attempt(what, action) {
  try {
    log(`${what}: ${await action()}`);
  } catch (error) {
    log(`${what}: ${error.message}`, "fault");
  }
}

function show(state, words) {
  const open = state === "open";
  element("status").dataset.state = state;
  element("status").textContent = words;
  connectForm.querySelector("fieldset").disabled = state !== "closed";
  for (const part of document.querySelectorAll("fieldset.live")) part.disabled = !open;
  element("open").hidden = state !== "closed";
  element("close").hidden = state === "closed";
}

function listSubscriptions() {
  const items = [...subscriptions].map(([filter, qos]) => {
    const remove = tag("button", { type: "button", title: `Unsubscribe ${filter}`, textContent: "×" });
    remove.addEventListener("click", () => attempt(`unsubscribe ${filter}`, async () => {
      const reason = await client.unsubscribe(filter);
      subscriptions.delete(filter);
      listSubscriptions();
      return reasonName(reason);
    }));
    const item = tag("li");
    item.append(tag("code", { textContent: filter }), tag("span", { textContent: `QoS ${qos}` }), remove);
    return item;
  });
  element("subscriptions").replaceChildren(...items);
}

function messageItem({ topic, qos, retain, payload }) {
  const about = tag("div", { className: "about" });
  about.append(tag("code", { textContent: topic }), tag("span", { className: "badge", textContent: `QoS ${qos}` }));
  if (retain) about.append(tag("span", { className: "badge retained", textContent: "retained" }));
  about.append(tag("time", { textContent: clock() }));
  const item = tag("li");
  item.append(about, tag("pre", { textContent: readable(payload) }));
  return item;
}

// Text where the payload is text, hexadecimal digits where it is not.
function readable(payload) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(payload) || "(empty)";
  } catch {
    const digits = [...payload.slice(0, 256)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    return `${payload.length} bytes: ${digits}${payload.length > 256 ? " …" : ""}`;
  }
}

function countMessages() {
  element("count").textContent = received || "";
  element("clear").hidden = received === 0;
  element("messages-empty").hidden = received > 0;
}

function log(words, kind = "") {
  const item = tag("li", { className: kind });
  item.append(tag("time", { textContent: clock() }), tag("span", { textContent: words }));
  const list = element("log");
  list.prepend(item);
  while (list.children.length > MESSAGES_SHOWN) list.lastElementChild.remove();
}

function tag(name, properties = {}) {
  return Object.assign(document.createElement(name), properties);
}

function clock() {
  return new Date().toLocaleTimeString([], { hour12: false });
}

function randomName() {
  const bytes = crypto.getRandomValues(new Uint8Array(4));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
