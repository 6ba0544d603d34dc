// WebSocket over HTTP/2 (RFC 8441): Node's own HTTP/2 opens the streams, and npm `ws` speaks on them.
//
//     node websocket_http2.mjs BASE_URL
//
// The server runs in development mode or its equal.

import assert from 'node:assert/strict';
import http2 from 'node:http2';
import process from 'node:process';
import { once } from 'node:events';
import { Counts, PATIENCE_MS, within } from './judge.mjs';
import { Socket, prose } from './socket.mjs';
import { WebSocket } from './wharf.mjs';

const [base] = process.argv.slice(2);
const ADDRESS = '/connection/websocket';
const counts = new Counts();

/** A connection of its own, once the server's SETTINGS have come. */
async function connected() {
  // The certificates of tests are signed by nobody.
  const session = http2.connect(base, { rejectUnauthorized: false });
  await within(once(session, 'remoteSettings'), 'the SETTINGS of the server');
  return session;
}

/** Asks for a WebSocket; the stream and the headers of the answer. */
async function ask(session, headers = {}) {
  const stream = session.request({
    ':method': 'CONNECT',
    ':protocol': 'websocket',
    ':path': ADDRESS,
    'sec-websocket-version': '13',
    ...headers,
  });
  const [answer] = await within(once(stream, 'response'), 'the answer');
  return { stream, answer };
}

/** An open WebSocket: the package reads and writes the frames on the stream, in the role of a client. */
async function opened(session, headers = {}) {
  const { stream, answer } = await ask(session, headers);
  assert.equal(answer[':status'], 200);
  // Without an address the package takes no defaults, and without this one waits 1 ms for the answer to its close.
  const ws = new WebSocket(null, undefined, { closeTimeout: PATIENCE_MS });
  ws._isServer = false; // Without an address the package takes itself for a server.
  const socket = new Socket(ws);
  ws.setSocket(stream, Buffer.alloc(0), { allowSynchronousEvents: true, maxPayload: 1 << 20 });
  return { socket, stream, answer };
}

/** The replies and pushes to come, without pings. */
async function hear(socket) {
  for (;;) {
    const message = JSON.parse(await socket.next());
    if (Object.keys(message).length > 0) return message;
  }
}

async function asks(socket, command) {
  socket.ws.send(JSON.stringify(command));
  return hear(socket);
}

async function subscribed(session, channel) {
  const { socket } = await opened(session);
  assert.ok((await asks(socket, { id: 1, connect: {} })).connect.client);
  assert.ok((await asks(socket, { id: 2, subscribe: { channel } })).subscribe);
  return socket;
}

/** An ordinary request on the same connection: status and body. */
async function request(session, headers, body) {
  const stream = session.request(headers);
  stream.setEncoding('utf8');
  stream.end(body);
  const [answer] = await within(once(stream, 'response'), 'the answer');
  let text = '';
  for await (const piece of stream) text += piece;
  return { status: answer[':status'], headers: answer, text };
}

const publish = (session, channel, data) => (
  request(session, { ':method': 'POST', ':path': '/api/publish' }, JSON.stringify({ channel, data }))
);

const CHECKS = {
  'the SETTINGS say that WebSocket may be asked for': async (session) => {
    assert.equal(session.remoteSettings.enableConnectProtocol, true);
  },
  'a subprotocol is chosen, and the answer has no header of an upgrade': async (session) => {
    const { stream, answer } = await opened(session, { 'sec-websocket-protocol': 'other, centrifuge-json' });
    assert.equal(answer['sec-websocket-protocol'], 'centrifuge-json');
    for (const header of ['sec-websocket-accept', 'upgrade', 'connection', 'content-length']) {
      assert.ok(!(header in answer), header);
    }
    stream.close();
  },
  'messages of every length come whole': async (session) => {
    const socket = await subscribed(session, 'lengths');
    for (const length of [0, 1, 125, 126, 16_383, 16_384, 16_385, 40_000, 65_000]) {
      const data = prose(length);
      assert.deepEqual(await asks(socket, { id: 3, rpc: { method: 'echo', data } }), { id: 3, rpc: { data } });
    }
    assert.equal((await socket.close(1000)).code, 1000);
  },
  'a hundred commands at once are answered in their order': async (session) => {
    const socket = await subscribed(session, 'order');
    const data = prose(2_000);
    for (let id = 3; id < 103; id += 1) socket.ws.send(JSON.stringify({ id, rpc: { method: 'echo', data } }));
    for (let id = 3; id < 103; id += 1) assert.equal((await hear(socket)).id, id);
    await socket.close(1000);
  },
  'pings are answered': async (session) => {
    const { socket } = await opened(session);
    await socket.pongs('still there?');
    await socket.close(1000);
  },
  'several meet in a channel beside requests, and each ends alone': async (session) => {
    const sockets = [];
    for (let at = 0; at < 5; at += 1) sockets.push(await subscribed(session, 'meeting'));
    while (sockets.length > 0) {
      const said = `to ${sockets.length}`;
      assert.equal((await publish(session, 'meeting', said)).status, 200);
      for (const socket of sockets) assert.equal((await hear(socket)).push.pub.data, said);
      assert.equal((await sockets.pop().close(4_000, 'done')).code, 4_000);
    }
  },
  'a close of the server tells its code and reason': async (session) => {
    const { socket } = await opened(session);
    const { client } = (await asks(socket, { id: 1, connect: {} })).connect;
    const body = JSON.stringify({ user: '', client });
    assert.equal((await request(session, { ':method': 'POST', ':path': '/api/disconnect' }, body)).status, 200);
    assert.deepEqual(await socket.end(), { code: 3503, reason: 'force disconnect' });
  },
  'a reset ends one WebSocket and leaves its sibling': async (session) => {
    const [stays, { stream }] = [await subscribed(session, 'resets'), await opened(session)];
    stream.on('error', () => {});
    stream.close(http2.constants.NGHTTP2_CANCEL);
    await within(once(stream, 'close'), 'the end of the stream');
    await publish(session, 'resets', 'still here');
    assert.equal((await hear(stays)).push.pub.data, 'still here');
    await stays.close(1000);
  },
  'a frame that is not masked is refused with 1002': async (session) => {
    const { socket, stream } = await opened(session);
    stream.write(Buffer.from([0x81, 0x02, 0x7b, 0x7d]));
    assert.equal((await socket.end()).code, 1002);
  },
  'wrong requests are told what would be right': async (session) => {
    for (const [headers, status, mend] of [
      [{ 'sec-websocket-version': '12' }, 400, /Sec-WebSocket-Version: 13/],
      [{ ':protocol': 'connect-udp' }, 501, /:protocol websocket/],
      [{ ':path': '/nowhere' }, 404, /lists the addresses/],
      [{ ':path': '/events' }, 405, /GET/],
      [{ origin: 'https://evil.example' }, 403, /allowed_origins/],
    ]) {
      const { stream, answer } = await ask(session, headers);
      assert.equal(answer[':status'], status);
      let text = '';
      stream.setEncoding('utf8');
      for await (const piece of stream) text += piece;
      assert.match(text, mend);
    }
    assert.equal((await request(session, { ':path': ADDRESS })).status, 405);
  },
};

for (const [name, check] of Object.entries(CHECKS)) {
  await counts.check(name, async () => {
    const session = await connected();
    try {
      await check(session);
    } finally {
      session.destroy();
    }
  });
}
counts.end();
