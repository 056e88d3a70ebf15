"""The other side of harness/program.ts: a plan as the first argument, then one order at a time, a line of JSON each."""

import asyncio
import json
import os
import sys
import traceback


def plan():
    return json.loads(sys.argv[1])


def say(answer):
    os.write(3, (json.dumps(answer) + "\n").encode())


async def serve(ready, obey):
    """Says what the program is, then obeys orders from standard input until there are no more."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    say(ready)
    while line := await reader.readline():
        try:
            say(await obey(json.loads(line)))
        except Exception:
            say({"error": traceback.format_exc()})


def end(flow):
    """Without the three seconds that a graceful stop of the flow waits, and without what is left of it."""
    for context in flow._contexts.values():
        for pid in context.pids():
            os.kill(pid, 9)
    os._exit(0)


def quantile(ordered, share):
    position = (len(ordered) - 1) * share
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


def latency(durations):
    """Seconds as figures of a row."""
    ordered = sorted(durations)
    return {
        "p50Us": quantile(ordered, 0.5) * 1e6,
        "p99Us": quantile(ordered, 0.99) * 1e6,
        "samples": len(ordered),
    }
