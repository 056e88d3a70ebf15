"""The network, and its way into an ONNX file."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from jax import lax
from onnx import TensorProto, helper, numpy_helper

# (kernel side, channels in, channels out, stride); padding keeps the size, but for the stride.
LAYERS = [(5, 1, 24, 2), (3, 24, 32, 1), (3, 32, 64, 2), (3, 64, 96, 2)]
LAST = (4, 4, 96)  # rows, columns, channels of what the last layer gives
FEATURES = 4 * 4 * 96
DROPOUT = 0.4

Parameters = dict[str, jax.Array]


def initial(key: jax.Array) -> Parameters:
    parameters: Parameters = {}
    for index, (side, into, out, _) in enumerate(LAYERS):
        key, some = jax.random.split(key)
        spread = np.sqrt(2 / (side * side * into))
        parameters[f"conv{index}.weight"] = jax.random.normal(some, (side, side, into, out)) * spread
        parameters[f"conv{index}.bias"] = jnp.zeros(out)
    key, some = jax.random.split(key)
    parameters["dense.weight"] = jax.random.normal(some, (FEATURES, 10)) * np.sqrt(1 / FEATURES)
    parameters["dense.bias"] = jnp.zeros(10)
    return parameters


def logits(parameters: Parameters, images: jax.Array, dropout: jax.Array | None = None) -> jax.Array:
    """[n, 28, 28] to [n, 10]. `dropout` is the random key of a training step."""
    x = images[..., None]
    for index, (side, _, _, stride) in enumerate(LAYERS):
        pad = side // 2
        x = lax.conv_general_dilated(
            x,
            parameters[f"conv{index}.weight"],
            (stride, stride),
            [(pad, pad), (pad, pad)],
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        x = jax.nn.relu(x + parameters[f"conv{index}.bias"])
    x = x.reshape(len(x), -1)
    if dropout is not None:
        x = jnp.where(jax.random.bernoulli(dropout, 1 - DROPOUT, x.shape), x / (1 - DROPOUT), 0)
    return x @ parameters["dense.weight"] + parameters["dense.bias"]


def export(parameters: Parameters, path: Path) -> None:
    """`image` float32 [N, 1, 28, 28] to `probabilities` float32 [N, 10]."""
    nodes, weights = [], []

    def keep(name: str, values: np.ndarray) -> str:
        weights.append(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))
        return name

    x = "image"
    for index, (side, _, _, stride) in enumerate(LAYERS):
        # JAX holds kernels as [height, width, in, out], ONNX as [out, in, height, width].
        kernel = keep(f"conv{index}.weight", np.asarray(parameters[f"conv{index}.weight"]).transpose(3, 2, 0, 1))
        bias = keep(f"conv{index}.bias", np.asarray(parameters[f"conv{index}.bias"]))
        nodes.append(
            helper.make_node(
                "Conv", [x, kernel, bias], [f"conv{index}"], kernel_shape=[side, side], strides=[stride, stride], pads=[side // 2] * 4
            )
        )
        nodes.append(helper.make_node("Relu", [f"conv{index}"], [f"relu{index}"]))
        x = f"relu{index}"
    # Flattened here in the order [channel, row, column], in JAX in the order [row, column, channel].
    dense = np.asarray(parameters["dense.weight"]).reshape(*LAST, 10).transpose(2, 0, 1, 3).reshape(FEATURES, 10)
    nodes += [
        helper.make_node("Flatten", [x], ["features"], axis=1),
        helper.make_node("Gemm", ["features", keep("dense.weight", dense), keep("dense.bias", np.asarray(parameters["dense.bias"]))], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 28, 28])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 10])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="examples/digits")
    onnx.checker.check_model(model, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
