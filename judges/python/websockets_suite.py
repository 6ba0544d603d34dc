"""PyPI `websockets` as a bare client: the JSON protocol by hand, and what RFC 6455 asks of a server.

    python websockets_suite.py BASE_URL

The server runs in development mode (or its equal) and pings at least every two seconds.
"""

import json
import os
import struct
import time

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

import judge
from judge import PATIENCE, equal

BASE, _ = judge.arguments("websockets_suite.py")
ADDRESS = BASE.replace("http", "ws", 1) + "/connection/websocket"
MASK = b"\x01\x02\x03\x04"


def opened(query="", **options):
    options.setdefault("compression", None)
    # Without `legacy` the library would give a context manager, and many checks here end a connection unlike one.
    timeouts = {"open_timeout": PATIENCE, "close_timeout": PATIENCE}
    return connect(ADDRESS + query, legacy=True, proxy=None, **timeouts, **options)


def say(socket, *commands):
    """Sends commands in one frame."""
    socket.send("\n".join(json.dumps(command) for command in commands))


def hear(socket, count=1):
    """The next messages that are no pings; they may come several to a frame."""
    heard = []
    while len(heard) < count:
        frame = socket.recv(timeout=PATIENCE)
        assert isinstance(frame, str), "JSON must come in text frames"
        heard += [message for message in map(json.loads, frame.strip("\n").split("\n")) if message != {}]
    equal(len(heard), count)
    return heard


def established(query="", **options):
    socket = opened(query, **options)
    say(socket, {"id": 1, "connect": {"name": "python"}})
    (reply,) = hear(socket)
    equal(reply["id"], 1)
    return socket, reply["connect"]


def closing(socket):
    """Reads on until the server closes, past pings; its code and reason."""
    deadline = time.monotonic() + PATIENCE
    try:
        while True:
            socket.recv(timeout=max(0, deadline - time.monotonic()))
    except ConnectionClosed as closed:
        assert closed.rcvd is not None, "the connection ended without a close frame"
        return closed.rcvd.code, closed.rcvd.reason
    except TimeoutError:
        raise AssertionError(f"the server did not close within {PATIENCE} s") from None


def frame(first, payload, masked=True, length=None):
    """One frame, byte for byte: `first` holds FIN, RSV and the opcode."""
    size = len(payload) if length is None else length
    bit = 0x80 if masked else 0
    if size < 126:
        head = struct.pack("!BB", first, bit | size)
    elif size < 65_536:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    if not masked:
        return head + payload
    return head + MASK + bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload))


def closes_a_raw_frame_with(code, *raw):
    """A check that sends bytes past the library, which would not send them."""

    def check():
        socket, _ = established()
        for data in raw:
            socket.socket.sendall(data)
        equal(closing(socket)[0], code)

    return check


def closes_commands_with(code, *frames):
    """A check that sends frames before anything else."""

    def check():
        with opened() as socket:
            for text in frames:
                socket.send(text)
            equal(closing(socket)[0], code)

    return check


def refuses_the_handshake_with(status, query="", **options):
    def check():
        try:
            opened(query, **options).close()
        except InvalidStatus as refused:
            equal(refused.response.status_code, status)
        else:
            raise AssertionError(f"the handshake succeeded; expected {status}")

    return check


def connect_and_subscribe_in_one_frame():
    channel = f"raw-one-frame-{os.getpid()}"
    with opened() as socket:
        say(socket, {"id": 1, "connect": {}}, {"id": 2, "subscribe": {"channel": channel}})
        connected, subscribed = hear(socket, 2)
        equal((connected["id"], subscribed["id"]), (1, 2))
        equal(len(subscribed["subscribe"]["epoch"]), 8)
        equal(subscribed["subscribe"]["recoverable"], True)


def publication_push():
    channel = f"raw-publication-{os.getpid()}"
    socket, connected = established()
    with socket:
        say(socket, {"id": 2, "subscribe": {"channel": channel}})
        hear(socket)
        say(socket, {"id": 3, "publish": {"channel": channel, "data": {"n": 1}}})
        messages = hear(socket, 2)
        assert {"id": 3, "publish": {}} in messages, messages
        (push,) = [message["push"] for message in messages if "push" in message]
        equal(push["channel"], channel)
        equal((push["pub"]["data"], push["pub"]["offset"]), ({"n": 1}, 1))
        equal(push["pub"]["info"]["client"], connected["client"])


