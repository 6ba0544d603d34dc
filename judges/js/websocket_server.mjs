// npm `ws` as a server, which judges a client.
//
//   node websocket_server.mjs
//
// It prints `listening on ADDRESS`, and for each connection that ended a line of JSON: {"code":...,"reason":...,
// "error":...}, as it saw the end. The end of standard input ends it. What it does is in the request's URL:
//
//   /echo                  sends every message back
//   /fragments             the same in fragments of 1,000 bytes, a ping before each
//   /close?code=&reason=   closes at once
//   /refuse?status=        is no WebSocket
//
// `deflate` in the query holds the package's options for compression, as JSON; without it there is none. Of the
// subprotocols that are offered the last is chosen.

import http from 'node:http';
import process from 'node:process';
import { WebSocketServer } from './wharf.mjs';

const server = http.createServer();

const ACTS = {
  '/echo': (ws) => ws.on('message', (data, binary) => ws.send(data, { binary })),
  '/fragments': (ws) => ws.on('message', (data, binary) => {
    for (let at = 0; at === 0 || at < data.length; at += 1_000) {
      ws.ping(String(at));
      ws.send(data.subarray(at, at + 1_000), { binary, fin: at + 1_000 >= data.length });
    }
  }),
  '/close': (ws, query) => ws.close(Number(query.get('code')), query.get('reason')),
};

server.on('upgrade', (request, socket, head) => {
  const { pathname, searchParams: query } = new URL(request.url, 'http://localhost');
  if (pathname === '/refuse') {
    socket.end(`HTTP/1.1 ${query.get('status')} Refused\r\nContent-Length: 10\r\nConnection: close\r\n\r\nnot today\n`);
    return;
  }
  const one = new WebSocketServer({
    noServer: true,
    maxPayload: 32 << 20,
    perMessageDeflate: JSON.parse(query.get('deflate') ?? 'false'),
    handleProtocols: (protocols) => [...protocols].at(-1),
  });
  one.handleUpgrade(request, socket, head, (ws) => {
    let error;
    ws.on('error', ({ message }) => { error = message; });
    ws.on('close', (code, reason) => {
      process.stdout.write(`${JSON.stringify({ code, reason: reason.toString(), error })}\n`);
    });
    ACTS[pathname](ws, query);
  });
});

server.listen(0, '127.0.0.1', () => console.log(`listening on 127.0.0.1:${server.address().port}`));
process.stdin.resume();
process.stdin.on('close', () => process.exit(0));
