"""Tasks that arrive at a constant rate at Avito's Aqueduct, as harness/open-loop.ts sends them."""

import asyncio
import math
import time

from aqueduct import BaseTask, BaseTaskHandler, Flow, FlowStep

from batch_model import run_model, setup
from program import end, quantile, serve

WARM_UP_SHARE = 0.25
LOOK = 0.0013
MOST_WAITING_SECONDS = 2
LEAST_WAITING = 500


class BatchTask(BaseTask):
    def __init__(self, number):
        super().__init__()
        self.number = number
        self.sum = None


class BatchHandler(BaseTaskHandler):
    def handle(self, *tasks):
        for task, total in zip(tasks, run_model([task.number for task in tasks])):
            task.sum = total


async def open_loop(flow, per_second, seconds):
    apart = 1 / per_second
    warm_up = math.ceil(per_second * seconds * WARM_UP_SHARE)
    total = warm_up + max(1, math.ceil(per_second * seconds))
    most_waiting = max(LEAST_WAITING, per_second * MOST_WAITING_SECONDS)
    latencies, lateness, waiting = [], [], set()
    answered = failed = 0
    failure = None
    begin = time.perf_counter() + apart
    measured_from, measured_until = begin + warm_up * apart, begin + total * apart

    async def send(number):
        nonlocal answered, failed, failure
        due = begin + number * apart
        if number >= warm_up:
            lateness.append(time.perf_counter() - due)
        try:
            task = BatchTask(number)
            await flow.process(task, timeout_sec=30)
            if task.sum != number + 1:
                raise ValueError(f"wrong result: {number} + 1 came back as {task.sum}")
        except Exception as error:
            failed += 1
            failure = failure or repr(error)
            return
        now = time.perf_counter()
        if number >= warm_up:
            latencies.append(now - due)
        if measured_from <= now < measured_until:
            answered += 1

    following = 0
    while following < total and len(waiting) <= most_waiting:
        now = time.perf_counter()
        while following < total and begin + following * apart <= now:
            sending = asyncio.create_task(send(following))
            waiting.add(sending)
            sending.add_done_callback(waiting.discard)
            following += 1
        left = begin + following * apart - time.perf_counter()
        await asyncio.sleep(0 if left < LOOK else left - LOOK)
    await asyncio.gather(*waiting)
    ordered = sorted(latencies) or [float("nan")]
    return {
        "offeredPerSecond": per_second,
        "answeredPerSecond": answered / (measured_until - measured_from),
        "p50Ms": quantile(ordered, 0.5) * 1000,
        "p99Ms": quantile(ordered, 0.99) * 1000,
        "maxMs": ordered[-1] * 1000,
        "samples": len(latencies),
        "failed": failed,
        "failure": failure,
        "lateP50Ms": quantile(sorted(lateness), 0.5) * 1000,
        "isAbandoned": following < total,
    }


async def main():
    flow = Flow(
        FlowStep(
            BatchHandler(), batch_size=setup["batchSize"], batch_timeout=setup["batchTimeout"] / 1000
        ),
        queue_size=1024,
    )
    flow.start()

    async def obey(order):
        return await open_loop(flow, order["perSecond"], order["seconds"])

    await serve({}, obey)
    end(flow)


asyncio.run(main())
