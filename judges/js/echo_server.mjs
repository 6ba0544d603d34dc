// npm `ws` as a plain WebSocket server that sends each message back as it came.
//
//   node echo_server.mjs [REFUSED [MESSAGES STALL_MS]]
//
// Prints its address. It answers the first REFUSED handshakes with 503. After so many messages it stands still once for
// so many milliseconds.

import process from 'node:process';
import { WebSocketServer } from './wharf.mjs';

let [refused, messages, stall] = process.argv.slice(2).map(Number);
let come = 0;

function verifyClient(_, answer) {
  if (refused > 0) {
    refused -= 1;
    answer(false, 503);
  } else {
    answer(true);
  }
}

const server = new WebSocketServer({ host: '127.0.0.1', port: 0, clientTracking: false, verifyClient });
server.on('connection', (socket) => {
  socket.on('message', (data, binary) => {
    come += 1;
    if (come === messages) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, stall);
    socket.send(data, { binary });
  });
});
server.on('listening', () => console.log(`http://127.0.0.1:${server.address().port}`));
