"""A model that gains from batches: as harness/batch-model.ts."""

import time

from program import plan

setup = plan()


def run_model(numbers):
    until = time.perf_counter() + (setup["callMs"] + len(numbers) * setup["itemMs"]) / 1000
    while time.perf_counter() < until:
        pass
    return [number + 1 for number in numbers]
