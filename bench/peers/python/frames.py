"""Frames through two steps of Avito's Aqueduct that read an element of each page, in its shared memory."""

import asyncio
import time

import numpy as np
from aqueduct import BaseTask, BaseTaskHandler, Flow, FlowStep

from program import end, latency, serve

SOURCES = 4
WARM_UP_SHARE = 0.2
LEAST_SAMPLES = 5
PAGE_ELEMENTS = 1024


def sum_of_pages(frame):
    return float(frame[::PAGE_ELEMENTS].sum())


class FrameTask(BaseTask):
    def __init__(self, frame):
        super().__init__()
        self.frame = frame
        self.seen = 0.0
        self.share_value("frame")  # the copy into shared memory, as process() makes it in the others


class PagesHandler(BaseTaskHandler):
    def handle(self, *tasks):
        for task in tasks:
            task.seen = sum_of_pages(task.frame)


async def measure(flow, size, seconds):
    length = size // 4
    sources = [((np.arange(length) + seed) % 251).astype(np.float32) for seed in range(SOURCES)]
    expected = [sum_of_pages(source) for source in sources]
    durations = []
    warm_until = time.perf_counter() + seconds * WARM_UP_SHARE
    until = warm_until + seconds
    count = 0
    while time.perf_counter() < until or len(durations) < LEAST_SAMPLES:
        source = count % SOURCES
        begin = time.perf_counter()
        task = FrameTask(sources[source])
        await flow.process(task)
        duration = time.perf_counter() - begin
        if task.seen != expected[source]:
            raise ValueError(f"wrong result: the last step read {task.seen}, not {expected[source]}")
        if begin >= warm_until:
            durations.append(duration)
        count += 1
    return latency(durations)


async def main():
    flow = Flow(FlowStep(PagesHandler()), FlowStep(PagesHandler()))
    flow.start()

    async def obey(order):
        return await measure(flow, order["bytes"], order["seconds"])

    await serve({}, obey)
    end(flow)


asyncio.run(main())
