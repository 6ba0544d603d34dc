// npm `ws` as a client: what RFC 6455 and RFC 7692 ask of a server.
//
//   node websocket_client.mjs ECHO_URL SERVER_URL agreed|declined
//
// ECHO_URL is that of an example that echoes and compresses, SERVER_URL of a server in development mode; both as
// http://. Then it is said whether the server compresses.

import assert from 'node:assert/strict';
import process from 'node:process';
import { Counts } from './judge.mjs';
import { COMPRESSIBLE, Socket, noise, offers, prose } from './socket.mjs';

const [echo, server, compression] = process.argv.slice(2);
if (!['agreed', 'declined'].includes(compression)) {
  console.error('usage: websocket_client.mjs ECHO_URL SERVER_URL agreed|declined');
  process.exit(2);
}
const ECHO = echo.replace('http', 'ws');
const SERVER = `${server.replace('http', 'ws')}/connection/websocket`;

/** Codes that may stand in a close frame (RFC 6455 section 7.4), as far as the package sends them. */
const CODES = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999];

/** Around each change of a length's encoding (RFC 6455 section 5.2). */
const LENGTHS = [0, 1, 125, 126, 127, 65_535, 65_536, 1_000_000];

/** How many connections are open at a time. */
const AT_ONCE = 16;

/** Opens a connection, runs `use`, and ends it as one ought to. */
async function withEcho(options, use) {
  const socket = await Socket.open(ECHO, [], options);
  await use(socket);
  assert.deepEqual(await socket.close(1000), { code: 1000, reason: '' });
}

/** Connects and is a client of the server's own protocol. */
async function established(protocols, options) {
  const socket = await Socket.open(SERVER, protocols, options);
  socket.ws.send('{"id":1,"connect":{}}');
  assert.equal(JSON.parse(await socket.next()).id, 1);
  return socket;
}

async function asks(socket, command) {
  socket.ws.send(JSON.stringify(command));
  return JSON.parse(await socket.next());
}

const CHECKS = {
  'text and binary of every length come back': () => withEcho({}, async (socket) => {
    for (const length of LENGTHS) await socket.echoes(prose(length), noise(length));
  }),

  'text of many scripts comes back': () => withEcho({}, (socket) => (
    socket.echoes('Zoë 東京 🚢', '\u0000\u007f\u0080\u07ff\u0800\uffff\u{10000}\u{10ffff}', '🚢'.repeat(50_000))
  )),

  'a thousand messages at once come back in their order': () => withEcho({}, (socket) => (
    socket.echoes(...Array.from({ length: 1_000 }, (_, at) => `${at} ${prose(at)}`))
  )),

  'fragments are put together, with pings between them': () => withEcho({}, async (socket) => {
    const text = prose(3_000);
    for (let at = 0; at < text.length; at += 3) {
      socket.ws.send(text.slice(at, at + 3), { fin: at + 3 >= text.length });
      if (at % 600 === 0) await socket.pongs(String(at));
    }
    assert.equal(await socket.next(), text);
    const halves = [noise(500_000), noise(500_000)];
    socket.ws.send(halves[0], { fin: false });
    socket.ws.send('', { fin: false });
    socket.ws.send(halves[1], { fin: true });
    assert.ok((await socket.next()).equals(Buffer.concat(halves)));
  }),

  'fragments that split characters are put together': () => withEcho({}, async (socket) => {
    const text = Buffer.from('🚢東ë'.repeat(20));
    for (let at = 0; at < text.length; at += 1) {
      socket.ws.send(text.subarray(at, at + 1), { binary: false, fin: at + 1 === text.length });
    }
    assert.equal(await socket.next(), text.toString());
  }),

  'pings of every length are answered with their payload': () => withEcho({}, async (socket) => {
    for (let length = 0; length <= 125; length += 1) await socket.pongs(noise(length));
  }),

  'a pong that nobody asked for is passed over': () => withEcho({}, async (socket) => {
    socket.ws.pong('unasked');
    await socket.echoes('still there');
  }),

  'every close code that may be sent is answered with itself': async () => {
    for (const code of CODES) {
      for (const reason of ['', 'bye', '🚢'.repeat(30)]) {
        const socket = await Socket.open(ECHO);
        assert.equal((await socket.close(code, reason)).code, code);
      }
    }
  },

  'a close frame without a code is answered with one': async () => {
    const socket = await Socket.open(ECHO);
    assert.equal((await socket.close()).code, 1005);
  },

  'messages before a close are answered before it': async () => {
    const socket = await Socket.open(ECHO);
    socket.ws.send(prose(1_000_000));
    const end = socket.close(1001, 'going');
    assert.equal(await socket.next(), prose(1_000_000));
    assert.equal((await end).code, 1001);
  },

  'a mask is asked for with 1002': async () => {
    const socket = await Socket.open(ECHO);
    socket.ws.send('bare', { mask: false });
    const { code, reason } = await socket.end();
    assert.equal(code, 1002);
    assert.match(reason, /mask/);
  },

  'text that is no UTF-8 is refused with 1007': async () => {
    const socket = await Socket.open(ECHO);
    socket.ws.send(Buffer.from([0x7a, 0xc3, 0x28]), { binary: false });
    assert.equal((await socket.end()).code, 1007);
  },

  'a subprotocol that the server speaks is chosen, wherever it stands in the list': async () => {
    for (const offered of [['centrifuge-json'], ['chat', 'centrifuge-json'], ['centrifuge-json', 'mqtt']]) {
      const socket = await established(offered);
      assert.equal(socket.ws.protocol, 'centrifuge-json');
      await socket.close(1000);
    }
  },

  'a subprotocol that the server does not speak is not chosen': async () => {
    // The package, as browsers do, then ends the connection by itself.
    await assert.rejects(Socket.open(SERVER, ['chat', 'mqtt']), /Server sent no subprotocol/);
  },

  'commands of a session come whole, in fragments and beside pings': async () => {
    const socket = await established();
    const data = prose(60_000);
    assert.deepEqual(await asks(socket, { id: 2, rpc: { method: 'echo', data } }), { id: 2, rpc: { data } });
    const command = JSON.stringify({ id: 3, rpc: { method: 'echo', data: 'in parts' } });
    for (let at = 0; at < command.length; at += 1) {
      socket.ws.send(command[at], { fin: at + 1 === command.length });
    }
    assert.deepEqual(JSON.parse(await socket.next()), { id: 3, rpc: { data: 'in parts' } });
    await socket.pongs('between');
    assert.equal((await socket.close(4000, 'enough')).code, 4000);
  },

  'the server closes with its codes and reasons': async () => {
    const closed = async (act) => {
      const socket = await established();
      act(socket.ws);
      return socket.end();
    };
    const twice = await closed((ws) => ws.send('{"id":2,"connect":{}}'));
    assert.deepEqual(twice, { code: 3501, reason: 'connect was sent twice' });
    assert.deepEqual(await closed((ws) => ws.send('{"send":{"data":1}}')), { code: 3508, reason: 'not available' });
    const { code } = await closed((ws) => ws.send(prose(70_000)));
    assert.equal(code, 1009);
  },

  // Also through a proxy that ends everything when it hears one side end its half, while the message is being sent.
  'a message over the limit is refused with 1009': async () => {
    const socket = await Socket.open(ECHO);
    socket.ws.send(noise((16 << 20) + 1));
    assert.equal((await socket.end()).code, 1009);
  },

  'a foreign origin is refused with 403': () => (
    assert.rejects(Socket.open(SERVER, [], { origin: 'http://evil.example' }), /403/)
  ),
};

