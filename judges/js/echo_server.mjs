// npm `ws` as a plain WebSocket server that sends each message back as it came.
//
//   node echo_server.mjs [MESSAGES STALL_MS]
//
// Prints its address. After so many messages it stands still once for so many milliseconds.

import process from 'node:process';
import { WebSocketServer } from './wharf.mjs';

const [messages, stall] = process.argv.slice(2).map(Number);
let come = 0;

const server = new WebSocketServer({ host: '127.0.0.1', port: 0, clientTracking: false });
server.on('connection', (socket) => {
  socket.on('message', (data, binary) => {
    come += 1;
    if (come === messages) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, stall);
    socket.send(data, { binary });
  });
});
server.on('listening', () => console.log(`http://127.0.0.1:${server.address().port}`));