def subscribing_twice_is_error_105():
    channel = f"raw-twice-{os.getpid()}"
    socket, _ = established()
    with socket:
        say(socket, *({"id": n, "subscribe": {"channel": channel}} for n in (2, 3)))
        replies = {reply["id"]: reply for reply in hear(socket, 2)}
        assert "subscribe" in replies[2], replies
        equal(replies[3]["error"]["code"], 105)


def the_subprotocol_is_echoed():
    with opened(subprotocols=["centrifuge-json"]) as socket:
        equal(socket.subprotocol, "centrifuge-json")


def a_subprotocol_that_was_not_offered_is_not_echoed():
    with opened() as socket:
        equal(socket.subprotocol, None)


def an_offer_of_compression_does_not_hinder():
    socket, _ = established(compression="deflate")
    with socket:
        say(socket, {"id": 2, "rpc": {"method": "echo", "data": "x" * 5_000}})
        equal(hear(socket)[0]["rpc"]["data"], "x" * 5_000)


def an_own_origin_is_accepted():
    with opened(origin=BASE) as socket:
        say(socket, {"id": 1, "connect": {}})
        hear(socket)


def application_pings_ask_for_pongs():
    with opened() as socket:
        say(socket, {"id": 1, "connect": {}})
        connected = json.loads(socket.recv(timeout=PATIENCE))["connect"]
        equal(connected["pong"], True)
        assert connected["ping"] > 0, connected
        for _ in range(3):
            equal(socket.recv(timeout=PATIENCE).strip(), "{}")
            socket.send("{}")


def frame_level_pings_replace_them():
    socket, connected = established("?cf_ws_frame_ping_pong=true")
    with socket:
        equal(connected.get("ping", 0), 0)
        say(socket, {"id": 2, "rpc": {"method": "echo", "data": 1}})
        equal(hear(socket)[0]["id"], 2)


def a_ping_frame_is_answered_with_its_payload():
    socket, _ = established()
    with socket:
        for payload in (b"", b"x", b"y" * 125):
            answered = socket.ping(payload)
            assert answered.wait(PATIENCE), f"no pong to a ping of {len(payload)} bytes"


