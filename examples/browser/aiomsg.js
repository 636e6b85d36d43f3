// A message socket for browsers: the aiomsg protocol, version 1, over WebSocket. No dependencies.
//
//   import { connect } from "./aiomsg.js";
//
//   const socket = connect("/aiomsg", { delivery: "at-least-once" });
//   await socket.send("hello");                  // resolves once the peer has handled it
//   for await (const message of socket) {        // acknowledged when the loop comes round
//     message.reply("you said " + message.text());
//   }
//
// One socket may connect to many bind ends; each connection reconnects by itself for the socket's
// life, and what is sent meanwhile waits, in order and within limits.

const HELLO = 1, HEARTBEAT = 2, DATA = 3, DATA_REQ = 4, ACK = 5;
/** The peer will not handle a message that it acknowledges next; only sockets of actix-aiomsg say so. */
const REFUSED = 0xc2;
const REFUSALS = [, "its handler failed", "it was rejected", "it cannot be decoded", "busy", "draining",
  "no such service", "nobody wants it", "nobody receives"];
/** The close code of a peer for which a message was too large. */
const TOO_LARGE = 1009;
/** Connections that a message has to end so, alone among those at least once, before it is given up. */
const TOO_LARGE_ENDS = 3;
const VERSION = 1;
const ID_BYTES = 16;
/** Before its HELLO a peer may announce no more than this. */
const MAX_HELLO_BYTES = 4096;
/** How often connections are looked at: heartbeats, silence, resends. */
const TICK_MS = 500;
/** How often a full connection is looked at; the browser does not tell when it has room. */
const ROOM_MS = 20;

const DEFAULTS = {
  /** `send` gives each message to the next peer in turn, or a copy to every one ("publish"). */
  sendMode: "round-robin",
  /** "at-most-once", or "at-least-once": kept and sent again until the peer has acknowledged. */
  delivery: "at-most-once",
  /** 32 hexadecimal digits; a random one by default. Two open tabs must not share one. */
  identity: undefined,
  heartbeatInterval: 5_000,
  heartbeatTimeout: 15_000,
  handshakeTimeout: 8_000,
  /** The first resend; each later one of the same message waits twice as long, up to 60 s. */
  resendTimeout: 5_000,
  /** Reconnect delays are random, up to a bound that doubles from the first to the second. */
  reconnect: [100, 3_000],
  /** How long a message to a peer that is away waits for it. */
  absenceGrace: 30_000,
  /** How long a publish waits for a full peer that takes nothing, before it goes to those with room alone. */
  publishPatience: 250,
  /** Handled messages that are remembered, so that one that is sent again is not delivered twice. */
  dedupe: 1_024,
  maxFrameBytes: 64 << 20,
  /** What a connection may leave unsent in the browser's buffer. */
  maxBufferedBytes: 256 << 10,
  maxUnacknowledged: 1_024,
  maxOutboxMessages: 10_000,
  maxInboxMessages: 4_096,
  /** What typed messages begin with: `message.topic` is the longest of these, and `json()` is what follows. */
  topics: [],
};

const READ_FIRST = "a Blob is read first: send(await blob.arrayBuffer())";
/** What to do with values that JSON has no word for. */
const REMEDIES = {
  __proto__: null,
  Blob: READ_FIRST,
  File: READ_FIRST,
  Map: "a Map goes as a list: send([...map])",
  Set: "a Set goes as a list: send([...set])",
  Promise: "a promise is awaited first: send(await promise)",
};

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Makes a socket and connects it; see `Socket.connect` for more connections of the same one. */
export function connect(url, options) {
  return new Socket(options).connect(url);
}

/** A value as a typed message, for everything that sends: `socket.send(typed("order ", { id: 7 }))`. */
export function typed(topic, value) { return topic + json(value); }

/**
 * Why a message was not sent or not handled, in `code`: "closed", "full", "peer-gone"; at least once also "refused", if the
 * peer says that nobody handled it, and "too-large", if it is above the frame limit of every peer that is there.
 */
export class SendError extends Error {
  constructor(code, text) {
    super(text);
    this.name = "SendError";
    this.code = code;
  }
}

/** A message that was received. */
export class Message {
  #socket; #link; #id; #topic;

