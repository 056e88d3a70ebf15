"""Trains the digit classifier and writes it as ONNX.

    python train.py [--out ../model/digits.onnx] [--cache DIR] [--held-out DIR]

Prints the accuracy on digits that the model never saw. `--held-out DIR` writes those digits as PNG
files, named for `evaluate.ts`. `--cache` keeps the download.
"""

import argparse
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

import data
from augment import disturbed_copies, drawn_digits
from normalise import fit

SEED = 7
BATCH = 128  # digits
EPOCHS = 6
PEAK_RATE = 2e-3
MNIST_COPIES, UCI_COPIES = 14, 20  # augmented copies of each training digit
DRAWN = 45_000  # digits drawn by strokes.py
DRAWN_TEST = 2_000
SMOOTHING = 0.02  # label smoothing: a demo should not claim 100 %
NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def _one_thread() -> None:
    cv2.setNumThreads(1)


def training_set(mnist: data.Source, uci: data.Source) -> tuple[np.ndarray, np.ndarray]:
    """Augmented digits in uint8 [n, 28, 28], and their labels. Made by all cores, the same on any number."""
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        jobs = []
        for source, copies, base in ((mnist, MNIST_COPIES, 100), (uci, UCI_COPIES, 200)):
            for number in range(copies):
                jobs.append((pool.submit(disturbed_copies, source.train.images, 1, base + number), source.train.labels))
            plain = np.stack([fit(image) for image in source.train.images])
            jobs.append((None, (plain, source.train.labels)))
        drawn = [pool.submit(drawn_digits, 2_500, 300 + number) for number in range(DRAWN // 2_500)]
        images, labels = [], []
        for job, rest in jobs:
            made, named = (job.result(), rest) if job is not None else rest
            images.append(np.round(made * 255).astype(np.uint8))
            labels.append(named)
        for job in drawn:
            made, named = job.result()
            images.append(np.round(made * 255).astype(np.uint8))
            labels.append(named)
    return np.concatenate(images), np.concatenate(labels)


def train(images: np.ndarray, labels: np.ndarray, validation: list[tuple[str, np.ndarray, np.ndarray]]):
    # One thread per operation: the sums are then added in the same order every time, and for
    # layers this small more threads are no faster.
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    import jax
    import jax.numpy as jnp
    import optax

    from network import initial, logits

    steps_per_epoch = len(images) // BATCH
    total = steps_per_epoch * EPOCHS
    rate = optax.warmup_cosine_decay_schedule(1e-4, PEAK_RATE, total // 20, total, 1e-6)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate, weight_decay=0.02))
    parameters = initial(jax.random.key(SEED))
    averaged = parameters
    state = optimiser.init(parameters)

    def loss(parameters, batch, targets, key):
        wanted = optax.smooth_labels(jax.nn.one_hot(targets, 10), SMOOTHING)
        return optax.softmax_cross_entropy(logits(parameters, batch, key), wanted).mean()

    @jax.jit
    def step(parameters, averaged, state, batch, targets, key):
        value, slopes = jax.value_and_grad(loss)(parameters, batch.astype(jnp.float32) / 255, targets, key)
        updates, state = optimiser.update(slopes, state, parameters)
        parameters = optax.apply_updates(parameters, updates)
        return parameters, optax.incremental_update(parameters, averaged, 0.002), state, value

    answer = jax.jit(lambda parameters, batch: logits(parameters, batch).argmax(axis=1))
    random = np.random.default_rng(SEED)
    key = jax.random.key(SEED + 1)
    start = time.time()
    for epoch in range(EPOCHS):
        order = random.permutation(len(images))
        mean = 0.0
        for index in range(steps_per_epoch):
            some = order[index * BATCH : (index + 1) * BATCH]
            key, now = jax.random.split(key)
            parameters, averaged, state, value = step(parameters, averaged, state, images[some], labels[some], now)
            mean += float(value) / steps_per_epoch
        right = ", ".join(f"{name} {float((np.asarray(answer(averaged, seen)) == truth).mean()):.4f}" for name, seen, truth in validation)
        print(f"epoch {epoch + 1}/{EPOCHS}  loss {mean:.4f}  validation: {right}  {time.time() - start:.0f} s", flush=True)
    return averaged


def report(model: Path, parts: list[tuple[str, np.ndarray, np.ndarray]]) -> None:
    """Accuracy of the written file, by the runtime that will serve it."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    print(f"{model.name}: {model.stat().st_size:,} bytes")
    for name, images, labels in parts:
        (scores,) = session.run(["probabilities"], {"image": images[:, None].astype(np.float32)})
        right = int((scores.argmax(axis=1) == labels).sum())
        print(f"  {name:<46} {right:>5} of {len(labels):>5}  {100 * right / len(labels):.2f} %")


def write_held_out(folder: Path, sources: list[data.Source]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for source in sources:
        short = source.name.split()[0].lower()
        for index, (image, label) in enumerate(zip(source.test.images, source.test.labels)):
            cv2.imwrite(str(folder / f"{NAMES[label]}-{short}-{index:04}.png"), np.round(image * 255).astype(np.uint8))


def main() -> None:
    parser = argparse.ArgumentParser(description="Trains the digit classifier and writes it as ONNX.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "model" / "digits.onnx")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "digits-data")
    parser.add_argument("--held-out", type=Path)
    parser.add_argument("--evaluate-only", action="store_true", help="only judge the model that is there")
    options = parser.parse_args()
    _one_thread()

    mnist, uci = data.load_mnist(options.cache), data.load_uci()
    if options.held_out:
        write_held_out(options.held_out, [mnist, uci])
    if not options.evaluate_only:
        start = time.time()
        images, labels = training_set(mnist, uci)
        print(f"{len(images):,} training digits in {time.time() - start:.0f} s", flush=True)
        validation = [(s.name, np.stack([fit(image) for image in s.validation.images]), s.validation.labels) for s in (mnist, uci)]
        from network import export

        export(train(images, labels, validation), options.out)

    parts = []
    for source in (mnist, uci):
        images, labels = source.test.images, source.test.labels
        if images.shape[1] == 28:
            parts.append((f"{source.name}, held out, as it is", images, labels))
        parts.append((f"{source.name}, held out, fitted", np.stack([fit(image) for image in images]), labels))
        parts.append((f"{source.name}, held out, disturbed x4", disturbed_copies(images, 4, SEED + 50), np.tile(labels, 4)))
    drawn, named = drawn_digits(DRAWN_TEST, SEED + 60)
    parts.append(("drawn by strokes.py, other seed", drawn, named))
    report(options.out, parts)


if __name__ == "__main__":
    main()
