"""The sum task through Avito's Aqueduct, driven by asyncio as closed-loop.ts drives the others."""

import asyncio
import os
import time

from aqueduct import BaseTask, BaseTaskHandler, Flow, FlowStep

from program import end, latency, plan, serve

WARM_UP_SHARE = 0.2
CLOCK_EVERY = 32
LEAST_SAMPLES = 20


class SumTask(BaseTask):
    def __init__(self, number):
        super().__init__()
        self.number = number
        self.sum = number


class SumHandler(BaseTaskHandler):
    def handle(self, *tasks):
        for task in tasks:
            task.sum += 1


setup = plan()
steps = setup["steps"]


async def call(flow, number):
    task = SumTask(number)
    await flow.process(task)
    if task.sum != number + steps:
        raise ValueError(f"wrong result: {number} + {steps} came back as {task.sum}")


async def throughput(flow, in_flight, seconds):
    warm_until = time.perf_counter() + seconds * WARM_UP_SHARE
    running = True
    following = finished = 0
    begin = until = None

    def mark():
        return time.perf_counter(), finished, time.process_time()

    async def loop():
        nonlocal running, following, finished, begin, until
        try:
            while running:
                number = following
                following += 1
                await call(flow, number)
                finished += 1
                if finished % CLOCK_EVERY == 0:
                    at = time.perf_counter()
                    if begin is None:
                        if at >= warm_until:
                            begin = mark()
                    elif running and at - begin[0] >= seconds:
                        until = mark()
                        running = False
        finally:
            running = False

    await asyncio.gather(*(loop() for _ in range(in_flight)))
    tasks = until[1] - begin[1]
    rate = tasks / (until[0] - begin[0])
    return {
        "tasksPerSecond": rate,
        "usPerTask": 1e6 / rate,
        "webCpuUsPerTask": (until[2] - begin[2]) / tasks * 1e6,
    }


async def round_trips(flow, seconds, pause_ms):
    durations = []
    warm_until = time.perf_counter() + seconds * WARM_UP_SHARE
    until = warm_until + seconds
    number = 0
    while time.perf_counter() < until or len(durations) < LEAST_SAMPLES:
        if pause_ms > 0:
            await asyncio.sleep(pause_ms / 1000)
        begin = time.perf_counter()
        await call(flow, number)
        duration = time.perf_counter() - begin
        if begin >= warm_until:
            durations.append(duration)
        number += 1
    return latency(durations)


async def main():
    began = time.perf_counter()
    flow = Flow(
        *(FlowStep(SumHandler(), nprocs=setup["workers"]) for _ in range(steps)),
        queue_size=setup["options"].get("queueSize"),
    )
    flow.start()
    await call(flow, 0)
    ready = {
        "pid": os.getpid(),
        "workers": [pid for context in flow._contexts.values() for pid in context.pids()],
        "readyMs": (time.perf_counter() - began) * 1000,
    }

    async def obey(order):
        if order["do"] == "throughput":
            return await throughput(flow, order["inFlight"], order["seconds"])
        return await round_trips(flow, order["seconds"], order["pauseMs"])

    await serve(ready, obey)
    end(flow)


asyncio.run(main())
