"""PyPI `websockets` as a client of an example that echoes: what comes back, and what is agreed on compression.

    python echo_suite.py ECHO_URL
"""

import itertools

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Close
from websockets.sync.client import connect

import judge
from judge import COMPRESSIBLE, PATIENCE, WINDOWS, equal, noise, prose

ADDRESS = judge.arguments("echo_suite.py")[0].replace("http", "ws", 1)

# Codes that may stand in a close frame (RFC 6455 section 7.4).
CODES = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
# Around each change of a length's encoding (RFC 6455 section 5.2).
LENGTHS = [0, 1, 125, 126, 127, 65_535, 65_536, 1_000_000]


def opened(*offers, **options):
    timeouts = {"open_timeout": PATIENCE, "close_timeout": PATIENCE}
    extensions = list(offers) or None
    return connect(
        ADDRESS, legacy=True, proxy=None, compression=None, extensions=extensions, max_size=32 << 20, **timeouts, **options
    )


def echoes(socket, *messages):
    """Sends each message, and expects each back as it was, in their order."""
    for message in messages:
        socket.send(message)
    for message in messages:
        judge.same(socket.recv(timeout=PATIENCE), message)


def end(socket):
    """Reads on until the connection ends; what the server's close frame says."""
    try:
        while True:
            socket.recv(timeout=PATIENCE)
    except ConnectionClosed as closed:
        assert closed.rcvd is not None, "the connection ended without a close frame"
        return closed.rcvd


def text_and_binary_of_every_length():
    with opened() as socket:
        for length in LENGTHS:
            echoes(socket, prose(length), noise(length))


def many_messages_at_once():
    with opened() as socket:
        echoes(socket, *(f"{at} {prose(at)}" for at in range(500)))


def fragments_with_pings_between():
    with opened() as socket:

        def parts():
            for at in range(300):
                if at % 60 == 0:
                    assert socket.ping(str(at)).wait(PATIENCE), "no pong between fragments"
                yield f"part {at} 🚢, "

        socket.send(parts())
        equal(socket.recv(timeout=PATIENCE), "".join(f"part {at} 🚢, " for at in range(300)))
        socket.send([noise(500_000), b"", noise(500_000)])
        judge.same(socket.recv(timeout=PATIENCE), noise(500_000) * 2)


def pings_of_every_length():
    with opened() as socket:
        for length in range(126):
            assert socket.ping(noise(length)).wait(PATIENCE), f"no pong to a ping of {length} bytes"


def an_unasked_pong():
    with opened() as socket:
        socket.pong(b"unasked")
        echoes(socket, "still there")


def close_codes():
    for code, reason in itertools.product(CODES, ["", "bye", "🚢" * 30]):
        socket = opened()
        socket.close(code, reason)
        assert socket.protocol.close_rcvd is not None, f"{code} was not answered"
        equal(socket.protocol.close_rcvd.code, code)
        equal(socket.protocol.close_rcvd_then_sent, False)


def messages_before_a_close():
    socket = opened()
    socket.send(prose(100_000))
    equal(socket.recv(timeout=PATIENCE), prose(100_000))
    socket.send("last")
    socket.close(1001, "going")
    equal(socket.protocol.close_rcvd, Close(1001, ""))


def a_message_over_the_limit():
    socket = opened()
    try:
        socket.send(noise((16 << 20) + 1))
    except ConnectionClosed:
        pass  # The server may say so before it has heard all.
    equal(end(socket).code, 1009)


def a_subprotocol_that_nobody_speaks():
    with opened(subprotocols=["chat", "mqtt"]) as socket:
        equal(socket.subprotocol, None)
        echoes(socket, "all the same")


def answered(socket):
    """The agreed extension; none if the server has declined."""
    (extension,) = socket.protocol.extensions or [None]
    return extension


def try_offer(**offer):
    factory = ClientPerMessageDeflateFactory(**offer)
    with opened(factory) as socket:
        # That the answer fits the offer, the library has seen to.
        # A window of 256 bytes, which zlib cannot write, may be declined (RFC 7692 section 7.1.2.1).
        equal(answered(socket) is None, offer["server_max_window_bits"] == 8)
        echoes(socket, *COMPRESSIBLE)


def offers_of(server_no_context_takeover, client_no_context_takeover):
    """A check of every offer with these two parameters."""

    def check():
        for server, client in itertools.product([None, 8, *WINDOWS], [None, True, *WINDOWS]):
            offer = {
                "server_no_context_takeover": server_no_context_takeover,
                "client_no_context_takeover": client_no_context_takeover,
                "server_max_window_bits": server,
                "client_max_window_bits": client,
            }
            try:
                try_offer(**offer)
            except Exception as error:
                raise AssertionError(f"{offer}: {type(error).__name__}: {error}") from error

    return check


def a_second_offer():
    # RFC 7692 section 5.1: offers come in the client's order of preference, and the server may take any.
    small = ClientPerMessageDeflateFactory(True, True, 9, 9)
    try:
        socket = opened(small, ClientPerMessageDeflateFactory())
    except InvalidStatus as refused:
        raise AssertionError("two offers are refused") from refused
    with socket:
        assert answered(socket) is not None, "none of two offers is taken"
        echoes(socket, *COMPRESSIBLE)


CHECKS = {
    "text and binary of every length come back": text_and_binary_of_every_length,
    "many messages at once come back in their order": many_messages_at_once,
    "fragments are put together, with pings between them": fragments_with_pings_between,
    "pings of every length are answered": pings_of_every_length,
    "a pong that nobody asked for is passed over": an_unasked_pong,
    "every close code that may be sent is answered with itself": close_codes,
    "messages before a close are answered before it": messages_before_a_close,
    "a message over the limit is refused with 1009": a_message_over_the_limit,
    "a subprotocol that nobody speaks is not chosen": a_subprotocol_that_nobody_speaks,
    "every offer of windows with takeover both ways is answered": offers_of(False, False),
    "every offer of windows without takeover by the server is answered": offers_of(True, False),
    "every offer of windows without takeover by the client is answered": offers_of(False, True),
    "every offer of windows without takeover is answered": offers_of(True, True),
    "one of two offers is answered": a_second_offer,
}

judge.run(CHECKS)
