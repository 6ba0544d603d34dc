// uWebSockets as a peer of `wharf bench`: the least that the generator's clients need of the Centrifuge protocol, over
// uWebSockets' own publish and subscribe. It keeps no history, presence or sessions, and sends no pings. At /echo it sends
// each message back as it came.
//
//   npm install && node uwebsockets.mjs [PORT]
//
// Prints its address and its process. The publications themselves are in C++; one call into JavaScript is made for
// each command and each echo.

import process from 'node:process';
import uws from '@trufflesuite/uws-js-unofficial';

const port = Number(process.argv[2] ?? 9001);
const CONNECTED = '{"id":1,"connect":{"client":"00000000-0000-0000-0000-000000000000","version":"uws","ping":25,"pong":true}}';
const SUBSCRIBED = '{"id":2,"subscribe":{}}';
const PUBLISHED = '{"id":4,"publish":{}}';

const app = uws.App();
const options = { compression: uws.DISABLED, maxPayloadLength: 64 * 1024, idleTimeout: 0, sendPingsAutomatically: false };

/** Answers one command; an RPC by its own payload, as the floor does. */
function answer(socket, line) {
  const command = JSON.parse(line);
  if (command.connect) return CONNECTED;
  if (command.subscribe) {
    socket.subscribe(command.subscribe.channel);
    return SUBSCRIBED;
  }
  if (command.publish) {
    const { channel, data } = command.publish;
    app.publish(channel, `{"push":{"channel":"${channel}","pub":{"data":${JSON.stringify(data)}}}}`, false);
    return PUBLISHED;
  }
  return command.rpc ? `{"id":${command.id},"rpc":{"data":${JSON.stringify(command.rpc.data)}}}` : undefined;
}

app.ws('/connection/websocket', {
  ...options,
  message: (socket, message) => {
    const lines = Buffer.from(message).toString().split('\n');
    const answers = lines.map((line) => answer(socket, line)).filter((line) => line !== undefined);
    if (answers.length > 0) socket.send(answers.join('\n'), false);
  },
});
app.ws('/echo', { ...options, message: (socket, message, binary) => socket.send(message, binary) });
app.listen('127.0.0.1', port, (token) => {
  if (!token) {
    console.error(`port ${port} is taken; name another: node uwebsockets.mjs PORT`);
    process.exit(1);
  }
  console.log(`http://127.0.0.1:${port}, process ${process.pid}`);
});
