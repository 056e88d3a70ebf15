"""For servers that keep the main thread to themselves: says when one answers, and ends it when standard input ends."""

import json
import os
import signal
import socket
import sys
import threading
import time
import urllib.request

from program import say

TIMEOUT = 60


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def announce(port, path, body):
    """Waits in a thread until the server answers, and then for the end of the orders, of which there are none."""

    def wait():
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            try:
                request = urllib.request.Request(
                    f"http://127.0.0.1:{port}{path}",
                    data=json.dumps(body).encode(),
                    headers={"content-type": "application/json"},
                )
                urllib.request.urlopen(request, timeout=5).read()
                break
            except OSError:
                time.sleep(0.05)
        say({"port": port})
        sys.stdin.read()
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()
