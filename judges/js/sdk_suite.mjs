// A conformance run with npm `centrifuge` over each of its transports.
//
//   node sdk_suite.mjs BASE_URL [API_KEY]
//
// The server runs in development mode (or its equal) and pings at least every two seconds. Each check prints
// `ok NAME` or `not ok NAME: why`; the last line is `N passed, N failed`.

import assert from 'node:assert/strict';
import process from 'node:process';
import { Counts, PATIENCE_MS, within } from './judge.mjs';
import { TRANSPORTS, Wire, api, makeClient } from './wharf.mjs';

const [base, key] = process.argv.slice(2);
if (!base) {
  console.error('usage: sdk_suite.mjs BASE_URL [API_KEY]');
  process.exit(2);
}

/** Resolves with the context of the next `event`. */
function next(emitter, event) {
  return within(new Promise((resolve) => { emitter.once(event, resolve); }), event);
}

/** Collects a subscription's publications and lets a check wait for the number it expects. */
class Inbox {
  constructor(subscription) {
    this.publications = [];
    this.waiting = [];
    subscription.on('publication', (context) => {
      this.publications.push(context);
      this.waiting = this.waiting.filter(({ count, resolve }) => {
        if (this.publications.length < count) return true;
        resolve();
        return false;
      });
    });
  }

  async data(count) {
    if (this.publications.length < count) {
      const enough = new Promise((resolve) => { this.waiting.push({ count, resolve }); });
      await within(enough, `publication ${count} (${this.publications.length} came)`);
    }
    return this.publications.map(({ data }) => data);
  }
}

/** The surroundings of one check: a channel of its own, and clients that are gone at its end. */
class Scene {
  constructor(transport, name) {
    this.transport = transport;
    this.channel = `${transport}-${name.replaceAll(/[^a-z0-9]+/gi, '-')}-${process.pid}`;
    this.clients = [];
  }

  client(options) {
    const wire = new Wire();
    const client = makeClient(this.transport, base, wire, options);
    this.clients.push(client);
    return { client, wire };
  }

  async connected(options) {
    const { client, wire } = this.client(options);
    const connected = next(client, 'connected');
    client.connect();
    return { client, wire, context: await connected };
  }

  async subscribed(options = {}, channel = this.channel) {
    const { client, wire, context } = await this.connected();
    const subscription = client.newSubscription(channel, options);
    const inbox = new Inbox(subscription);
    const subscribed = next(subscription, 'subscribed');
    subscription.subscribe();
    return { client, wire, id: context.client, subscription, inbox, context: await subscribed };
  }

  publishByApi(data) {
    return api(base, key, 'publish', { channel: this.channel, data });
  }

  end() {
    for (const client of this.clients) client.disconnect();
  }
}

const numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, at) => ({ n: from + at }));
const fails = (promise, code) => assert.rejects(within(promise, `error ${code}`), (error) => {
  assert.equal(error.code, code, `${error.code} ${error.message}`);
  return true;
});

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

