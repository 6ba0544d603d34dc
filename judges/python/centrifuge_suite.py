"""A conformance run with PyPI `centrifuge-python` over WebSocket.

    python centrifuge_suite.py BASE_URL [API_KEY]

The server runs in development mode (or its equal) and pings at least every two seconds.
"""

import asyncio
import logging
import os

from centrifuge import (
    Client,
    ClientEventHandler,
    ClientState,
    ReplyError,
    StreamPosition,
    SubscriptionEventHandler,
)

import judge
from judge import PATIENCE, equal

BASE, KEY = judge.arguments("centrifuge_suite.py")
ADDRESS = BASE.replace("http", "ws", 1) + "/connection/websocket"
logging.disable(logging.CRITICAL)


async def api(method, **parameters):
    return await asyncio.to_thread(judge.api, BASE, KEY, method, **parameters)


class Events:
    """Queues what the SDK tells, by the event's name."""

    def __init__(self):
        self.queues = {}

    def queue(self, name):
        return self.queues.setdefault(name, asyncio.Queue())

    def tell(self, name, context):
        self.queue(name).put_nowait(context)

    async def next(self, name):
        try:
            return await asyncio.wait_for(self.queue(name).get(), PATIENCE)
        except asyncio.TimeoutError:
            raise AssertionError(f"waited {PATIENCE} s for {name}") from None


class ClientEvents(Events, ClientEventHandler):
    async def on_connecting(self, ctx):
        self.tell("connecting", ctx)

    async def on_connected(self, ctx):
        self.tell("connected", ctx)

    async def on_disconnected(self, ctx):
        self.tell("disconnected", ctx)


class SubscriptionEvents(Events, SubscriptionEventHandler):
    async def on_subscribed(self, ctx):
        self.tell("subscribed", ctx)

    async def on_unsubscribed(self, ctx):
        self.tell("unsubscribed", ctx)

    async def on_publication(self, ctx):
        self.tell("publication", ctx.pub)

    async def on_join(self, ctx):
        self.tell("join", ctx.info.client)

    async def on_leave(self, ctx):
        self.tell("leave", ctx.info.client)

    async def data(self, count):
        return [(await self.next("publication")).data for _ in range(count)]


class Scene:
    """The surroundings of one check: a channel of its own, and clients that are gone at its end."""

    def __init__(self, name):
        self.channel = f"python-{name}-{os.getpid()}"
        self.clients = []

    async def connected(self, **options):
        events = ClientEvents()
        client = Client(ADDRESS, events=events, proxy=None, max_reconnect_delay=0.5, **options)
        self.clients.append(client)
        await client.connect()
        context = await events.next("connected")
        return client, events, context

    async def subscribed(self, **options):
        client, client_events, context = await self.connected()
        events = SubscriptionEvents()
        subscription = client.new_subscription(self.channel, events=events, **options)
        await subscription.subscribe()
        subscribed = await events.next("subscribed")
        return client, client_events, context.client, subscription, events, subscribed

    async def end(self):
        for client in self.clients:
            await client.disconnect()


async def fails(awaitable, code):
    try:
        await awaitable
    except ReplyError as error:
        equal(error.code, code)
    else:
        raise AssertionError(f"it succeeded; expected error {code}")


async def connects(scene):
    _, _, context = await scene.connected()
    equal(len(context.client), 36)
    assert context.version, "the server says no version"


async def subscribes_with_a_position(scene):
    *_, subscribed = await scene.subscribed()
    equal((subscribed.recoverable, subscribed.positioned), (True, True))
    equal(subscribed.stream_position.offset, 0)
    equal(len(subscribed.stream_position.epoch), 8)


async def a_publisher_receives_its_own_publication(scene):
    _, _, client_id, subscription, events, _ = await scene.subscribed()
    await subscription.publish({"hello": "Zoë 東京 🚢", "n": [1, None, 2.5]})
    publication = await events.next("publication")
    equal(publication.data, {"hello": "Zoë 東京 🚢", "n": [1, None, 2.5]})
    equal(publication.offset, 1)
    equal(publication.info.client, client_id)


async def publications_arrive_in_order(scene):
    *_, events, _ = await scene.subscribed()
    client, _, _ = await scene.connected()
    await asyncio.gather(*(client.publish(scene.channel, n) for n in range(100)))
    equal(await events.data(100), list(range(100)))


async def presence_lists_everybody(scene):
    _, _, first, subscription, _, _ = await scene.subscribed()
    _, _, second, _, _, _ = await scene.subscribed()
    presence = await subscription.presence()
    equal(set(presence.clients), {first, second})
    stats = await subscription.presence_stats()
    equal((stats.num_clients, stats.num_users), (2, 1))


