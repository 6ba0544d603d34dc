// A page in a real browser, headless Chromium, driven by npm `playwright-core`.
//
//   node browser_suite.mjs SERVER_URL ECHO_URL PAGE_URL STRANGE_URL
//
// SERVER_URL is of a server, on whose port is TLS as well, that takes pages of PAGE_URL's origin, and no others, such as those of STRANGE_URL; ECHO_URL
// is of the example `websocket_echo`, which takes all. All as http://, and both compress.
//
// Each check has a browser tab of its own, with a page of PAGE_URL. What stands in `page.evaluate` runs in the page.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { Counts, PATIENCE_MS, within } from './judge.mjs';
import { chromium, packageFile } from './wharf.mjs';

const [server, echo, pages, strange] = process.argv.slice(2);
if (!strange) {
  console.error('usage: browser_suite.mjs SERVER_URL ECHO_URL PAGE_URL STRANGE_URL');
  process.exit(2);
}
const ECHO = echo.replace('http', 'ws');
const SERVER = `${server.replace('http', 'ws')}/connection/websocket`;
// The same port speaks TLS, and by it HTTP/2.
const secure = server.replace('http:', 'https:');
const SECURE = `${secure.replace('https', 'wss')}/connection/websocket`;

/** What keeps the browser to the addresses of this suite, and off everything it would do beside them. */
const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--ignore-certificate-errors',
];

function executable(name) {
  const found = process.env.PATH.split(':').map((folder) => path.join(folder, name)).find((file) => fs.existsSync(file));
  if (!found) throw new Error(`${name} is not installed; run \`cargo xtask test\``);
  return found;
}

/** Runs in the page before its own scripts: a WebSocket whose messages one awaits. */
function install(patienceMs) {
  const within = (promise, what) => Promise.race([promise, new Promise((_, reject) => {
    setTimeout(() => reject(new Error(`waited ${patienceMs} ms for ${what}`)), patienceMs);
  })]);

  /** What comes waits until it is asked for. */
  class Inbox {
    constructor() {
      this.waiting = [];
      this.wanted = [];
    }

    put(thing) {
      const wanted = this.wanted.shift();
      if (wanted) wanted(thing);
      else this.waiting.push(thing);
    }

    next(what = 'a message') {
      if (this.waiting.length > 0) return this.waiting.shift();
      return within(new Promise((resolve) => { this.wanted.push(resolve); }), what);
    }
  }

  class Socket extends Inbox {
    constructor(url, protocols) {
      super();
      this.ws = new WebSocket(url, protocols);
      this.ws.binaryType = 'arraybuffer';
      this.ws.onmessage = ({ data }) => this.put(data);
      this.opened = new Promise((resolve) => { this.ws.onopen = () => resolve('open'); });
      this.failed = new Promise((resolve) => { this.ws.onerror = () => resolve('error'); });
      this.closed = new Promise((resolve) => {
        this.ws.onclose = ({ code, reason, wasClean }) => resolve({ code, reason, wasClean });
      });
    }

    static async open(url, protocols = []) {
      const socket = new Socket(url, protocols);
      const outcome = await within(Promise.race([socket.opened, socket.failed]), 'the handshake');
      if (outcome === 'error') throw new Error(`the handshake failed: ${JSON.stringify(await socket.end())}`);
      return socket;
    }

    end() {
      return within(this.closed, 'the close');
    }

    close(code, reason) {
      this.ws.close(code, reason);
      return this.end();
    }

    /** Sends it, and says whether the same came back. */
    async echoes(message) {
      this.ws.send(message);
      const came = await this.next();
      if (typeof message === 'string') return came === message;
      const [one, two] = [new Uint8Array(came), new Uint8Array(message)];
      return came instanceof ArrayBuffer && one.length === two.length && one.every((byte, at) => byte === two[at]);
    }

    /** Says a command of the Centrifuge protocol; the next message. */
    async ask(command) {
      this.ws.send(JSON.stringify(command));
      return JSON.parse(await this.next());
    }

    static async session(url, channel) {
      const socket = await Socket.open(url, ['centrifuge-json']);
      await socket.ask({ id: 1, connect: {} });
      if (channel) await socket.ask({ id: 2, subscribe: { channel } });
      return socket;
    }
  }
  Object.assign(globalThis, { Inbox, Socket, within });
}