/** The parameters that the server has answered, by name; none if it has declined. */
function agreed({ headers }) {
  const answer = headers['sec-websocket-extensions'];
  if (answer === undefined) return undefined;
  const [name, ...parameters] = answer.split(';').map((part) => part.trim());
  assert.equal(name, 'permessage-deflate');
  return Object.fromEntries(parameters.map((parameter) => {
    const [key, value] = parameter.split('=');
    return [key, value === undefined ? true : Number(value)];
  }));
}

/** RFC 7692 section 7.1: what the answer to an offer must and may say. */
function fits(answer, offer) {
  const server = answer.server_max_window_bits ?? 15;
  assert.ok(server >= 8 && server <= (offer.serverMaxWindowBits ?? 15), `a window of ${server} to write with`);
  if (offer.serverNoContextTakeover) assert.equal(answer.server_no_context_takeover, true);
  const client = answer.client_max_window_bits;
  const most = offer.clientMaxWindowBits === true ? 15 : offer.clientMaxWindowBits;
  if (offer.clientMaxWindowBits === false) assert.equal(client, undefined, 'a window that was not offered');
  if (client !== undefined) assert.ok(client >= 8 && client <= most, `a window of ${client} to read with`);
}

/** Opens a connection with this offer, sees that the answer is a right one, and runs `use`. */
async function tryOffer(open, expected, offer, use) {
  try {
    const socket = await open(offer);
    const answer = agreed(socket);
    assert.equal(answer === undefined ? 'declined' : 'agreed', expected);
    if (answer) fits(answer, offer);
    await use(socket);
    assert.deepEqual(await socket.close(1000), { code: 1000, reason: '' });
  } catch (error) {
    throw new Error(`${JSON.stringify(offer)}: ${error.message}`, { cause: error });
  }
}

/** Makes the same check of every offer, some at a time. */
async function inTurn(all, check) {
  for (let at = 0; at < all.length; at += AT_ONCE) await Promise.all(all.slice(at, at + AT_ONCE).map(check));
}

const echoesAfter = (all) => inTurn(all, (perMessageDeflate) => (
  tryOffer((offer) => Socket.open(ECHO, [], { perMessageDeflate: offer }), 'agreed', perMessageDeflate, (socket) => (
    socket.echoes(...COMPRESSIBLE)
  ))
));

const sessionsAfter = (all) => inTurn(all, (perMessageDeflate) => (
  tryOffer((offer) => established([], { perMessageDeflate: offer }), compression, perMessageDeflate, async (socket) => {
    for (const data of COMPRESSIBLE.filter((message) => typeof message === 'string')) {
      assert.deepEqual(await asks(socket, { id: 2, rpc: { method: 'echo', data } }), { id: 2, rpc: { data } });
    }
  })
));

/** What the package can say of the client's window: nothing, that the server may give one, or which. */
const CLIENT_WINDOWS = { 'no window': [false], 'any window': [true], 'a window of its own': [9, 10, 11, 12, 13, 14, 15] };

const OFFERED = {
  'a compressed message that was not agreed on is refused with 1002': async () => {
    const socket = await Socket.open(ECHO);
    socket.ws._socket.write(Buffer.from([0xc1, 0x80, 1, 2, 3, 4]));
    assert.equal((await socket.end()).code, 1002);
  },
};
for (const [words, windows] of Object.entries(CLIENT_WINDOWS)) {
  OFFERED[`every offer with ${words} is agreed to, and what is compressed comes back`] = () => (
    echoesAfter(offers(windows))
  );
  OFFERED[`a session after every offer with ${words} is the same as without`] = () => sessionsAfter(offers(windows));
}

const counts = new Counts();
for (const [name, check] of Object.entries({ ...CHECKS, ...OFFERED })) {
  await counts.check(name, check);
}
counts.end();
