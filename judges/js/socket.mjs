// One npm `ws` connection whose messages a check awaits, and the offers of compression that the package can make.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { within } from './judge.mjs';
import { WebSocket } from './wharf.mjs';

/** An open connection: what comes waits until a check asks for it. */
export class Socket {
  constructor(ws) {
    this.ws = ws;
    this.waiting = [];
    this.wanted = [];
    ws.on('message', (data, binary) => this.come(binary ? data : data.toString()));
    ws.on('close', (code, reason) => {
      this.closed = { code, reason: reason.toString() };
      for (const { reject } of this.wanted.splice(0)) reject(new Error(`closed: ${code} ${reason}`));
    });
  }

  /** Connects; fails if the handshake does. */
  static async open(url, protocols = [], options = {}) {
    const ws = new WebSocket(url, protocols, { perMessageDeflate: false, maxPayload: 32 << 20, ...options });
    const socket = new Socket(ws);
    ws.on('upgrade', ({ headers }) => { socket.headers = headers; });
    await within(once(ws, 'open'), 'the handshake');
    return socket;
  }

  come(message) {
    const wanted = this.wanted.shift();
    if (wanted) wanted.resolve(message);
    else this.waiting.push(message);
  }

  /** The next message: a string if it came as text, else a Buffer. */
  next() {
    if (this.waiting.length > 0) return this.waiting.shift();
    const message = new Promise((resolve, reject) => {
      if (this.closed) reject(new Error(`closed: ${this.closed.code} ${this.closed.reason}`));
      else this.wanted.push({ resolve, reject });
    });
    return within(message, 'a message');
  }

  /** Sends each message, and expects each back as it was, in their order. */
  async echoes(...messages) {
    for (const message of messages) this.ws.send(message);
    for (const message of messages) same(await this.next(), message);
  }

  /** Sends a ping, and expects its pong. */
  async pongs(payload) {
    const pong = once(this.ws, 'pong');
    this.ws.ping(payload);
    assert.deepEqual((await within(pong, 'a pong'))[0], Buffer.from(payload));
  }

  /** Waits for the end, whoever began it; its code and reason. */
  async end() {
    if (!this.closed) await within(once(this.ws, 'close'), 'the close');
    return this.closed;
  }

  /** Ends the connection; code and reason of the peer's close frame. */
  close(code, reason) {
    this.ws.close(code, reason);
    return this.end();
  }
}

/** Compares two messages, of any length, by content and kind. */
export function same(came, expected) {
  assert.equal(typeof came, typeof expected, 'text came as binary, or the other way round');
  const equal = typeof came === 'string' ? came === expected : came.equals(expected);
  assert.ok(equal, `${show(came)} came in the place of ${show(expected)}`);
}

function show(message) {
  const text = message.toString('latin1');
  return `${message.length} of ${JSON.stringify(text.slice(0, 40))}`;
}

/** Text of so many bytes that compresses well. */
export function prose(bytes) {
  return 'all ships dock at the same wharf, '.repeat(Math.ceil(bytes / 34)).slice(0, bytes);
}

/** Bytes that do not compress, the same ones in each run. */
export function noise(bytes) {
  const noise = Buffer.alloc(bytes);
  let state = 0x9e3779b9;
  for (let at = 0; at < bytes; at += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    noise[at] = state;
  }
  return noise;
}

/** The values that a window may be given; none is "not named". */
export const WINDOWS = [undefined, 9, 10, 11, 12, 13, 14, 15];

/** Every combination of the four parameters of permessage-deflate, as options of the package's. */
export function offers(clientWindows) {
  const all = [];
  for (const serverNoContextTakeover of [false, true]) {
    for (const clientNoContextTakeover of [false, true]) {
      for (const serverMaxWindowBits of WINDOWS) {
        for (const clientMaxWindowBits of clientWindows) {
          const offer = {
            serverNoContextTakeover: serverNoContextTakeover || undefined,
            clientNoContextTakeover: clientNoContextTakeover || undefined,
            serverMaxWindowBits,
            clientMaxWindowBits,
            threshold: 0,
          };
          all.push(offer);
        }
      }
    }
  }
  return all;
}

/** Messages that show whether two sides agree on compression: some repeat what came before them. */
export const COMPRESSIBLE = [
  prose(1_000), prose(1_000), '', 'x', Buffer.alloc(0), noise(3_000), Buffer.from(prose(40_000)), noise(20_000), prose(1_000),
];