def fragments_with_a_ping_between_make_one_message():
    socket, _ = established()
    with socket:
        text = json.dumps({"id": 2, "rpc": {"method": "echo", "data": "Zoë 🚢"}}, ensure_ascii=False).encode()
        parts = [text[at : at + 1] for at in range(len(text))]
        raw = [frame(0x01, parts[0])] + [frame(0x00, part) for part in parts[1:-1]] + [frame(0x80, parts[-1])]
        raw.insert(len(raw) // 2, frame(0x89, b"between"))
        for data in raw:
            socket.socket.sendall(data)
        equal(hear(socket)[0]["rpc"]["data"], "Zoë 🚢")


def a_message_at_the_limit_is_taken():
    socket, _ = established()
    with socket:
        command = json.dumps({"id": 2, "rpc": {"method": "echo", "data": ""}})
        filled = command.replace('""', '"' + "x" * (65_536 - len(command)) + '"')
        equal(len(filled), 65_536)
        socket.send(filled)
        equal(len(hear(socket)[0]["rpc"]["data"]), 65_536 - len(command))


def a_message_over_the_limit_closes_with_1009():
    socket, _ = established()
    socket.send("x" * 65_537)
    equal(closing(socket)[0], 1009)


def a_normal_close_is_answered():
    socket, _ = established()
    socket.close(1000, "bye")
    equal((socket.protocol.close_rcvd.code, socket.protocol.close_rcvd_then_sent), (1000, False))


def an_answered_close_ends_the_connection_at_once():
    # RFC 6455 section 7.1.1: the server ends TCP when it has the answer, not when its patience is over.
    socket, _ = established()
    socket.send("{}")
    start = time.monotonic()
    equal(closing(socket)[0], 3501)
    took = time.monotonic() - start
    assert took < 3, f"the connection ended {took:.1f} s after its close frame was answered"


def an_unasked_pong_closes_with_3501():
    socket, _ = established()
    socket.send("{}")
    equal(closing(socket)[0], 3501)


def a_second_connect_closes_with_3501():
    socket, _ = established()
    say(socket, {"id": 2, "connect": {}})
    equal(closing(socket)[0], 3501)


def send_closes_with_3508():
    socket, _ = established()
    say(socket, {"send": {"data": 1}})
    code, reason = closing(socket)
    equal((code, reason), (3508, "not available"))


CHECKS = {
    "connect and subscribe in one frame": connect_and_subscribe_in_one_frame,
    "a publication is pushed to its publisher as well": publication_push,
    "subscribing twice is error 105": subscribing_twice_is_error_105,
    "the subprotocol is echoed": the_subprotocol_is_echoed,
    "a subprotocol that was not offered is not echoed": a_subprotocol_that_was_not_offered_is_not_echoed,
    "an offer of compression does not hinder": an_offer_of_compression_does_not_hinder,
    "an own Origin is accepted": an_own_origin_is_accepted,
    # Rows 3 and 4.
    "a foreign Origin is refused": refuses_the_handshake_with(403, origin="http://evil.example"),
    "the Origin null is refused": refuses_the_handshake_with(403, origin="null"),
    "a look-alike Origin is refused": refuses_the_handshake_with(403, origin="http://localhost.evil.example"),
    "application pings ask for pongs": application_pings_ask_for_pongs,
    "frame-level pings replace them": frame_level_pings_replace_them,
    "a ping frame is answered with its payload": a_ping_frame_is_answered_with_its_payload,
    "a message at the limit is taken": a_message_at_the_limit_is_taken,
    "a message over the limit closes with 1009": a_message_over_the_limit_closes_with_1009,
    "a normal close is answered": a_normal_close_is_answered,
    "an answered close ends the connection at once": an_answered_close_ends_the_connection_at_once,
    "an unasked pong closes with 3501": an_unasked_pong_closes_with_3501,
    "a second connect closes with 3501": a_second_connect_closes_with_3501,
    "send without a handler closes with 3508": send_closes_with_3508,
    "a command before connect closes with 3501": closes_commands_with(3501, '{"id":1,"publish":{"channel":"a","data":1}}'),
    "an empty frame closes with 3501": closes_commands_with(3501, ""),
    "no JSON closes with 3501": closes_commands_with(3501, "hello"),
    "a command without a number closes with 3501": closes_commands_with(3501, '{"connect":{}}'),
    "a command without a request closes with 3501": closes_commands_with(3501, '{"id":1}'),
    # Rows 15 to 28.
    "an unmasked frame closes with 1002": closes_a_raw_frame_with(1002, frame(0x81, b"{}", masked=False)),
    "a reserved bit closes with 1002": closes_a_raw_frame_with(1002, frame(0xC1, b"{}")),
    "a reserved opcode closes with 1002": closes_a_raw_frame_with(1002, frame(0x83, b"{}")),
    "a long control frame closes with 1002": closes_a_raw_frame_with(1002, frame(0x89, b"x" * 126)),
    "a fragmented control frame closes with 1002": closes_a_raw_frame_with(1002, frame(0x09, b"x")),
    "interleaved messages close with 1002": closes_a_raw_frame_with(1002, frame(0x01, b"{"), frame(0x81, b"}")),
    "a stray continuation closes with 1002": closes_a_raw_frame_with(1002, frame(0x80, b"{}")),
    "fragments with a ping between make one message": fragments_with_a_ping_between_make_one_message,
    "bad UTF-8 closes with 1007": closes_a_raw_frame_with(1007, frame(0x81, b'{"id":"\xff"}')),
    "bad UTF-8 in a fragment closes before its end": closes_a_raw_frame_with(1007, frame(0x01, b"\xf8")),
    "a close frame of one byte closes with 1002": closes_a_raw_frame_with(1002, frame(0x88, b"\x03")),
    "a reserved close code closes with 1002": closes_a_raw_frame_with(1002, frame(0x88, struct.pack("!H", 1005))),
    "bad UTF-8 in a close reason closes with 1007": closes_a_raw_frame_with(
        1007, frame(0x88, struct.pack("!H", 1000) + b"\xff")
    ),
    "a claim of 2^62 bytes closes with 1009": closes_a_raw_frame_with(1009, frame(0x82, b"", length=2**62)),
    "a length with the top bit closes with 1002": closes_a_raw_frame_with(1002, frame(0x82, b"", length=2**63)),
    "a length that is not minimal closes with 1002": closes_a_raw_frame_with(
        1002, struct.pack("!BBH", 0x81, 0x80 | 126, 2) + MASK + b"{}"
    ),
}


judge.run(CHECKS)
