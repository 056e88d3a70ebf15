"""What happens to a digit between one hand and another: slant, size, wobble, pen, paper."""

import cv2
import numpy as np

from normalise import fit
from strokes import CANVAS, draw


def enlarge(image: np.ndarray) -> np.ndarray:
    """A scanned digit of any size in the middle of a [CANVAS, CANVAS] picture."""
    side = round(CANVAS * 0.72)
    grown = cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC)
    picture = np.zeros((CANVAS, CANVAS), np.float32)
    start = (CANVAS - side) // 2
    picture[start : start + side, start : start + side] = np.clip(grown, 0, 1)
    return picture


def _warp(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Rotation, shear, proportion and elastic distortion in one resampling."""
    angle = np.deg2rad(random.normal(0, 8))
    shear = random.normal(0, 0.16)
    sx, sy = np.exp(random.normal(0, 0.12, 2))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.array([[1, shear], [0, 1]]) @ np.diag([1 / sx, 1 / sy])
    middle = (CANVAS - 1) / 2
    y, x = np.mgrid[0:CANVAS, 0:CANVAS].astype(np.float32) - middle
    at_x = matrix[0, 0] * x + matrix[0, 1] * y + middle
    at_y = matrix[1, 0] * x + matrix[1, 1] * y + middle
    knots = int(random.integers(4, 8))
    strength = random.uniform(0, 4)
    for field in (at_x, at_y):
        coarse = random.normal(0, 1, (knots, knots)).astype(np.float32)
        field += cv2.resize(coarse, (CANVAS, CANVAS), interpolation=cv2.INTER_CUBIC) * strength
    return cv2.remap(picture, at_x.astype(np.float32), at_y.astype(np.float32), cv2.INTER_LINEAR)


def _thicken(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A thinner or a fatter pen; never so thin that the line is gone."""
    if random.random() < 0.55:
        size = int(random.integers(2, 9))
        return cv2.dilate(picture, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    size = int(random.integers(2, 6))
    thinner = cv2.erode(picture, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    return thinner if thinner.sum() > 0.45 * picture.sum() else picture


def _print(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Blur, uneven darkness, soft or hard edges, a little grain."""
    if random.random() < 0.5:
        picture = cv2.GaussianBlur(picture, (0, 0), random.uniform(0.5, 3.0))
        picture = picture / max(float(picture.max()), 1e-6)
    if random.random() < 0.4:
        edge = random.uniform(1.5, 6)
        picture = np.clip((picture - 0.5) * edge + 0.5, 0, 1)
    if random.random() < 0.4:
        coarse = random.uniform(0.45, 1, (4, 4)).astype(np.float32)
        picture = picture * cv2.resize(coarse, (CANVAS, CANVAS), interpolation=cv2.INTER_LINEAR)
    if random.random() < 0.3:
        picture = picture ** random.uniform(0.6, 1.6)
    return picture


def disturb(picture: np.ndarray, random: np.random.Generator, drawn: bool) -> np.ndarray:
    """A [CANVAS, CANVAS] picture, disturbed and normalised to what the model sees."""
    picture = _warp(picture, random)
    if random.random() < (0.2 if drawn else 0.6):
        picture = _thicken(picture, random)
    picture = _print(np.clip(picture, 0, 1), random)
    seen = fit(picture, float(np.exp(random.normal(0, 0.05))), tuple(random.normal(0, 0.6, 2)))
    if random.random() < 0.2:
        seen = seen + random.normal(0, random.uniform(0, 0.08), seen.shape)
    peak = max(float(seen.max()), 1e-6)
    return np.clip(seen / peak if random.random() < 0.7 else seen, 0, 1).astype(np.float32)


def disturbed_copies(images: np.ndarray, copies: int, seed: int) -> np.ndarray:
    """[n * copies, 28, 28]: the copies of all images, round after round."""
    random = np.random.default_rng(seed)
    large = [enlarge(image) for image in images]
    return np.stack([disturb(picture, random, False) for _ in range(copies) for picture in large])


def drawn_digits(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`count` drawings and their labels."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 10, count)
    return np.stack([disturb(draw(int(digit), random), random, True) for digit in labels]), labels
