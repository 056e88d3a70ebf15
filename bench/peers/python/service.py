"""The same service as programs/service.ts: Avito's Aqueduct behind aiohttp, with ONNX Runtime for Python."""

import asyncio
import os

import numpy as np
import onnxruntime
from aiohttp import web
from aqueduct import BaseTask, BaseTaskHandler, Flow, FlowStep

from program import end, plan, serve

setup = plan()
network = setup["network"]


class PredictTask(BaseTask):
    def __init__(self, body):
        super().__init__()
        self.body = body
        self.index = -1
        self.score = 0.0


class PredictHandler(BaseTaskHandler):
    def on_start(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = network["threads"]
        self.session = onnxruntime.InferenceSession(
            network["file"], options, providers=["CPUExecutionProvider"]
        )

    def handle(self, *tasks):
        if network["model"] == "digits":
            pixels = np.stack([np.frombuffer(task.body, np.uint8) for task in tasks])
            image = (pixels.astype(np.float32) / 255).reshape(len(tasks), 1, 28, 28)
            (scores,) = self.session.run(["probabilities"], {"image": image})
        else:
            pixels = np.stack([np.frombuffer(task.body, np.uint8) for task in tasks])
            (scores,) = self.session.run(["scores"], {"pixels": pixels.reshape(len(tasks), 224, 224, 3)})
        for task, row in zip(tasks, scores.reshape(len(tasks), -1)):
            task.index = int(row.argmax())
            task.score = float(row[task.index])


async def main():
    flow = Flow(
        FlowStep(PredictHandler(), nprocs=setup["workers"], batch_size=setup["batchSize"]),
        queue_size=1024,
    )
    flow.start()

    async def predict(request):
        task = PredictTask(await request.read())
        if len(task.body) >= 32768:
            task.share_value("body")
        await flow.process(task)
        return web.json_response({"index": task.index, "score": task.score})

    async def light(_request):
        return web.json_response({"light": True})

    app = web.Application()
    app.router.add_post("/predict", predict)
    app.router.add_get("/light", light)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()
    ready = {
        "port": site._server.sockets[0].getsockname()[1],
        "workers": [pid for context in flow._contexts.values() for pid in context.pids()],
    }

    async def obey(_order):
        return {}

    await serve(ready, obey)
    end(flow)


os.environ.setdefault("OMP_NUM_THREADS", "1")
asyncio.run(main())
