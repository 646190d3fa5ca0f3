// A small MQTT 5.0 client over WebSocket, for the try-it page.
//
// A Client outlives its connections, as a session does: what was sent with QoS 1 or 2 and not yet
// acknowledged is sent again when the broker still has the session, and given up when it has not.
// It speaks in promises (open, subscribe, unsubscribe, publish) and two events: "message", "closed".

const CONNECT = 1, CONNACK = 2, PUBLISH = 3, PUBACK = 4, PUBREC = 5, PUBREL = 6, PUBCOMP = 7,
  SUBSCRIBE = 8, SUBACK = 9, UNSUBSCRIBE = 10, UNSUBACK = 11, PINGREQ = 12, PINGRESP = 13,
  DISCONNECT = 14;

const REASONS = {
  0x00: "Success", 0x01: "Granted QoS 1", 0x02: "Granted QoS 2", 0x04: "Disconnect with Will Message",
  0x10: "No matching subscribers", 0x11: "No subscription existed", 0x80: "Unspecified error",
  0x81: "Malformed Packet", 0x82: "Protocol Error", 0x83: "Implementation specific error",
  0x84: "Unsupported Protocol Version", 0x85: "Client Identifier not valid",
  0x86: "Bad User Name or Password", 0x87: "Not authorized", 0x88: "Server unavailable",
  0x89: "Server busy", 0x8a: "Banned", 0x8b: "Server shutting down",
  0x8c: "Bad authentication method", 0x8d: "Keep Alive timeout", 0x8e: "Session taken over",
  0x8f: "Topic Filter invalid", 0x90: "Topic Name invalid", 0x91: "Packet Identifier in use",
  0x92: "Packet Identifier not found", 0x93: "Receive Maximum exceeded", 0x94: "Topic Alias invalid",
  0x95: "Packet too large", 0x96: "Message rate too high", 0x97: "Quota exceeded",
  0x98: "Administrative action", 0x99: "Payload format invalid", 0x9a: "Retain not supported",
  0x9b: "QoS not supported", 0x9c: "Use another server", 0x9d: "Server moved",
  0x9e: "Shared Subscriptions not supported", 0x9f: "Connection rate exceeded",
  0xa0: "Maximum connect time", 0xa1: "Subscription Identifiers not supported",
  0xa2: "Wildcard Subscriptions not supported",
};

/** A reason code as people read it: `0x87 Not authorized`. */
export function reasonName(code) {
  return `0x${code.toString(16).padStart(2, "0")} ${REASONS[code] ?? "unknown reason"}`;
}

export class Client extends EventTarget {
  #socket = null;
  #pending = new Uint8Array();  // received bytes that do not yet make a packet
  #connecting = null;           // the promise of open()
  #outgoing = new Map();        // packet id -> { again: bytes to resend or null, resolve, reject }
  #received = new Set();        // ids of QoS 2 messages handed out, whose PUBREL has not come
  #lastId = 0;
  #limits = {};
  #farewell = null;             // the broker's DISCONNECT, if it sent one
  #timer = 0;
  #pongDue = false;

