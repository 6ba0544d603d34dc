"""PyPI `cent`, the client of Centrifugo's server API, against Wharf's.

    python cent_suite.py BASE_URL [API_KEY]

The server runs in development mode (or its equal).
"""

import json
import os
import time
import uuid

import cent
from cent.exceptions import CentApiResponseError
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

import judge
from judge import PATIENCE, equal

BASE, KEY = judge.arguments("cent_suite.py")
ADDRESS = BASE.replace("http", "ws", 1) + "/connection/websocket"


class Member:
    """A client in a channel, so that the API has somebody to tell."""

    def __init__(self, channel):
        self.socket = connect(ADDRESS, legacy=True, proxy=None, compression=None)
        self.waiting = []
        self.say({"id": 1, "connect": {}}, {"id": 2, "subscribe": {"channel": channel}})
        self.client = self.hear()["connect"]["client"]
        assert "subscribe" in self.hear()

    def say(self, *commands):
        self.socket.send("\n".join(map(json.dumps, commands)))

    def hear(self):
        while not self.waiting:
            frame = self.socket.recv(timeout=PATIENCE)
            self.waiting = [message for message in map(json.loads, frame.strip("\n").split("\n")) if message]
        return self.waiting.pop(0)

    def closing(self):
        deadline = time.monotonic() + PATIENCE
        try:
            while True:
                self.socket.recv(timeout=max(0, deadline - time.monotonic()))
        except ConnectionClosed as closed:
            return closed.rcvd.code, closed.rcvd.reason


def fails(code, call, *arguments):
    try:
        call(*arguments)
    except CentApiResponseError as error:
        equal(error.code, code)
    else:
        raise AssertionError(f"it succeeded; expected error {code}")


def publish(api, channel):
    member = Member(channel)
    first = api.publish(cent.PublishRequest(channel=channel, data={"n": 1}, tags={"kind": "test"}))
    equal((first.offset, len(first.epoch)), (1, 8))
    push = member.hear()["push"]
    equal(push["pub"]["data"], {"n": 1})
    equal(push["pub"]["tags"], {"kind": "test"})
    assert "info" not in push["pub"], push
    second = api.publish(cent.PublishRequest(channel=channel, data=2))
    equal((second.offset, second.epoch), (2, first.epoch))


def publish_with_a_key_publishes_once(api, channel):
    # Row 95.
    request = cent.PublishRequest(channel=channel, data=1, idempotency_key=str(uuid.uuid4()))
    equal(api.publish(request), api.publish(request))
    equal(api.history(cent.HistoryRequest(channel=channel)).offset, 1)


def publish_past_history(api, channel):
    member = Member(channel)
    api.publish(cent.PublishRequest(channel=channel, data="passing", skip_history=True))
    equal(member.hear()["push"]["pub"]["data"], "passing")
    equal(api.history(cent.HistoryRequest(channel=channel, limit=10)).publications, [])


def publish_without_a_channel_is_error_107(api, channel):
    fails(107, api.publish, cent.PublishRequest(channel="", data=1))


def broadcast(api, channel):
    channels = [f"{channel}-{n}" for n in range(3)]
    members = [Member(name) for name in channels]
    result = api.broadcast(cent.BroadcastRequest(channels=channels, data={"to": "all"}))
    equal([response.result.offset for response in result.responses], [1, 1, 1])
    for member, name in zip(members, channels):
        push = member.hear()["push"]
        equal((push["channel"], push["pub"]["data"]), (name, {"to": "all"}))


def broadcast_tells_which_channel_failed(api, channel):
    result = api.broadcast(cent.BroadcastRequest(channels=[channel, "with space"], data=1))
    good, bad = result.responses
    equal(good.result.offset, 1)
    equal(bad.error.code, 107)


def presence(api, channel):
    members = [Member(channel), Member(channel)]
    listed = api.presence(cent.PresenceRequest(channel=channel)).presence
    equal(set(listed), {member.client for member in members})
    equal({key: info.client for key, info in listed.items()}, {key: key for key in listed})


def presence_of_an_empty_channel(api, channel):
    equal(api.presence(cent.PresenceRequest(channel=channel)).presence, {})


def presence_stats(api, channel):
    members = [Member(channel), Member(channel)]
    stats = api.presence_stats(cent.PresenceStatsRequest(channel=channel))
    equal((stats.num_clients, stats.num_users), (len(members), 1))