const CHECKS = {
  async 'connects and learns its client id'(scene) {
    const { context } = await scene.connected();
    assert.match(context.client, UUID);
    assert.equal(context.transport, scene.transport);
  },

  async 'two connections have two client ids'(scene) {
    const [one, two] = await Promise.all([scene.connected(), scene.connected()]);
    assert.notEqual(one.context.client, two.context.client);
  },

  async 'a new subscription is recoverable from offset 0'(scene) {
    const { context } = await scene.subscribed();
    assert.equal(context.recoverable, true);
    assert.equal(context.positioned, true);
    assert.equal(context.streamPosition.offset, 0);
    assert.match(context.streamPosition.epoch, /^[A-Za-z]{8}$/);
    assert.equal(context.wasRecovering, false);
  },

  async 'a publisher receives its own publication with its info'(scene) {
    const { id, subscription, inbox } = await scene.subscribed();
    await subscription.publish({ hello: 'world' });
    await inbox.data(1);
    const [{ data, offset, info }] = inbox.publications;
    assert.deepEqual(data, { hello: 'world' });
    assert.equal(offset, 1);
    assert.equal(info.client, id);
  },

  async 'publications arrive once and in order'(scene) {
    const { inbox } = await scene.subscribed();
    const { client } = await scene.connected();
    const expected = numbers(1, 100);
    // In one batch: over the emulating transports each send is a request of its own, and requests race.
    client.startBatching();
    const published = expected.map((data) => client.publish(scene.channel, data));
    client.stopBatching();
    await Promise.all(published);
    assert.deepEqual(await inbox.data(100), expected);
    assert.deepEqual(inbox.publications.map(({ offset }) => offset), expected.map(({ n }) => n));
  },

  async 'every JSON value arrives as it was published'(scene) {
    const { subscription, inbox } = await scene.subscribed();
    const values = [
      'text with "quotes", \\ and \n a line end', 'Zoë 東京 🚢 \u2028', 0, -1.5e-7, true, [], {}, [[1], { a: null }],
      { long: 'x'.repeat(30_000) },
    ];
    for (const value of values) await subscription.publish(value);
    assert.deepEqual(await inbox.data(values.length), values);
  },

  async 'a publication by the server API has no info'(scene) {
    const { inbox } = await scene.subscribed();
    const { offset, epoch } = await scene.publishByApi({ by: 'api' });
    assert.equal(offset, 1);
    assert.match(epoch, /^[A-Za-z]{8}$/);
    assert.deepEqual(await inbox.data(1), [{ by: 'api' }]);
    assert.equal(inbox.publications[0].info, undefined);
  },

  async 'presence lists everybody in the channel'(scene) {
    const one = await scene.subscribed();
    const two = await scene.subscribed();
    const { clients } = await one.subscription.presence();
    assert.deepEqual(Object.keys(clients).sort(), [one.id, two.id].sort());
    assert.equal(clients[two.id].client, two.id);
  },

  async 'presence stats count clients and users'(scene) {
    const { subscription } = await scene.subscribed();
    await scene.subscribed();
    const { numClients, numUsers } = await subscription.presenceStats();
    assert.equal(numClients, 2);
    assert.equal(numUsers, 1, 'two anonymous clients are one user');
  },

  async 'history gives the position alone, some, all, and backwards'(scene) {
    const { subscription, inbox, context } = await scene.subscribed();
    for (const data of numbers(1, 5)) await subscription.publish(data);
    await inbox.data(5);
    const { epoch } = context.streamPosition;
    const offsets = ({ publications }) => publications.map(({ offset }) => offset);

    const position = await subscription.history();
    assert.deepEqual([position.offset, position.epoch, offsets(position)], [5, epoch, []]);
    assert.deepEqual(offsets(await subscription.history({ limit: 2 })), [1, 2]);
    assert.deepEqual(offsets(await subscription.history({ limit: -1 })), [1, 2, 3, 4, 5]);
    assert.deepEqual(offsets(await subscription.history({ limit: 2, reverse: true })), [5, 4]);
    const since = { offset: 3, epoch };
    assert.deepEqual(offsets(await subscription.history({ limit: 10, since })), [4, 5]);
    assert.deepEqual(offsets(await subscription.history({ limit: 10, since, reverse: true })), [2, 1]);
  },

  async 'history of another epoch is error 112'(scene) {
    const { subscription } = await scene.subscribed();
    await subscription.publish(1);
    await fails(subscription.history({ limit: 1, since: { offset: 1, epoch: 'zzzzzzzz' } }), 112);
  },

  async 'rpc echo answers its data'(scene) {
    const { client } = await scene.connected();
    const { data } = await client.rpc('echo', { nested: [1, 'two'] });
    assert.deepEqual(data, { nested: [1, 'two'] });
  },

  async 'an unknown rpc method is error 104'(scene) {
    const { client } = await scene.connected();
    await fails(client.rpc('no such method', {}), 104);
  },

  async 'a command without a handler for it ends the connection with 3508'(scene) {
    const { client } = await scene.connected();
    const disconnected = next(client, 'disconnected');
    await client.send({ to: 'nobody' });
    assert.equal((await disconnected).code, 3508);
  },

  async 'join and leave are told to those who ask'(scene) {
    const { id, subscription } = await scene.subscribed({ joinLeave: true });
    // Its own join comes too, before or after it is told that it is subscribed.
    const joins = [];
    let heardOf = () => {};
    subscription.on('join', ({ info }) => { joins.push(info.client); heardOf(); });
    const quiet = await scene.subscribed();
    await within(new Promise((resolve) => {
      heardOf = () => { if (joins.includes(quiet.id)) resolve(); };
      heardOf();
    }), 'join');
    assert.deepEqual(joins.filter((client) => client !== id), [quiet.id]);

    let heard = 0;
    quiet.subscription.on('join', () => { heard += 1; });
    quiet.subscription.on('leave', () => { heard += 1; });
    const left = next(subscription, 'leave');
    const third = await scene.subscribed();
    third.subscription.unsubscribe();
    assert.equal((await left).info.client, third.id);
    const gone = next(subscription, 'leave');
    await quiet.subscription.publish('a marker behind any join and leave');
    await quiet.inbox.data(1);
    assert.equal(heard, 0, 'a subscriber who did not ask was told');
    quiet.client.disconnect();
    assert.equal((await gone).info.client, quiet.id);
  },

  async 'nothing arrives after unsubscribe, and presence forgets'(scene) {
    const one = await scene.subscribed();
    const two = await scene.subscribed();
    // In one batch, so that the reply to the second command says that the first was carried out.
    one.client.startBatching();
    one.subscription.unsubscribe();
    const presence = one.client.presence(scene.channel);
    one.client.stopBatching();
    const { clients } = await presence;
    assert.deepEqual(Object.keys(clients), [two.id]);
    await two.subscription.publish(1);
    await two.inbox.data(1);
    await one.client.rpc('echo', {});
    assert.deepEqual(one.inbox.publications, []);
  },

  async 'a client publishes without a subscription'(scene) {
    const { inbox } = await scene.subscribed();
    const { client } = await scene.connected();
    await client.publish(scene.channel, 'from outside');
    assert.deepEqual(await inbox.data(1), ['from outside']);
  },

  async 'subscribing again recovers what was missed'(scene) {
    const { subscription, inbox } = await scene.subscribed();
    await scene.publishByApi({ n: 1 });
    await inbox.data(1);
    subscription.unsubscribe();
    for (const data of numbers(2, 4)) await scene.publishByApi(data);
    const subscribed = next(subscription, 'subscribed');
    subscription.subscribe();
    // An unsubscribe by the user forgets the position, so this is a new subscription from now on.
    const context = await subscribed;
    if (context.wasRecovering) assert.deepEqual(await inbox.data(4), numbers(1, 4));
    else assert.equal(context.streamPosition.offset, 4);
  },

  async 'connecting again recovers what was missed'(scene) {
    const { client, subscription, inbox, context } = await scene.subscribed();
    await scene.publishByApi({ n: 1 });
    await inbox.data(1);
    client.disconnect();
    for (const data of numbers(2, 20)) await scene.publishByApi(data);
    const subscribed = next(subscription, 'subscribed');
    client.connect();
    const again = await subscribed;
    assert.deepEqual([again.wasRecovering, again.recovered, again.hasRecoveredPublications], [true, true, true]);
    assert.equal(again.streamPosition.epoch, context.streamPosition.epoch);
    await scene.publishByApi({ n: 21 });
    assert.deepEqual(await inbox.data(21), numbers(1, 21));
  },

  async 'a cut connection comes back and misses nothing under a steady publisher'(scene) {
    const { subscription, inbox, wire } = await scene.subscribed();
    let recoveries = 0;
    subscription.on('subscribed', ({ wasRecovering, recovered }) => {
      if (wasRecovering && recovered) recoveries += 1;
    });
    for (let round = 0; round < 5; round += 1) {
      const subscribed = next(subscription, 'subscribed');
      for (const data of numbers(round * 40 + 1, round * 40 + 40)) {
        await scene.publishByApi(data);
        if (data.n % 40 === 20) wire.cut();
      }
      await subscribed;
    }
    assert.deepEqual(await inbox.data(200), numbers(1, 200));
    assert.equal(recoveries, 5);
  },

  async 'a position from the start replays everything'(scene) {
    for (const data of numbers(1, 3)) await scene.publishByApi(data);
    const { epoch } = await api(base, key, 'history', { channel: scene.channel });
    const { context, inbox } = await scene.subscribed({ since: { offset: 0, epoch } });
    assert.equal(context.recovered, true);
    assert.deepEqual(await inbox.data(3), numbers(1, 3));
  },

  async 'a future offset or another epoch is not recovered'(scene) {
    await scene.publishByApi(1);
    const { epoch } = await api(base, key, 'history', { channel: scene.channel });
    for (const since of [{ offset: 9, epoch }, { offset: 1, epoch: 'zzzzzzzz' }]) {
      const { context } = await scene.subscribed({ since });
      assert.deepEqual([context.wasRecovering, context.recovered], [true, false], JSON.stringify(since));
      assert.deepEqual(context.streamPosition, { offset: 1, epoch });
    }
  },

  async 'removed history cannot be recovered, and the client is told'(scene) {
    const { client, subscription, inbox } = await scene.subscribed();
    await scene.publishByApi(1);
    await inbox.data(1);
    client.disconnect();
    await scene.publishByApi(2);
    await api(base, key, 'history_remove', { channel: scene.channel });
    const subscribed = next(subscription, 'subscribed');
    client.connect();
    const { wasRecovering, recovered, streamPosition } = await subscribed;
    assert.deepEqual([wasRecovering, recovered, streamPosition.offset], [true, false, 2]);
    assert.deepEqual(await inbox.data(1), [1]);
  },

  async 'getState is asked when a position is lost'(scene) {
    await scene.publishByApi(1);
    const { epoch } = await api(base, key, 'history', { channel: scene.channel });
    let asked = 0;
    const getState = async () => {
      asked += 1;
      // The first answer cannot be recovered, so that the server refuses with error 112 and the SDK asks anew.
      return asked === 1 ? { offset: 1, epoch: 'zzzzzzzz' } : { offset: 1, epoch };
    };
    const { context } = await scene.subscribed({ getState });
    assert.equal(asked, 2);
    assert.equal(context.streamPosition.offset, 1);
  },

  async 'a malformed channel name is error 107'(scene) {
    const { client } = await scene.connected();
    for (const name of ['with space', 'wild*card', 'line\nend', 'é', 'x'.repeat(256)]) {
      const subscription = client.newSubscription(name);
      const unsubscribed = next(subscription, 'unsubscribed');
      subscription.subscribe();
      assert.equal((await unsubscribed).code, 107, name.slice(0, 20));
    }
  },

  async 'many channels share one connection'(scene) {
    const { client } = await scene.connected();
    const channels = numbers(1, 100).map(({ n }) => `${scene.channel}-${n}`);
    const arrived = channels.map(async (channel) => {
      const subscription = client.newSubscription(channel);
      const inbox = new Inbox(subscription);
      subscription.subscribe();
      await subscription.ready(PATIENCE_MS);
      await subscription.publish(channel);
      return inbox.data(1);
    });
    assert.deepEqual(await Promise.all(arrived), channels.map((channel) => [channel]));
  },

  async 'the server API ends a subscription'(scene) {
    const { id, subscription } = await scene.subscribed();
    const unsubscribed = next(subscription, 'unsubscribed');
    await api(base, key, 'unsubscribe', { user: '', client: id, channel: scene.channel });
    assert.equal((await unsubscribed).code, 2000);
  },

  async 'the server API ends a connection for good'(scene) {
    const { client, context } = await scene.connected();
    const disconnected = next(client, 'disconnected');
    await api(base, key, 'disconnect', { user: '', client: context.client });
    const { code, reason } = await disconnected;
    assert.deepEqual([code, reason], [3503, 'force disconnect']);
  },

  async 'the server API ends a connection that comes back'(scene) {
    const { client, context } = await scene.connected();
    const connecting = next(client, 'connecting');
    const connected = next(client, 'connected');
    const disconnect = { code: 3011, reason: 'force reconnect' };
    await api(base, key, 'disconnect', { user: '', client: context.client, disconnect });
    assert.equal((await connecting).code, 3011);
    assert.notEqual((await connected).client, context.client);
  },

  async 'pings are answered and keep the connection'(scene) {
    const { client, wire } = scene.client({ maxServerPingDelay: 2_000 });
    const states = [];
    const connected = next(client, 'connected');
    client.connect();
    await connected;
    client.on('state', ({ newState }) => states.push(newState));
    await within(new Promise((resolve) => { wire.onPing = () => { if (wire.pings >= 3) resolve(); }; }), 'three pings');
    await client.rpc('echo', {});
    assert.ok(wire.pongs >= 3, `${wire.pongs} pongs to ${wire.pings} pings`);
    assert.deepEqual(states, [], 'the connection changed its state');
  },
};

/** Checks that belong to one transport. */
const CHECKS_OF = {
  websocket: {
    async 'a message over the limit ends the connection for good'(scene) {
      const { client } = await scene.connected();
      const disconnected = next(client, 'disconnected');
      client.publish(scene.channel, 'x'.repeat(70_000)).catch(() => {});
      const { code } = await disconnected;
      assert.equal(code, 3, 'the SDK names close code 1009 so: message size limit');
    },
  },
};

const counts = new Counts();

async function judge(transport) {
  for (const [name, check] of Object.entries({ ...CHECKS, ...CHECKS_OF[transport] })) {
    const scene = new Scene(transport, name);
    await counts.check(`${transport}: ${name}`, () => check(scene));
    scene.end();
  }
}

await Promise.all(TRANSPORTS.map(judge));
counts.end();