async def history_in_every_direction(scene):
    *_, subscription, events, subscribed = await scene.subscribed()
    for n in range(1, 6):
        await subscription.publish(n)
    await events.data(5)
    epoch = subscribed.stream_position.epoch

    async def offsets(**options):
        return [publication.offset for publication in (await subscription.history(**options)).publications]

    top = await subscription.history()
    equal((top.offset, top.epoch, top.publications), (5, epoch, []))
    equal(await offsets(limit=2), [1, 2])
    equal(await offsets(limit=-1), [1, 2, 3, 4, 5])
    equal(await offsets(limit=2, reverse=True), [5, 4])
    equal(await offsets(limit=9, since=StreamPosition(3, epoch)), [4, 5])
    await fails(subscription.history(limit=1, since=StreamPosition(3, "zzzzzzzz")), 112)


async def rpc_echo_and_unknown(scene):
    client, _, _ = await scene.connected()
    equal((await client.rpc("echo", {"a": [1]})).data, {"a": [1]})
    await fails(client.rpc("no such method", {}), 104)


async def join_and_leave(scene):
    _, _, own, _, events, _ = await scene.subscribed(join_leave=True)
    client, _, other, _, _, _ = await scene.subscribed()
    joined = await events.next("join")
    if joined == own:
        joined = await events.next("join")
    equal(joined, other)
    await client.disconnect()
    equal(await events.next("leave"), other)


async def connecting_again_recovers(scene):
    client, client_events, _, _, events, before = await scene.subscribed()
    await api("publish", channel=scene.channel, data=1)
    equal(await events.data(1), [1])
    await client.disconnect()
    await client_events.next("disconnected")
    for n in range(2, 11):
        await api("publish", channel=scene.channel, data=n)
    await client.connect()
    again = await events.next("subscribed")
    equal((again.was_recovering, again.recovered), (True, True))
    equal(again.stream_position.epoch, before.stream_position.epoch)
    await api("publish", channel=scene.channel, data=11)
    equal(await events.data(10), list(range(2, 12)))


async def lost_history_is_told(scene):
    client, client_events, _, _, events, _ = await scene.subscribed()
    await api("publish", channel=scene.channel, data=1)
    equal(await events.data(1), [1])
    await client.disconnect()
    await client_events.next("disconnected")
    await api("publish", channel=scene.channel, data=2)
    await api("history_remove", channel=scene.channel)
    await client.connect()
    again = await events.next("subscribed")
    equal((again.was_recovering, again.recovered), (True, False))
    equal(again.stream_position.offset, 2)


async def a_forced_reconnect_comes_back(scene):
    client, client_events, client_id, _, events, _ = await scene.subscribed()
    await client_events.next("connecting")
    await api("disconnect", user="", client=client_id, disconnect={"code": 3011, "reason": "force reconnect"})
    equal((await client_events.next("connecting")).code, 3011)
    equal((await events.next("subscribed")).was_recovering, True)
    equal(client.state, ClientState.CONNECTED)


async def a_forced_disconnect_stays_away(scene):
    client, client_events, context = await scene.connected()
    await api("disconnect", user="", client=context.client)
    disconnected = await client_events.next("disconnected")
    equal((disconnected.code, disconnected.reason), (3503, "force disconnect"))
    equal(client.state, ClientState.DISCONNECTED)


async def a_forced_unsubscribe(scene):
    _, _, client_id, _, events, _ = await scene.subscribed()
    await api("unsubscribe", user="", client=client_id, channel=scene.channel)
    equal((await events.next("unsubscribed")).code, 2000)


async def a_malformed_channel_is_error_107(scene):
    client, _, _ = await scene.connected()
    events = SubscriptionEvents()
    subscription = client.new_subscription("with space", events=events)
    await subscription.subscribe()
    equal((await events.next("unsubscribed")).code, 107)


async def pings_keep_the_connection(scene):
    client, events, _ = await scene.connected(max_server_ping_delay=2.0)
    await events.next("connecting")
    pings = asyncio.Queue()
    handle_ping = client._handle_ping

    async def counted():
        await handle_ping()
        pings.put_nowait(None)

    client._handle_ping = counted
    for _ in range(3):
        await asyncio.wait_for(pings.get(), PATIENCE)
    equal((await client.rpc("echo", 1)).data, 1)
    assert events.queue("connecting").empty(), "the connection was lost"


CHECKS = [
    connects,
    subscribes_with_a_position,
    a_publisher_receives_its_own_publication,
    publications_arrive_in_order,
    presence_lists_everybody,
    history_in_every_direction,
    rpc_echo_and_unknown,
    join_and_leave,
    connecting_again_recovers,
    lost_history_is_told,
    a_forced_reconnect_comes_back,
    a_forced_disconnect_stays_away,
    a_forced_unsubscribe,
    a_malformed_channel_is_error_107,
    pings_keep_the_connection,
]


async def main():
    counts = judge.Counts()
    for check in CHECKS:
        scene = Scene(check.__name__)
        try:
            await asyncio.wait_for(check(scene), 3 * PATIENCE)
            counts.ok(check.__name__)
        except Exception as error:
            counts.not_ok(check.__name__, error)
        finally:
            await scene.end()
    return counts


asyncio.run(main()).end()
