// What the JavaScript judges share: the foreign packages, a client over any transport whose wire can be watched
// and cut, and the server API.
//
// The packages lie in the folder that WHARF_JUDGES_JS names (`cargo xtask test` installs them there).

import http from 'node:http';
import path from 'node:path';
import process from 'node:process';
import { createRequire } from 'node:module';

const folder = process.env.WHARF_JUDGES_JS;
if (!folder) {
  console.error('WHARF_JUDGES_JS is not set: run `cargo xtask test`, which installs the packages and sets it');
  process.exit(2);
}
const require = createRequire(path.join(path.resolve(folder), 'package.json'));
export const { Centrifuge } = require('centrifuge');
export const { WebSocket, WebSocketServer } = require('ws');
export const EventSource = require('eventsource');
// Version 2 takes over the id of a block before the block's end, and keeps the data of a block that was cut off.
export const { EventSource: StandardEventSource } = require('eventsource-by-the-standard');

/** The driver of browsers; loaded by the suite that asks for it. */
export const { chromium } = require('playwright-core');

/** A file of a package. */
export function packageFile(name) {
  return path.join(path.resolve(folder), 'node_modules', name);
}

export const TRANSPORTS = ['websocket', 'http_stream', 'sse'];

const decoder = new TextDecoder();

/** Counts the pings and pongs among messages joined by line ends. */
function countEmpty(text) {
  return text.split('\n').filter((line) => line.trim() === '{}').length;
}

/**
 * The wire of one client: counts pings and pongs, and cuts connections without any closing words.
 * It stands below the SDK, in the place of the browser's WebSocket, fetch and EventSource.
 */
export class Wire {
  constructor() {
    this.pings = 0;
    this.pongs = 0;
    this.onPing = () => {};
    this.cuts = new Set();
  }

  /** Drops every open connection of the client: no close frame, no end of body. */
  cut() {
    for (const cut of this.cuts) cut();
    this.cuts.clear();
  }

  received(text) {
    const pings = countEmpty(text);
    this.pings += pings;
    if (pings > 0) this.onPing();
  }

  sent(text) {
    this.pongs += countEmpty(text);
  }

  websocket() {
    const wire = this;
    return class extends WebSocket {
      constructor(...options) {
        super(...options);
        const cut = () => this.terminate();
        wire.cuts.add(cut);
        this.on('message', (data, binary) => { if (!binary) wire.received(data.toString()); });
        this.on('close', () => wire.cuts.delete(cut));
      }

      send(data, ...options) {
        if (typeof data === 'string') wire.sent(data);
        super.send(data, ...options);
      }
    };
  }

  fetch() {
    return async (url, options) => {
      if (url.endsWith('/emulation')) {
        this.sent(JSON.parse(options.body).data);
        return fetch(url, options);
      }
      const own = new AbortController();
      const cut = () => own.abort(new Error('cut'));
      this.cuts.add(cut);
      const signal = AbortSignal.any([own.signal, options.signal]);
      const response = await fetch(url, { ...options, signal });
      const watch = new TransformStream({
        transform: (chunk, controller) => {
          this.received(decoder.decode(chunk, { stream: true }));
          controller.enqueue(chunk);
        },
        flush: () => { this.cuts.delete(cut); },
      });
      const body = response.body?.pipeThrough(watch);
      return new Response(body, { status: response.status, headers: response.headers });
    };
  }

  eventsource() {
    const wire = this;
    return class extends EventSource {
      constructor(...options) {
        super(...options);
        // The package has no way to drop its socket, so each one gets an agent of its own to find it by.
        wire.cuts.add(() => destroySockets(wire.agent));
      }

      emit(name, event) {
        if (name === 'message') wire.received(event.data);
        return super.emit(name, event);
      }
    };
  }
}

function destroySockets(agent) {
  for (const sockets of Object.values(agent.sockets)) for (const socket of sockets) socket.destroy();
}

/**
 * Makes a client, not connected yet, that tries each transport of a comma-separated list until one gets through.
 * `options` are the SDK's.
 */
export function makeClient(transports, base, wire, options = {}) {
  const endpoints = transports.split(',').map((transport) => {
    const scheme = transport === 'websocket' ? base.replace(/^http/, 'ws') : base;
    return { transport, endpoint: `${scheme}/connection/${transport}` };
  });
  if (endpoints.some(({ transport }) => transport === 'sse')) {
    wire.agent = new http.Agent();
    options = { ...options, eventsource: bindAgent(wire) };
  }
  return new Centrifuge(endpoints, {
    websocket: wire.websocket(),
    fetch: wire.fetch(),
    readableStream: ReadableStream,
    emulationEndpoint: `${base}/emulation`,
    minReconnectDelay: 20,
    maxReconnectDelay: 200,
    ...options,
  });
}

/** EventSource asks `http.request` for its connection; it takes an agent only from the process's default. */
function bindAgent(wire) {
  const Watched = wire.eventsource();
  return class extends Watched {
    constructor(url, options) {
      const before = http.globalAgent;
      http.globalAgent = wire.agent;
      try {
        super(url, options);
      } finally {
        http.globalAgent = before;
      }
    }
  };
}

/** Calls the server API; the promise is the result, or fails with the error. */
export async function api(base, key, method, parameters) {
  const headers = { 'Content-Type': 'application/json' };
  if (key) headers['X-API-Key'] = key;
  const response = await fetch(`${base}/api/${method}`, {
    method: 'POST', headers, body: JSON.stringify(parameters),
  });
  if (!response.ok) throw new Error(`/api/${method}: HTTP ${response.status}`);
  const reply = await response.json();
  if (reply.error) throw Object.assign(new Error(reply.error.message), { code: reply.error.code });
  return reply.result;
}