  /** Connects; the promise is kept with the CONNACK, or broken when the broker refuses. */
  open(options) {
    const socket = new WebSocket(options.url, ["mqtt"]);
    const current = (act) => (event) => { if (socket === this.#socket) act(event); };
    socket.binaryType = "arraybuffer";
    socket.onopen = current(() => this.#send(connectPacket(options)));
    socket.onmessage = current(({ data }) => this.#receive(new Uint8Array(data)));
    socket.onclose = current(({ code, reason }) => this.#closed(code, reason));
    this.#socket = socket;
    this.#pending = new Uint8Array();
    this.#farewell = null;
    return new Promise((resolve, reject) => {
      this.#connecting = { resolve, reject, keepAlive: options.keepAlive };
    });
  }

  /** Says goodbye and closes; what is unacknowledged stays for the next open(). */
  close() {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#send(packet(DISCONNECT << 4, []));
    this.#socket?.close(1000);
  }

  /** Resolves with the reason code of the SUBACK. */
  subscribe(filter, qos) {
    return this.#request((id) => packet(SUBSCRIBE << 4 | 2, [...u16(id), 0, ...text(filter), qos]));
  }

  /** Resolves with the reason code of the UNSUBACK. */
  unsubscribe(filter) {
    return this.#request((id) => packet(UNSUBSCRIBE << 4 | 2, [...u16(id), 0, ...text(filter)]));
  }

  /** Resolves with the reason code of the last acknowledgement; QoS 0 has none and resolves at once. */
  publish(topic, payload, qos, retain) {
    const first = PUBLISH << 4 | qos << 1 | (retain ? 1 : 0);
    const bytes = (id) => packet(first, [...text(topic), ...(qos ? u16(id) : []), 0], payload);
    if (qos === 0) return this.#fits(bytes()) ? (this.#send(bytes()), Promise.resolve(0)) : tooLarge();
    if (this.#outgoing.size >= this.#limits.receiveMaximum) {
      return Promise.reject(new Error("too many messages await their acknowledgement"));
    }
    return this.#request(bytes, true);
  }

  #request(bytesFor, isPublish = false) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return Promise.reject(new Error("not connected"));
    const id = this.#freeId();
    const bytes = bytesFor(id);
    if (!this.#fits(bytes)) return tooLarge();
    return new Promise((resolve, reject) => {
      this.#outgoing.set(id, { again: isPublish ? bytes : null, resolve, reject });
      this.#send(bytes);
    });
  }

  #freeId() {
    do this.#lastId = this.#lastId % 65535 + 1; while (this.#outgoing.has(this.#lastId));
    return this.#lastId;
  }

  #fits(bytes) { return bytes.length <= this.#limits.maximumPacketSize; }

  #send(bytes) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(bytes);
  }

  // Packets and WebSocket messages have nothing to do with each other: this is a stream of bytes.
  #receive(bytes) {
    this.#pending = concat(this.#pending, bytes);
    for (;;) {
      const header = fixedHeader(this.#pending);
      if (!header || this.#pending.length < header.end) return;
      const body = this.#pending.subarray(header.start, header.end);
      this.#handle(this.#pending[0], new Reader(body));
      this.#pending = this.#pending.slice(header.end);
    }
  }

  #handle(first, reader) {
    switch (first >> 4) {
      case CONNACK: return this.#connack(reader);
      case PUBLISH: return this.#message(first, reader);
      case PUBREL: return this.#release(reader.u16());
      case PUBREC: return this.#pubrec(reader.u16(), reader.rest() ? reader.u8() : 0);
      case PUBACK: case PUBCOMP: return this.#acknowledged(reader.u16(), reader.rest() ? reader.u8() : 0);
      case SUBACK: case UNSUBACK: {
        const id = reader.u16();
        reader.properties();
        return this.#acknowledged(id, reader.u8());
      }
      case PINGRESP: this.#pongDue = false; return;
      case DISCONNECT: {
        const reason = reader.rest() ? reader.u8() : 0;
        this.#farewell = { reason, properties: reader.rest() ? reader.properties() : {} };
      }
    }
  }

  #connack(reader) {
    const sessionPresent = (reader.u8() & 1) === 1;
    const reason = reader.u8();
    const properties = reader.properties();
    const { resolve, reject, keepAlive } = this.#connecting;
    this.#connecting = null;
    if (reason >= 0x80) {
      const why = properties.reasonString ? `: ${properties.reasonString}` : "";
      return reject(new Error(`${reasonName(reason)}${why}`));
    }
    this.#limits = {
      receiveMaximum: properties.receiveMaximum ?? 65535,
      maximumPacketSize: properties.maximumPacketSize ?? Infinity,
    };
    this.#keepAlive(properties.serverKeepAlive ?? keepAlive);
    this.#resume(sessionPresent);
    resolve({ sessionPresent, ...properties });
  }

  #resume(sessionPresent) {
    if (!sessionPresent) {
      this.#received.clear();
      return this.#giveUp(() => true, "the broker no longer has the session");
    }
    for (const { again } of this.#outgoing.values()) {
      if (again[0] >> 4 === PUBLISH) again[0] |= 0x08;  // DUP
      this.#send(again);
    }
  }

