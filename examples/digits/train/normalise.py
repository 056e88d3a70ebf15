"""The geometry of MNIST: the same crop, fit and centring as `normalise.ts`.

Only the geometry is shared. Finding the ink in a photograph (background, polarity, specks) is
the business of `normalise.ts`; here the ink is known, because we drew it.
"""

import numpy as np

SIZE = 28  # pixels of a side of what the model sees
BOX = 20  # pixels of the longer side of the digit inside it
EDGE = 0.15  # ink below this share of the darkest is not part of the digit's box


def filter_weights(source: int, centre: float, scale: float) -> np.ndarray:
    """Triangle filter, [SIZE, source]: row i weighs the source pixels that output pixel i sees.

    `centre` is the source position (pixel centres at .5) that lands in the middle of the output,
    `scale` the source pixels per output pixel.
    """
    radius = max(scale, 1.0)
    at = centre + (np.arange(SIZE) + 0.5 - SIZE / 2) * scale
    distance = np.abs(np.arange(source)[None, :] + 0.5 - at[:, None]) / radius
    weights = np.maximum(0.0, 1.0 - distance)
    # Divided by what the filter weighs over an endless source, so that beyond the edge is paper.
    whole = np.floor(at[:, None] - radius) + 0.5 + np.arange(int(2 * radius) + 3)[None, :]
    total = np.maximum(0.0, 1.0 - np.abs(whole - at[:, None]) / radius).sum(axis=1)
    return (weights / total[:, None]).astype(np.float32)


def fit(ink: np.ndarray, stretch: float = 1.0, shift: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """Ink [height, width] in 0..1 to [SIZE, SIZE]: longer side BOX pixels, centre of mass central.

    `stretch` and `shift` (output pixels) disturb the fit on purpose, for training.
    """
    seen = ink > EDGE * max(float(ink.max()), 1e-6)
    rows = np.flatnonzero(seen.any(axis=1))
    columns = np.flatnonzero(seen.any(axis=0))
    if rows.size == 0:
        return np.zeros((SIZE, SIZE), np.float32)
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    part = ink[top:bottom, left:right]
    height, width = part.shape
    scale = max(height, width) / BOX / stretch
    mass = float(part.sum())
    y = float((part.sum(axis=1) * (np.arange(height) + 0.5)).sum()) / mass
    x = float((part.sum(axis=0) * (np.arange(width) + 0.5)).sum()) / mass
    # The centring may not push ink out of the picture.
    margin = (SIZE - BOX) / 2 * scale
    y = min(max(y, height / 2 - margin), height / 2 + margin) + shift[0] * scale
    x = min(max(x, width / 2 - margin), width / 2 + margin) + shift[1] * scale
    down = filter_weights(height, y, scale)
    across = filter_weights(width, x, scale)
    return np.clip(down @ part @ across.T, 0.0, 1.0)
