"""What the Python judges share: named checks, and the count at the end."""

import json
import random
import sys
import traceback
import urllib.request

# How long a check waits for anything before it fails, in seconds.
PATIENCE = 10.0


class Counts:
    """Prints `ok NAME` or `not ok NAME: why` for each check, and `N passed, N failed` at the end."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def ok(self, name):
        self.passed += 1
        print(f"ok {name}", flush=True)

    def not_ok(self, name, error):
        self.failed += 1
        where = traceback.extract_tb(error.__traceback__)
        line = f" (line {where[-1].lineno} of {where[-1].name})" if where else ""
        why = " ".join(f"{type(error).__name__}: {error}".split())
        print(f"not ok {name}: {why}{line}", flush=True)

    def end(self):
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        sys.exit(0 if self.failed == 0 else 1)


def run(checks):
    """Makes every check, a function that throws where the judged is at fault, by its name, and ends the process."""
    counts = Counts()
    for name, check in checks.items():
        try:
            check()
            counts.ok(name)
        except Exception as error:
            counts.not_ok(name, error)
    counts.end()


def arguments(usage):
    """The base address of the server, and the API key or an empty text."""
    if len(sys.argv) < 2:
        sys.exit(f"usage: {usage} BASE_URL [API_KEY]")
    return sys.argv[1].rstrip("/"), sys.argv[2] if len(sys.argv) > 2 else ""


def equal(left, right):
    """An assertion that shows both sides."""
    if left != right:
        raise AssertionError(f"{left!r} is not {right!r}")


def same(came, expected):
    """Compares two messages, of any length, by content and kind."""
    if came != expected:
        raise AssertionError(f"{show(came)} came in the place of {show(expected)}")


def show(message):
    return f"{type(message).__name__} of {len(message)}, {message[:40]!r}"


def prose(length):
    """Text of so many bytes that compresses well."""
    line = "all ships dock at the same wharf, "
    return (line * (length // len(line) + 1))[:length]


def noise(length):
    """Bytes that do not compress, the same ones in each run."""
    return random.Random(7692).randbytes(length)


# The values that a window may be given.
WINDOWS = [9, 10, 11, 12, 13, 14, 15]

# Messages that show whether two sides agree on compression: some repeat what came before them.
COMPRESSIBLE = [
    prose(1_000), prose(1_000), "", "x", b"", noise(3_000), prose(40_000).encode(), noise(20_000), prose(1_000)
]


def api(base, key, method, **parameters):
    """Calls the server API without any client library."""
    headers = {"Content-Type": "application/json"}
    if key:
        headers["X-API-Key"] = key
    request = urllib.request.Request(
        f"{base}/api/{method}", data=json.dumps(parameters).encode(), headers=headers
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=PATIENCE) as response:
        reply = json.load(response)
    if "error" in reply:
        raise AssertionError(f"/api/{method}: {reply['error']}")
    return reply["result"]
