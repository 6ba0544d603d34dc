"""PyPI `websockets` as a server, which judges a client.

    python websocket_server.py

Prints `listening on ADDRESS`, and for each connection that ended a line of JSON: {"code":...,"reason":...}, as it saw the
end. The end of standard input ends it. What it does is in the request's path:

    /echo                  sends every message back
    /fragments             the same in fragments of 1,000 characters or bytes, a ping before each
    /close?code=&reason=   closes at once
    /deflate?options=      from then on compresses by these options, a JSON object of the library's; null: not at all

Of the subprotocols that are offered the last is chosen.
"""

import json
import sys
import threading
from urllib.parse import parse_qs, urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.sync.server import serve

printing = threading.Lock()


# The library asks for this list at each handshake, so that it may change between connections.
extensions = []


def fragments(message):
    return [message[at : at + 1_000] for at in range(0, max(len(message), 1), 1_000)]


def converse(socket):
    url = urlsplit(socket.request.path)
    query = {key: values[0] for key, values in parse_qs(url.query, keep_blank_values=True).items()}
    if url.path == "/deflate":
        options = json.loads(query["options"])
        extensions[:] = [] if options is None else [ServerPerMessageDeflateFactory(**options)]
    elif url.path == "/close":
        socket.close(int(query["code"]), query["reason"])
    elif url.path == "/echo":
        for message in socket:
            socket.send(message)
    else:
        for message in socket:

            def parts():
                for part in fragments(message):
                    socket.ping()
                    yield part

            socket.send(parts())


def handle(socket):
    try:
        converse(socket)
    except ConnectionClosed:
        pass  # By an error: what it was is below.
    socket.close()
    said = {"code": socket.close_code, "reason": socket.close_reason}
    with printing:
        print(json.dumps(said), flush=True)


with serve(
    handle,
    "127.0.0.1",
    0,
    compression=None,
    extensions=extensions,
    select_subprotocol=lambda _, offered: offered[-1] if offered else None,
    max_size=32 << 20,
) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host, port = server.socket.getsockname()
    print(f"listening on {host}:{port}", flush=True)
    sys.stdin.read()