  #message(first, reader) {
    const qos = first >> 1 & 3;
    const topic = reader.text();
    const id = qos ? reader.u16() : 0;
    const properties = reader.properties();
    const detail = { topic, qos, retain: (first & 1) === 1, properties, payload: reader.remaining() };
    const known = qos === 2 && this.#received.has(id);
    if (qos === 2) this.#received.add(id);
    if (!known) this.dispatchEvent(new CustomEvent("message", { detail }));
    if (qos) this.#send(packet((qos === 1 ? PUBACK : PUBREC) << 4, u16(id)));
  }

  #release(id) {
    this.#received.delete(id);
    this.#send(packet(PUBCOMP << 4, u16(id)));
  }

  #pubrec(id, reason) {
    const flight = this.#outgoing.get(id);
    if (reason >= 0x80) return this.#acknowledged(id, reason);
    const pubrel = packet(PUBREL << 4 | 2, u16(id));
    if (flight) flight.again = pubrel;
    this.#send(pubrel);
  }

  #acknowledged(id, reason) {
    const flight = this.#outgoing.get(id);
    this.#outgoing.delete(id);
    if (reason >= 0x80) flight?.reject(new Error(reasonName(reason)));
    else flight?.resolve(reason);
  }

  #keepAlive(seconds) {
    clearInterval(this.#timer);
    this.#pongDue = false;
    if (!seconds) return;
    this.#timer = setInterval(() => {
      if (this.#pongDue) return this.#socket.close(4000, "no PINGRESP");
      this.#pongDue = true;
      this.#send(packet(PINGREQ << 4, []));
    }, seconds * 750);
  }

  #giveUp(which, why) {
    for (const [id, flight] of this.#outgoing) {
      if (!which(flight)) continue;
      this.#outgoing.delete(id);
      flight.reject(new Error(why));
    }
  }

  #closed(code, reason) {
    clearInterval(this.#timer);
    this.#connecting?.reject(new Error(`no CONNACK, the connection closed with ${code} ${reason}`.trim()));
    this.#connecting = null;
    this.#giveUp((flight) => !flight.again, "the connection closed");
    this.dispatchEvent(new CustomEvent("closed", { detail: { code, reason, farewell: this.#farewell } }));
  }
}

function connectPacket({ clientId, cleanStart, keepAlive, sessionExpiry, username, password }) {
  const flags = (cleanStart ? 0x02 : 0) | (username ? 0x80 : 0) | (password ? 0x40 : 0);
  const expiry = sessionExpiry ? [0x11, ...u32(sessionExpiry)] : [];
  return packet(CONNECT << 4, [
    ...text("MQTT"), 5, flags, ...u16(keepAlive), expiry.length, ...expiry, ...text(clientId),
    ...(username ? text(username) : []), ...(password ? text(password) : []),
  ]);
}

const u16 = (value) => [value >> 8, value & 0xff];
const u32 = (value) => [...u16(value >>> 16), ...u16(value & 0xffff)];

function text(string) {
  const bytes = new TextEncoder().encode(string);
  if (bytes.length > 65535) throw new Error("a string is longer than 65,535 bytes");
  return [...u16(bytes.length), ...bytes];
}

function tooLarge() {
  return Promise.reject(new Error("larger than the broker's Maximum Packet Size"));
}

function concat(left, right) {
  const both = new Uint8Array(left.length + right.length);
  both.set(left);
  both.set(right, left.length);
  return both;
}

function packet(first, body, payload = new Uint8Array()) {
  const header = [first];
  let length = body.length + payload.length;
  do {
    header.push(length & 0x7f | (length > 0x7f ? 0x80 : 0));
    length >>>= 7;
  } while (length > 0);
  return concat(Uint8Array.from([...header, ...body]), payload);
}

// Where the first packet in the bytes starts and ends; null while its length is not all there.
function fixedHeader(bytes) {
  let length = 0;
  for (let at = 1; at < bytes.length; at += 1) {
    length += (bytes[at] & 0x7f) * 128 ** (at - 1);
    if (bytes[at] < 0x80) return { start: at + 1, end: at + 1 + length };
  }
  return null;
}

// How each property is read, and the name of those that the page uses.
const PROPERTIES = {
  0x01: ["u8"], 0x02: ["u32"], 0x03: ["text", "contentType"], 0x08: ["text", "responseTopic"],
  0x09: ["data"], 0x0b: ["varint"], 0x11: ["u32"], 0x12: ["text", "assignedClientId"],
  0x13: ["u16", "serverKeepAlive"], 0x15: ["text"], 0x16: ["data"], 0x1a: ["text"], 0x1c: ["text"],
  0x1f: ["text", "reasonString"], 0x21: ["u16", "receiveMaximum"], 0x22: ["u16"], 0x23: ["u16"],
  0x24: ["u8"], 0x25: ["u8"], 0x26: ["pair"], 0x27: ["u32", "maximumPacketSize"], 0x28: ["u8"],
  0x29: ["u8"], 0x2a: ["u8"],
};

class Reader {
  #bytes;
  #at = 0;
  constructor(bytes) { this.#bytes = bytes; }
  rest() { return this.#bytes.length - this.#at; }
  remaining() { return this.#bytes.slice(this.#at); }
  u8() { return this.#bytes[this.#at++]; }
  u16() { return this.u8() << 8 | this.u8(); }
  u32() { return this.u16() * 0x10000 + this.u16(); }
  data() { const end = this.u16() + this.#at; return this.#bytes.slice(this.#at, this.#at = end); }
  text() { return new TextDecoder("utf-8", { ignoreBOM: true }).decode(this.data()); }
  pair() { return [this.text(), this.text()]; }
  varint() {
    let value = 0, scale = 1, byte;
    do { byte = this.u8(); value += (byte & 0x7f) * scale; scale *= 128; } while (byte >= 0x80);
    return value;
  }
  properties() {
    const end = this.varint() + this.#at;
    const found = {};
    while (this.#at < end) {
      const [kind, name] = PROPERTIES[this.u8()];
      const value = this[kind]();
      if (name) found[name] = value;
    }
    return found;
  }
}