  constructor(socket, link, payload, id) {
    this.#socket = socket;
    this.#topic = socket._topics.find(({ bytes }) => bytes.every((byte, index) => byte === payload[index]));
    this.#link = link;
    this.#id = id;
    /** The bytes. */
    this.payload = payload;
    /** The identity of the peer that sent it. */
    this.peer = link.peer;
  }

  /** The topic of a typed message, of those that the socket was told; empty if it has none. */
  get topic() { return this.#topic?.text ?? ""; }

  /** All of it as text. */
  text() { return decoder.decode(this.payload); }

  /** The value, without the topic. */
  json() { return JSON.parse(decoder.decode(this.payload.subarray(this.#topic?.bytes.length ?? 0))); }

  /** Answers the peer that it came from. */
  reply(data) { return this.#socket.sendTo(this.peer, data); }

  /** Tells the sender now that it is handled; the loop does so when it comes round. */
  ack() {
    if (this.#id) this.#socket._settle(this.#link, this.peer, this.#id, true);
    this.#id = undefined;
  }

  /** Leaves it unhandled: the sender will send it again. */
  nack() {
    if (this.#id) this.#socket._settle(this.#link, this.peer, this.#id, false);
    this.#id = undefined;
  }
}

/**
 * A message socket. Its events: "up" and "down" ({peer, url, reason} in `detail`), and "change"
 * whenever the state of a connection has changed.
 */
export class Socket extends EventTarget {
  #links = new Set();
  #turn = 0;
  #outbox = new Queue();
  /** Messages for one peer, by its identity. */
  #addressed = new Map();
  #inbox = new Queue();
  #readers = [];
  /** Messages in hand, by peer and id. */
  #inHand = new Set();
  /** Handled ones; the oldest are forgotten first. */
  #handled = new Set();
  #retry; #ticker; #lastTick = performance.now();
  #closing;
  #waiting = [];

  constructor(options = {}) {
    super();
    this.options = { ...DEFAULTS, ...options };
    this._topics = this.options.topics.map((text) => ({ text, bytes: encoder.encode(text) }));
    this._topics.sort((one, other) => other.bytes.length - one.bytes.length);
    if (this.options.sendMode === "publish" && this.options.delivery === "at-least-once") {
      throw new TypeError("publish goes with at-most-once only");
    }
    const identity = this.options.identity ?? hex(crypto.getRandomValues(new Uint8Array(ID_BYTES)));
    if (!/^[0-9a-f]{32}$/i.test(identity)) throw new TypeError("an identity is 32 hexadecimal digits");
    /** The name that peers know this socket by. */
    this.identity = identity.toLowerCase();
    this.stats = { sent: 0, received: 0, acknowledged: 0, resent: 0, dropped: 0, bytesIn: 0, bytesOut: 0 };
    this.#ticker = setInterval(() => this.#tick(), TICK_MS);
    this._online = () => { for (const link of this.#links) link.hurry(); };
    globalThis.addEventListener?.("online", this._online);
  }

  /** Connects to one more bind end, for the socket's life. A path is one of this page's server. */
  connect(url) {
    if (this.#closing) throw new SendError("closed", "the socket is closed");
    const absolute = new URL(url, globalThis.location?.href);
    absolute.protocol = absolute.protocol.replace(/^http/, "ws");
    this.#links.add(new Link(this, absolute.href));
    return this;
  }

  /** Every connection: its url, its state ("connecting", "up", "waiting", "closed"), its peer. */
  get links() { return [...this.#links]; }

  /** Identities of the connected peers. */
  get peers() { return this.#up().map((link) => link.peer); }

  get outboxLength() {
    let length = this.#outbox.length;
    for (const queue of this.#addressed.values()) length += queue.length;
    return length;
  }

  get unacknowledged() {
    return this.links.reduce((count, link) => count + link.unacknowledged.size, 0);
  }

  /**
   * Sends by the socket's send mode. Resolves when the message is with the browser's network layer,
   * or, at least once, when a peer has acknowledged it. Rejects with a `SendError`, or with a `TypeError` for what is
   * neither text nor bytes nor a value that JSON can say.
   */
  send(data) { return this.#enqueue(this.options.sendMode, data, this.options.delivery); }

  /** Sends a copy to every connected peer, at most once. */
  publish(data) { return this.#enqueue("publish", data, "at-most-once"); }

  /** Sends to one peer, whatever the send mode. */
  sendTo(peer, data) { return this.#enqueue("peer", data, this.options.delivery, peer.toLowerCase()); }

  /** Resolves when so many peers are connected. */
  waitForPeers(count = 1) { return this.#wait(() => this.peers.length >= count); }

  /** Resolves when everything that was accepted is sent and, where it wants that, acknowledged. */
  flush() { return this.#wait(() => this.#isDrained()); }

  /** Takes no more, delivers what it has within the deadline, and says what is left. */
  async close(deadline = 5_000) {
    this.#closing ??= (async () => {
      const drained = this.#wait(() => this.#isDrained()).catch(() => {});
      await Promise.race([drained, new Promise((done) => setTimeout(done, deadline))]);
      const report = { ...this.stats, unsent: this.outboxLength, unacknowledged: this.unacknowledged };
      clearInterval(this.#ticker);
      clearTimeout(this.#retry);
      globalThis.removeEventListener?.("online", this._online);
      for (const link of this.#links) link.close();
      const gone = new SendError("closed", "the socket is closed");
      for (const queue of [this.#outbox, ...this.#addressed.values()]) {
        for (let entry; (entry = queue.shift()); ) entry.reject(gone);
      }
      for (const waiting of this.#waiting.splice(0)) waiting.reject(gone);
      for (const reader of this.#readers.splice(0)) reader({ done: true, value: undefined });
      return report;
    })();
    return this.#closing;
  }

  /**
   * The messages that come. One is acknowledged when the next is asked for; leaving the loop, by
   * `break` or by an error, leaves the message in hand unacknowledged, so that it comes again.
   */
  [Symbol.asyncIterator]() {
    let inHand;
    return {
      next: async () => {
        inHand?.ack();
        inHand = undefined;
        const next = await this.#next();
        inHand = next.value;
        return next;
      },
      return: async (value) => {
        inHand?.nack();
        inHand = undefined;
        return { done: true, value };
      },
    };
  }

  // --- what links tell; not for users

  /** A link's peer has been admitted. */
  _up(link) {
    if (this.#up().some((other) => other !== link && other.peer === link.peer)) return false;
    this.#announce("up", { peer: link.peer, url: link.url });
    this.#drain();
    return true;
  }

  /** A link's connection has ended: what it had not heard of goes to the front, in order. */
  _down(link, peer, reason) {
    const again = [...link.unacknowledged.values()];
    link.unacknowledged.clear();
    for (const entry of again.reverse()) this.#queueOf(entry).unshift(entry);
    // What is addressed to it waits for it from now on, however old it is.
    const queue = peer && this.#addressed.get(peer);
    if (queue) queue.awaySince = performance.now();
    if (peer) this.#announce("down", { peer, url: link.url, reason });
    this.#drain();
  }

  _change() {
    this.dispatchEvent(new Event("change"));
    this.#waiting = this.#waiting.filter((waiting) => !waiting.holds() || waiting.resolve());
  }

  /** A message has come. */
  _deliver(link, payload, id) {
    const key = id && link.peer + id;
    if (key && this.#handled.has(key)) return link.ack(id);
    if (key && this.#inHand.has(key)) return;
    if (this.#inbox.length >= this.options.maxInboxMessages) {
      // Without an acknowledgement the sender sends it again.
      this.stats.dropped += id ? 0 : 1;
      return;
    }
    if (key && this.options.dedupe) this.#inHand.add(key);
    this.stats.received += 1;
    const message = new Message(this, link, payload, id);
    const reader = this.#readers.shift();
    if (reader) reader({ done: false, value: message });
    else this.#inbox.push(message);
  }

  /** A message that wanted an acknowledgement is handled, or not. */
  _settle(link, peer, id, handled) {
    const key = peer + id;
    this.#inHand.delete(key);
    if (!handled) return;
    if (this.options.dedupe) this.#remember(key);
    // Another peer that answers there now did not send it.
    if (link.peer === peer) link.ack(id);
  }

  /** A link has room again, or may have. */
  _room() {
    this.#drain();
    this._change();
  }

  // --- inside

  #up() { return this.links.filter((link) => link.state === "up"); }

  #isDrained() { return this.outboxLength === 0 && this.unacknowledged === 0; }

  #announce(kind, detail) {
    this.dispatchEvent(new CustomEvent(kind, { detail }));
    this._change();
  }

  #wait(holds) {
    return new Promise((resolve, reject) => {
      if (holds()) resolve();
      else this.#waiting.push({ holds, resolve, reject });
    });
  }

  #next() {
    const value = this.#inbox.shift();
    if (value) return Promise.resolve({ done: false, value });
    if (this.#closing) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => this.#readers.push(resolve));
  }

  #enqueue(mode, data, delivery, peer) {
    const entry = { mode, peer, since: performance.now() };
    const done = new Promise((resolve, reject) => Object.assign(entry, { resolve, reject }));
    // Whoever does not wait for it is not told either.
    done.catch(() => {});
    if (this.#closing) {
      entry.reject(new SendError("closed", "the socket is closed"));
    } else if (this.outboxLength >= this.options.maxOutboxMessages) {
      entry.reject(new SendError("full", "too many messages wait for a peer"));
    } else {
      try {
        const id = delivery === "at-least-once" && crypto.getRandomValues(new Uint8Array(ID_BYTES));
        entry.id = id ? hex(id) : undefined;
        entry.frame = id ? frame(DATA_REQ, id, bytes(data)) : frame(DATA, bytes(data));
      } catch (error) {
        entry.reject(error);
        return done;
      }
      entry.interval = this.options.resendTimeout;
      this.#queueOf(entry).push(entry);
      this.#drain();
    }
    return done;
  }

  #queueOf(entry) {
    if (entry.mode !== "peer") return this.#outbox;
    let queue = this.#addressed.get(entry.peer);
    if (!queue) this.#addressed.set(entry.peer, (queue = new Queue()));
    return queue;
  }

  /** Sends what can be sent, in order. */
  #drain() {
    const up = this.#up();
    let blocked = false;
    while (up.length && this.#outbox.length && !blocked) {
      const entry = this.#outbox.peek();
      const able = entry.id ? up.filter((link) => !isTooLarge(entry, link.peer)) : up;
      if (able.length === 0) {
        this.#giveUp(this.#outbox.shift());
        continue;
      }
      const links = entry.mode === "publish" ? this.#listeners(up) : this.#nextInTurn(able);
      blocked = links === undefined;
      if (!blocked) this.#outbox.shift();
      for (const link of links ?? []) link.send(entry);
      if (links) entry.mode === "publish" && entry.resolve();
    }
    for (const [peer, queue] of this.#addressed) {
      const link = up.find((link) => link.peer === peer);
      while (link?.hasRoom() && queue.length) {
        if (isTooLarge(queue.peek(), peer)) this.#giveUp(queue.shift());
        else link.send(queue.shift());
      }
      if (!queue.length) this.#addressed.delete(peer);
      blocked ||= Boolean(link && queue.length);
    }
    clearTimeout(this.#retry);
    if (blocked) this.#retry = setTimeout(() => this._room(), ROOM_MS);
  }

  /**
   * Everyone with room, once all others take nothing. Where nobody has room, nobody is held up by waiting. A copy needs no
   * place among the unacknowledged.
   */
  #listeners(up) {
    const now = performance.now();
    const full = up.filter((link) => !link.hasBytesLeft());
    const stalled = full.filter((link) => !link.takesSome(now));
    if (full.length > 0 && (full.length === up.length || stalled.length < full.length)) return undefined;
    this.stats.dropped += stalled.length;
    return up.filter((link) => !full.includes(link));
  }

  #giveUp(entry) {
    this.stats.dropped += 1;
    entry.reject(new SendError("too-large", "a message is above the frame limit of the peer"));
  }

  #nextInTurn(up) {
    for (let tried = 0; tried < up.length; tried += 1) {
      this.#turn = (this.#turn + 1) % up.length;
      if (up[this.#turn].hasRoom()) return [up[this.#turn]];
    }
    return undefined;
  }

  #remember(key) {
    this.#handled.delete(key);
    this.#handled.add(key);
    if (this.#handled.size > this.options.dedupe) this.#handled.delete(this.#handled.keys().next().value);
  }

  #tick() {
    const now = performance.now();
    // A page that slept has not read what came meanwhile: nobody is judged at the first tick.
    const awake = now - this.#lastTick < 4 * TICK_MS;
    this.#lastTick = now;
    for (const link of this.#links) link.tick(now, awake);
    for (const [peer, queue] of this.#addressed) {
      if (this.peers.includes(peer)) continue;
      while (queue.length && now - Math.max(queue.peek().since, queue.awaySince) > this.options.absenceGrace) {
        queue.shift().reject(new SendError("peer-gone", `${peer} is not connected`));
        this.stats.dropped += 1;
      }
      if (!queue.length) this.#addressed.delete(peer);
    }
    this._change();
  }
}

/** One connection to one bind end, made again whenever it ends. */
class Link {
  #socket; #webSocket; #parser; #timer; #upSince = 0; #lastIn = 0; #lastOut = 0; #began = 0;
  /** Bytes that were written, those of them that had left the browser's buffer when it was looked at, and since when. */
  #written = 0; #taken; #takenAt = 0;

  constructor(socket, url) {
    this.#socket = socket;
    this.url = url;
    this.state = "connecting";
    this.peer = undefined;
    /** Attempts since the last connection that lasted. */
    this.attempts = 0;
    /** When the next attempt is due, by `performance.now()`, while it waits. */
    this.retryAt = undefined;
    /** Entries that were sent and not acknowledged, by their ids. */
    this.unacknowledged = new Map();
    /** Messages that go one at a time, because one among them was too large for the peer. */
    this.careful = 0;
    this.#dial();
  }

  hasRoom() {
    const most = this.careful > 0 ? 1 : this.#socket.options.maxUnacknowledged;
    return this.hasBytesLeft() && this.unacknowledged.size < most;
  }

  hasBytesLeft() { return this.#webSocket.bufferedAmount < this.#socket.options.maxBufferedBytes; }

  /** True while it takes bytes out of the browser's buffer, and for as long as a publish has patience after that. */
  takesSome(now) {
    const taken = this.#written - this.#webSocket.bufferedAmount;
    if (taken !== this.#taken) {
      this.#taken = taken;
      this.#takenAt = now;
    }
    return now - this.#takenAt < this.#socket.options.publishPatience;
  }

  send(entry) {
    this.#write(entry.frame);
    this.#socket.stats.sent += 1;
    if (entry.id) {
      entry.sentAt = performance.now();
      this.unacknowledged.set(entry.id, entry);
    } else if (entry.mode !== "publish") {
      entry.resolve();
    }
  }

  ack(id) {
    if (this.state === "up") this.#write(frame(ACK, unhex(id)));
  }

  /** The network is back: no reason to wait. */
  hurry() {
    if (this.state !== "waiting") return;
    clearTimeout(this.#timer);
    this.#dial();
  }

  close() {
    clearTimeout(this.#timer);
    const peer = this.peer;
    this.#detach("closed")?.close(1000);
    if (peer) this.#socket._down(this, peer, "the socket was closed");
    for (const entry of this.unacknowledged.values()) entry.reject(new SendError("closed", "the socket is closed"));
  }

  tick(now, awake) {
    const { heartbeatTimeout, handshakeTimeout } = this.#socket.options;
    if (this.state === "connecting" && awake && now - this.#began > handshakeTimeout) {
      this.#end("the handshake took too long");
    }
    if (this.state !== "up") return;
    if (awake && now - this.#lastIn > heartbeatTimeout) return this.#end("the peer is silent");
    this.#beat(now);
    for (const entry of this.unacknowledged.values()) {
      if (now - entry.sentAt < entry.interval || this.#webSocket.bufferedAmount > 0) continue;
      // The same id, so that a receiver can tell; each time twice as patient.
      entry.interval = Math.min(2 * entry.interval, 60_000);
      entry.sentAt = now;
      this.#socket.stats.resent += 1;
      this.#write(entry.frame);
    }
  }

  #beat(now) {
    if (now - this.#lastOut >= this.#socket.options.heartbeatInterval) this.#write(frame(HEARTBEAT));
  }

  #dial() {
    this.#become("connecting");
    this.attempts += 1;
    this.#began = performance.now();
    this.#parser = new Parser();
    this.#written = 0;
    this.#taken = undefined;
    const webSocket = (this.#webSocket = new WebSocket(this.url));
    webSocket.binaryType = "arraybuffer";
    webSocket.onopen = () => this.#write(frame(HELLO, [VERSION], unhex(this.#socket.identity)));
    webSocket.onmessage = ({ data }) => this.#receive(data);
    webSocket.onclose = ({ code, reason }) => {
      if (code === TOO_LARGE) this.#findTooLarge();
      this.#end(reason || `the connection ended (${code})`);
    };
  }

  /** Something was too large for the peer: one of those that it has not acknowledged, most likely. */
  #findTooLarge() {
    const entries = [...this.unacknowledged.values()];
    if (entries.length > 1) {
      this.careful = entries.length;
    } else if (entries.length === 1) {
      const ends = (entries[0].tooLargeEnds ??= new Map());
      ends.set(this.peer, (ends.get(this.peer) ?? 0) + 1);
      if (isTooLarge(entries[0], this.peer)) this.#settled();
    }
  }

  /** What became of a message is known. */
  #settled() { this.careful = Math.max(0, this.careful - 1); }

  #write(bytes) {
    this.#webSocket.send(bytes);
    this.#written += bytes.length;
    this.#lastOut = performance.now();
    this.#socket.stats.bytesOut += bytes.length;
  }

  #receive(data) {
    if (typeof data === "string") return this.#end("a text message", 1003);
    this.#socket.stats.bytesIn += data.byteLength;
    this.#parser.push(new Uint8Array(data));
    const { maxFrameBytes } = this.#socket.options;
    const webSocket = this.#webSocket;
    // A handler of "up" may close the socket, and a new connection has another parser.
    while (this.#webSocket === webSocket && (this.state === "connecting" || this.state === "up")) {
      const envelope = this.#parser.next(this.state === "up" ? maxFrameBytes : MAX_HELLO_BYTES);
      if (envelope === undefined) break;
      if (envelope === null) return this.#end("a frame over the limit", 1009);
      this.#lastIn = performance.now();
      if (this.state === "up") this.#handle(envelope);
      else this.#greet(envelope);
    }
    // Timers of a hidden page are rare; messages are not.
    if (this.state === "up") this.#beat(performance.now());
  }

  #greet(envelope) {
    if (envelope.length < 2 + ID_BYTES || envelope[0] !== HELLO) return this.#end("no HELLO", 1002);
    if (envelope[1] !== VERSION) return this.#end(`version ${envelope[1]} of the protocol`, 1002);
    this.peer = hex(envelope.subarray(2, 2 + ID_BYTES));
    this.#upSince = performance.now();
    this.state = "up";
    const admitted = this.peer !== this.#socket.identity && this.#socket._up(this);
    if (!admitted) {
      this.peer = undefined;
      this.#end("the peer is connected already", 1000);
    }
  }

  #handle(envelope) {
    const body = envelope.subarray(1);
    switch (envelope[0]) {
      case DATA:
        return this.#socket._deliver(this, body);
      case DATA_REQ:
        if (body.length < ID_BYTES) return;
        return this.#socket._deliver(this, body.subarray(ID_BYTES), hex(body.subarray(0, ID_BYTES)));
      case ACK: {
        if (body.length < ID_BYTES) return;
        const id = hex(body.subarray(0, ID_BYTES));
        const entry = this.unacknowledged.get(id);
        if (!entry) return;
        this.unacknowledged.delete(id);
        this.#settled();
        this.#socket.stats.acknowledged += 1;
        if (entry.refused === undefined) entry.resolve();
        else entry.reject(new SendError("refused", `the peer did not handle a message: ${entry.refused}`));
        return this.#socket._room();
      }
      case REFUSED: {
        const entry = body[0] === 1 && body.length > 1 + ID_BYTES
          && this.unacknowledged.get(hex(body.subarray(1, 1 + ID_BYTES)));
        if (entry) entry.refused = REFUSALS[body[1 + ID_BYTES]] ?? "for a reason of its own";
        return;
      }
      // HEARTBEAT, a second HELLO, and what later versions add.
    }
  }

  /** Gives the connection up, and makes another after a while. */
  #end(reason, code = 1000) {
    const peer = this.peer;
    if (peer && performance.now() - this.#upSince > 1_000) this.attempts = 0;
    const webSocket = this.#detach("waiting");
    // Codes below 3000, 1000 apart, are not a page's to send.
    webSocket?.close(code === 1000 ? 1000 : 3000 + (code % 1000), reason.slice(0, 100));
    this.reason = reason;
    const [first, most] = this.#socket.options.reconnect;
    const delay = Math.random() * Math.min(most, first * 2 ** Math.min(Math.max(this.attempts - 1, 0), 20));
    this.retryAt = performance.now() + delay;
    this.#timer = setTimeout(() => this.#dial(), delay);
    this.#socket._down(this, peer, reason);
  }

  #detach(state) {
    const webSocket = this.#webSocket;
    if (webSocket) webSocket.onopen = webSocket.onmessage = webSocket.onclose = null;
    this.peer = undefined;
    this.#parser = undefined;
    this.#become(state);
    return webSocket;
  }

  #become(state) {
    this.state = state;
    this.retryAt = undefined;
    this.#socket._change();
  }
}

/** Finds frames in chunks that begin and end anywhere. */
class Parser {
  #chunks = []; #length = 0;

  push(chunk) {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#length += chunk.length;
  }

  /** The next envelope; `undefined` until it is whole, `null` if it is announced over the limit. */
  next(limit) {
    if (this.#length < 4) return undefined;
    if (this.#chunks[0].length < 4) this.#chunks = [this.#joined()];
    const first = this.#chunks[0];
    const length = new DataView(first.buffer, first.byteOffset).getUint32(0);
    if (length > limit) return null;
    if (this.#length < 4 + length) return undefined;
    // Joined once and not at every chunk; memory is taken only for what has come.
    const all = first.length < 4 + length ? this.#joined() : first;
    if (all !== first) this.#chunks = [all];
    this.#chunks[0] = all.subarray(4 + length);
    if (this.#chunks[0].length === 0) this.#chunks.shift();
    this.#length -= 4 + length;
    // A malformed empty envelope has no type that anybody knows.
    return length === 0 ? new Uint8Array(1) : all.subarray(4, 4 + length);
  }

  #joined() {
    const all = new Uint8Array(this.#length);
    let at = 0;
    for (const chunk of this.#chunks) {
      all.set(chunk, at);
      at += chunk.length;
    }
    return all;
  }
}

/** First in, first out, with a way back to the front. */
class Queue {
  #items = []; #head = 0;
  /** When the peer went that its messages are addressed to, if it did. */
  awaySince = 0;

  get length() { return this.#items.length - this.#head; }
  peek() { return this.#items[this.#head]; }
  push(item) { this.#items.push(item); }

  unshift(item) {
    if (this.#head > 0) this.#items[--this.#head] = item;
    else this.#items.unshift(item);
  }

  shift() {
    if (this.length === 0) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head++] = undefined;
    if (this.#head > 1_000 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }
}

/** True if a message at least once was found to be above the frame limit of a peer. */
function isTooLarge(entry, peer) { return (entry.tooLargeEnds?.get(peer) ?? 0) >= TOO_LARGE_ENDS; }

/** One frame: the length of what follows it, its type, its body in parts. */
function frame(type, ...parts) {
  const length = parts.reduce((sum, part) => sum + part.length, 1);
  const bytes = new Uint8Array(4 + length);
  new DataView(bytes.buffer).setUint32(0, length);
  bytes[4] = type;
  let at = 5;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Text as UTF-8, buffers as they are, anything else as JSON. */
function bytes(data) {
  if (data instanceof Uint8Array) return data;
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return encoder.encode(typeof data === "string" ? data : json(data));
}

/** A value as JSON; of what JSON would make nothing or `{}`, a `TypeError` says what is sent in its place. */
function json(value) {
  const remedy = REMEDIES[Object.prototype.toString.call(value).slice("[object ".length, -1)];
  if (remedy) throw new TypeError(remedy);
  const text = JSON.stringify(value);
  if (text === undefined) throw new TypeError("text, bytes, or what JSON can say is sent: undefined, functions and symbols are not");
  return text;
}

function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function unhex(text) {
  return Uint8Array.from(text.match(/../g), (pair) => parseInt(pair, 16));
}
