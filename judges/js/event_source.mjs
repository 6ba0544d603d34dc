// One npm `eventsource` client, as a browser has it built in.
//
//   node event_source.mjs URL
//
// Every event is one JSON line on standard output: {"event":"open"}, {"event":"message","data":...,"id":...},
// {"event":"wharf.reset","data":...}, {"event":"error",...}. It reconnects by itself, with `Last-Event-ID`. The end
// of standard input ends it.

import process from 'node:process';
import { StandardEventSource } from './wharf.mjs';

const [url] = process.argv.slice(2);
if (!url) {
  console.error('usage: event_source.mjs URL');
  process.exit(2);
}

function tell(event, fields) {
  process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`);
}

const source = new StandardEventSource(url);
source.onopen = () => tell('open');
source.onerror = ({ code, message }) => tell('error', { code, message });
for (const name of ['message', 'wharf.reset']) {
  source.addEventListener(name, ({ data, lastEventId }) => tell(name, { data: JSON.parse(data), id: lastEventId }));
}
process.stdin.resume();
process.stdin.on('close', () => process.exit(0));
