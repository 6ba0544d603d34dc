// One npm `centrifuge` client, steered line by line.
//
//   node centrifuge_client.mjs TRANSPORTS BASE_URL CHANNEL [OPTIONS]
//
// TRANSPORTS is websocket, http_stream or sse, or several of them, separated by commas, to be tried in their order.
// OPTIONS is a JSON object: `client` and `subscription` hold options of the SDK's, `subscribe: false` leaves the channel
// alone at first.
//
// Every event is one JSON line on standard output: {"event":"connected",...}, connecting, disconnected, subscribing,
// subscribed, unsubscribed, publication, join, leave, error. Every line on standard input is a command:
//
//   {"op":"publish","data":...}  {"op":"presence"}  {"op":"presence_stats"}  {"op":"history","options":{...}}
//   {"op":"rpc","method":"...","data":...}  {"op":"send","data":...}
//   {"op":"subscribe"}  {"op":"unsubscribe"}  {"op":"connect"}  {"op":"disconnect"}
//   {"op":"drop"}    cuts the sockets without a closing word; the SDK notices and comes back
//   {"op":"freeze"}  stops the process: the sockets stay open and say nothing any more, as of a machine without power
//   {"op":"quit"}    ends the process (as does the end of standard input)
//
// and is answered by {"event":"result","op":...,"id":...,"result":...} or the same with "error":{"code","message"};
// `id` is that of the command.

import process from 'node:process';
import readline from 'node:readline';
import { TRANSPORTS, Wire, makeClient } from './wharf.mjs';

const [transports, base, channel, text = '{}'] = process.argv.slice(2);
if (!transports?.split(',').every((transport) => TRANSPORTS.includes(transport)) || !base || !channel) {
  console.error('usage: centrifuge_client.mjs websocket|http_stream|sse[,...] BASE_URL CHANNEL [OPTIONS]');
  process.exit(2);
}
const options = JSON.parse(text);

function tell(event, fields) {
  process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`);
}

const wire = new Wire();
const client = makeClient(transports, base, wire, options.client);
for (const event of ['connecting', 'connected', 'disconnected']) {
  client.on(event, (context) => tell(event, context));
}
client.on('error', ({ type, error }) => tell('error', { type, code: error?.code, message: error?.message }));

const subscription = client.newSubscription(channel, options.subscription ?? {});
for (const event of ['subscribing', 'subscribed', 'unsubscribed', 'publication', 'join', 'leave']) {
  subscription.on(event, (context) => tell(event, context));
}
subscription.on('error', ({ type, error }) => tell('error', { type, code: error?.code, message: error?.message }));

const OPERATIONS = {
  publish: ({ data }) => subscription.publish(data),
  presence: async () => (await subscription.presence()).clients,
  presence_stats: () => subscription.presenceStats(),
  history: ({ options: wanted }) => subscription.history(wanted ?? {}),
  rpc: async ({ method, data }) => (await client.rpc(method, data)).data,
  send: ({ data }) => client.send(data),
  subscribe: () => subscription.subscribe(),
  unsubscribe: () => subscription.unsubscribe(),
  connect: () => client.connect(),
  disconnect: () => client.disconnect(),
  drop: () => wire.cut(),
  freeze: () => process.kill(process.pid, 'SIGSTOP'),
  quit: () => process.exit(0),
};

const input = readline.createInterface({ input: process.stdin });
input.on('line', async (line) => {
  const command = JSON.parse(line);
  const { op, id } = command;
  try {
    const result = await OPERATIONS[op](command);
    tell('result', { op, id, result: result ?? {} });
  } catch (error) {
    tell('result', { op, id, error: { code: error.code, message: error.message ?? String(error) } });
  }
});
input.on('close', () => process.exit(0));

if (options.subscribe !== false) subscription.subscribe();
client.connect();