const CHECKS = {
  async 'text, binary and nothing come back, up to a megabyte'(page) {
    const lost = await page.evaluate(async (url) => {
      const socket = await Socket.open(url);
      const lost = [];
      for (const length of [0, 1, 125, 126, 65_535, 65_536, 1_000_000]) {
        const bytes = new Uint8Array(length).map((_, at) => (at * 31 + (at >> 8)) & 255);
        if (!await socket.echoes('é🚢x'.repeat(length).slice(0, length).toWellFormed())) lost.push(`${length} of text`);
        if (!await socket.echoes(bytes.buffer)) lost.push(`${length} of binary`);
      }
      await socket.close(1000);
      return lost;
    }, ECHO);
    assert.deepEqual(lost, []);
  },

  async 'hundreds of messages at once come back in their order'(page) {
    const came = await page.evaluate(async (url) => {
      const socket = await Socket.open(url);
      for (let n = 0; n < 500; n += 1) socket.ws.send(`${n} ${'x'.repeat(n)}`);
      const came = [];
      for (let n = 0; n < 500; n += 1) came.push(parseInt(await socket.next(), 10));
      return came;
    }, ECHO);
    assert.deepEqual(came, Array.from({ length: 500 }, (_, n) => n));
  },

  async 'every close that a page may ask for is answered with itself'(page) {
    const closes = await page.evaluate(async (url) => {
      const closes = [];
      for (const code of [1000, 3000, 4999]) {
        const socket = await Socket.open(url);
        closes.push(await socket.close(code, '🚢'.repeat(30)));
      }
      const socket = await Socket.open(url);
      closes.push(await socket.close());
      return closes;
    }, ECHO);
    assert.deepEqual(closes.map(({ code }) => code), [1000, 3000, 4999, 1005]);
    assert.ok(closes.every(({ wasClean }) => wasClean), 'a close was not clean');
  },

  async 'the server closes with a code and reason that the page sees'(page) {
    const close = await page.evaluate(async (url) => {
      const socket = await Socket.session(url);
      socket.ws.send('{"id":9,"connect":{}}');
      return socket.end();
    }, SERVER);
    assert.deepEqual(close, { code: 3501, reason: 'connect was sent twice', wasClean: true });
  },

  async 'the offer of compression is agreed to, and what is compressed comes back'(page) {
    const handshake = await watchHandshake(page);
    const [extensions, kept] = await page.evaluate(async (url) => {
      const socket = await Socket.open(url);
      const text = 'all ships dock at the same wharf, '.repeat(1_000);
      const kept = [];
      for (const message of [text, text, 'x', '', text]) kept.push(await socket.echoes(message));
      return [socket.ws.extensions, kept];
    }, ECHO);
    assert.deepEqual(kept, [true, true, true, true, true]);
    const { request } = await handshake();
    assert.match(header(request, 'Sec-WebSocket-Extensions'), /^permessage-deflate; client_max_window_bits$/);
    assert.match(extensions, /^permessage-deflate/);
  },

  async 'a subprotocol that the server speaks is chosen, another is none'(page) {
    const [chosen, failed] = await page.evaluate(async (url) => {
      const socket = await Socket.open(url, ['chat', 'centrifuge-json']);
      return [socket.ws.protocol, await Socket.open(url, ['chat']).catch(() => 'failed')];
    }, SERVER);
    assert.equal(chosen, 'centrifuge-json');
    // The WebSocket standard: a page that asked for a subprotocol and got none has no connection.
    assert.equal(failed, 'failed');
  },

  async 'a page of another origin is refused with 403, by WebSocket and by HTTP'(page) {
    await page.goto(strange);
    const handshake = await watchHandshake(page);
    const [close, events, stream] = await page.evaluate(async ([url, base]) => {
      const socket = new Socket(url);
      const source = new EventSource(`${base}/events?channel=news`);
      const events = new Promise((resolve) => {
        source.onopen = () => resolve('open');
        source.onerror = () => resolve(source.readyState);
      });
      const stream = fetch(`${base}/connection/http_stream`, { method: 'POST', body: '{"id":1,"connect":{}}' });
      return [await socket.end(), await within(events, 'the event stream'), await stream.then(() => 'open', () => 'failed')];
    }, [SERVER, server]);
    assert.deepEqual(close, { code: 1006, reason: '', wasClean: false });
    assert.equal(events, 2, 'EventSource gives up where it is not allowed');
    assert.equal(stream, 'failed');
    assert.match((await handshake()).error, /403/);
  },

  async 'WebSocket, EventSource and a streaming fetch meet in one channel'(page) {
    const heard = await page.evaluate(async ([url, base]) => {
      const socket = await Socket.session(url, 'together');
      const events = new Inbox();
      const source = new EventSource(`${base}/events?channel=together`);
      source.onmessage = ({ data }) => events.put(JSON.parse(data));
      await within(new Promise((resolve) => { source.onopen = resolve; }), 'the event stream');
      const commands = '{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"together"}}';
      const { body } = await fetch(`${base}/connection/http_stream`, { method: 'POST', body: commands });
      const reader = body.pipeThrough(new TextDecoderStream()).getReader();
      let text = '';
      const line = async () => {
        while (!text.includes('\n')) {
          const { value, done } = await within(reader.read(), 'the stream');
          if (done) throw new Error('the stream ended');
          text += value;
        }
        const [first] = text.split('\n', 1);
        text = text.slice(first.length + 1);
        return first === '{}' || first === '' ? line() : JSON.parse(first);
      };
      while ((await line()).id !== 2);
      const heard = { socket: [], events: [], stream: [] };
      for (const n of [1, 2, 3]) {
        socket.ws.send(JSON.stringify({ id: 10 + n, publish: { channel: 'together', data: { n } } }));
        heard.events.push((await events.next('an event')).n);
        heard.stream.push((await line()).push.pub.data.n);
      }
      while (heard.socket.length < 3) {
        for (const message of (await socket.next()).split('\n')) {
          const { push } = JSON.parse(message);
          if (push) heard.socket.push(push.pub.data.n);
        }
      }
      source.close();
      return heard;
    }, [SERVER, server]);
    assert.deepEqual(heard, { socket: [1, 2, 3], events: [1, 2, 3], stream: [1, 2, 3] });
  },

  async 'the JavaScript SDK meets itself over each of its transports'(page) {
    await page.addScriptTag({ path: packageFile('centrifuge/dist/centrifuge.js') });
    const heard = await page.evaluate(async (base) => {
      const members = [];
      for (const transport of ['websocket', 'http_stream', 'sse']) {
        const scheme = transport === 'websocket' ? base.replace('http', 'ws') : base;
        const client = new Centrifuge([{ transport, endpoint: `${scheme}/connection/${transport}` }], {
          emulationEndpoint: `${base}/emulation`,
        });
        const subscription = client.newSubscription('sdk');
        const inbox = new Inbox();
        subscription.on('publication', ({ data }) => inbox.put(data));
        const subscribed = new Promise((resolve) => subscription.on('subscribed', resolve));
        const connected = new Promise((resolve) => client.on('connected', resolve));
        subscription.subscribe();
        client.connect();
        await within(subscribed, `the subscription over ${transport}`);
        members.push({ name: (await connected).transport, subscription, inbox });
      }
      const heard = {};
      for (const { name, subscription } of members) await subscription.publish(`from ${name}`);
      for (const { name, inbox } of members) {
        heard[name] = [await inbox.next(), await inbox.next(), await inbox.next()];
      }
      return heard;
    }, server);
    const all = ['from websocket', 'from http_stream', 'from sse'];
    assert.deepEqual(heard, { websocket: all, http_stream: all, sse: all });
  },

  async 'WebSocket over HTTP/2 carries a session beside requests, on one connection'(page) {
    const handshake = await watchHandshake(page);
    const said = await page.evaluate(async ([url, base]) => {
      // RFC 8441: a browser may ask for it where it has a connection whose server has said so.
      // With credentials, as a WebSocket has them: the two kinds of request share no connection.
      await fetch(`${base}/health`, { mode: 'no-cors', credentials: 'include' });
      const socket = await Socket.session(url, 'shared');
      const data = 'ships '.repeat(5_000);
      const { rpc } = await socket.ask({ id: 3, rpc: { method: 'echo', data } });
      const others = await Promise.all([1, 2, 3].map(async () => {
        const other = await Socket.session(url);
        return other.close(4000, 'bye');
      }));
      socket.ws.send('{"id":9,"connect":{}}');
      return { same: rpc.data === data, protocol: socket.ws.protocol, others, end: await socket.end() };
    }, [SECURE, secure]);
    const { response } = await handshake();
    assert.equal(response.status, 200, 'the handshake was not that of HTTP/2');
    assert.equal(said.same, true);
    assert.equal(said.protocol, 'centrifuge-json');
    assert.deepEqual(said.others.map(({ code, wasClean }) => [code, wasClean]), Array(3).fill([4000, true]));
    assert.deepEqual(said.end, { code: 3501, reason: 'connect was sent twice', wasClean: true });
  },

  async 'a page of another origin is refused over HTTP/2 too'(page) {
    await page.goto(strange);
    const handshake = await watchHandshake(page);
    const close = await page.evaluate(async ([url, base]) => {
      await fetch(`${base}/health`, { mode: 'no-cors', credentials: 'include' });
      return new Socket(url).end();
    }, [SECURE, secure]);
    assert.equal(close.code, 1006);
    assert.match((await handshake()).error, /403/);
  },

  async 'a page that is left is gone from the channel at once'(page) {
    const watcher = await page.context().newPage();
    await watcher.goto(pages);
    await watcher.evaluate(async (url) => {
      globalThis.socket = await Socket.session(url);
      await socket.ask({ id: 2, subscribe: { channel: 'left', join_leave: true } });
    }, SERVER);
    const client = await page.evaluate(async (url) => {
      globalThis.socket = await Socket.open(url);
      const { connect } = await socket.ask({ id: 1, connect: {} });
      await socket.ask({ id: 2, subscribe: { channel: 'left' } });
      return connect.client;
    }, SERVER);
    await page.goto('about:blank');
    const left = await watcher.evaluate(async () => {
      for (;;) {
        for (const message of (await socket.next('the leave')).split('\n')) {
          const { push } = JSON.parse(message);
          if (push?.leave) return push.leave.info.client;
        }
      }
    });
    assert.equal(left, client);
  },
};

/** Watches the page's next handshake on the wire, which a script in it cannot see; the function waits for it. */
async function watchHandshake(page) {
  const session = await page.context().newCDPSession(page);
  const seen = {};
  const done = new Promise((resolve) => {
    session.on('Network.webSocketWillSendHandshakeRequest', ({ request }) => { seen.request = request; });
    session.on('Network.webSocketHandshakeResponseReceived', ({ response }) => resolve({ ...seen, response }));
    session.on('Network.webSocketFrameError', ({ errorMessage }) => resolve({ ...seen, error: errorMessage }));
  });
  await session.send('Network.enable');
  return () => within(done, 'the handshake');
}

function header({ headers }, name) {
  return headers[Object.keys(headers).find((other) => other.toLowerCase() === name.toLowerCase())];
}

const browser = await chromium.launch({ executablePath: executable('chromium'), args: FLAGS });
const context = await browser.newContext();
await context.addInitScript(install, PATIENCE_MS);
const counts = new Counts();
for (const [name, check] of Object.entries(CHECKS)) {
  const page = await context.newPage();
  await counts.check(`${name}`, async () => {
    await page.goto(pages);
    await check(page);
  });
  await page.close();
}
await browser.close();
counts.end();
