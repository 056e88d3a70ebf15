"""The model behind LitServe: batches of what is there."""

import litserve

from batch_model import run_model, setup
from server import announce, free_port


class Api(litserve.LitAPI):
    def setup(self, device):
        pass

    def decode_request(self, request):
        return request["number"]

    def predict(self, numbers):
        return run_model(numbers)

    def encode_response(self, output):
        return {"sum": output}


if __name__ == "__main__":
    port = free_port()
    announce(port, "/predict", {"number": 0})
    api = Api(max_batch_size=setup["batchSize"], batch_timeout=setup["batchTimeout"] / 1000)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=port, log_level="error", generate_client_file=False)
