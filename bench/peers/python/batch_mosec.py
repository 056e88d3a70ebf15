"""The model behind Mosec, whose shortest wait for a batch is a millisecond."""

import sys

from batch_model import run_model, setup
from server import announce, free_port


class Model:
    def forward(self, data):
        return [{"sum": total} for total in run_model([item["number"] for item in data])]


if __name__ == "__main__":
    port = free_port()
    # Mosec reads the command line, in its workers too.
    sys.argv = [sys.argv[0], "--port", str(port), "--address", "127.0.0.1", "--timeout", "30000", "--log-level", "error"]

from mosec import Server, Worker  # noqa: E402


class Predict(Model, Worker):
    pass


if __name__ == "__main__":
    announce(port, "/predict", {"number": 0})
    server = Server()
    server.append_worker(
        Predict,
        max_batch_size=setup["batchSize"],
        max_wait_time=max(1, int(setup["batchTimeout"])),
        start_method="fork",
        route="/predict",
    )
    server.run()