def history(api, channel):
    for n in range(1, 6):
        api.publish(cent.PublishRequest(channel=channel, data=n))
    top = api.history(cent.HistoryRequest(channel=channel))
    equal((top.offset, top.publications), (5, []))

    def offsets(**options):
        page = api.history(cent.HistoryRequest(channel=channel, **options))
        return [publication.offset for publication in page.publications]

    equal(offsets(limit=2), [1, 2])
    equal(offsets(limit=-1), [1, 2, 3, 4, 5])
    equal(offsets(limit=2, reverse=True), [5, 4])
    since = cent.StreamPosition(offset=3, epoch=top.epoch)
    equal(offsets(limit=9, since=since), [4, 5])
    stale = cent.HistoryRequest(channel=channel, limit=1, since=cent.StreamPosition(offset=3, epoch="zzzzzzzz"))
    fails(112, api.history, stale)


def history_remove(api, channel):
    api.publish(cent.PublishRequest(channel=channel, data=1))
    before = api.history(cent.HistoryRequest(channel=channel))
    api.history_remove(cent.HistoryRemoveRequest(channel=channel))
    after = api.history(cent.HistoryRequest(channel=channel, limit=10))
    equal((after.publications, after.offset, after.epoch), ([], before.offset, before.epoch))


def unsubscribe(api, channel):
    member, other = Member(channel), Member(channel)
    api.unsubscribe(cent.UnsubscribeRequest(user="", channel=channel, client=member.client))
    push = member.hear()["push"]
    equal((push["channel"], push["unsubscribe"]["code"]), (channel, 2000))
    equal(set(api.presence(cent.PresenceRequest(channel=channel)).presence), {other.client})


def disconnect(api, channel):
    member, other = Member(channel), Member(channel)
    api.disconnect(cent.DisconnectRequest(user="", client=member.client))
    equal(member.closing(), (3503, "force disconnect"))
    equal(set(api.presence(cent.PresenceRequest(channel=channel)).presence), {other.client})


def disconnect_with_a_code(api, channel):
    member = Member(channel)
    reason = cent.Disconnect(code=4321, reason="because")
    api.disconnect(cent.DisconnectRequest(user="", client=member.client, disconnect=reason))
    equal(member.closing(), (4321, "because"))


def channels(api, channel):
    members = [Member(f"{channel}:{n}") for n in (1, 1, 2)]
    listed = api.channels(cent.ChannelsRequest(pattern=f"{channel}:*")).channels
    equal({name: info.num_clients for name, info in listed.items()}, {f"{channel}:1": 2, f"{channel}:2": 1})
    assert all(member.client for member in members)


def info(api, channel):
    member = Member(channel)
    (node,) = api.info(cent.InfoRequest()).nodes
    assert node.uid and node.name and node.version, node
    assert node.num_clients >= 1 and node.num_channels >= 1, node
    assert node.num_subs >= 1 and node.uptime >= 0, node
    assert member.client


def batch(api, channel):
    requests = [
        cent.PublishRequest(channel=channel, data=1),
        cent.PublishRequest(channel=channel, data=2),
        cent.HistoryRequest(channel=channel, limit=10),
    ]
    replies = api.batch(cent.BatchRequest(requests=requests)).replies
    equal([replies[0].offset, replies[1].offset], [1, 2])
    equal([publication.data for publication in replies[2].publications], [1, 2])


def a_malformed_channel_name_is_error_107(api, channel):
    for name in ("with space", "x" * 256, "line\nend", "wild*", "wild>"):
        fails(107, api.publish, cent.PublishRequest(channel=name, data=1))


CHECKS = [
    publish,
    publish_with_a_key_publishes_once,
    publish_past_history,
    publish_without_a_channel_is_error_107,
    broadcast,
    broadcast_tells_which_channel_failed,
    presence,
    presence_of_an_empty_channel,
    presence_stats,
    history,
    history_remove,
    unsubscribe,
    disconnect,
    disconnect_with_a_code,
    channels,
    info,
    batch,
    a_malformed_channel_name_is_error_107,
]


def main():
    api = cent.Client(f"{BASE}/api", KEY, timeout=PATIENCE)
    api._session._session.trust_env = False  # No proxy of the user's between the two.
    counts = judge.Counts()
    for check in CHECKS:
        try:
            check(api, f"cent-{check.__name__}-{os.getpid()}")
            counts.ok(check.__name__)
        except Exception as error:
            counts.not_ok(check.__name__, error)
    counts.end()


main()
