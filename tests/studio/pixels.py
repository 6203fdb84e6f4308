"""The colours of a picture against the numbers that it stands for."""

import numpy as np

SCALES = {  # the legend's stops, from the least to the largest
    "ink": [f"value-{k}" for k in range(5)],
    "signed": [f"signed-{name}" for name in ("lowest", "low", "zero", "high", "highest")],
    "signal": [f"signal-{name}" for name in ("lowest", "low", "zero", "high", "highest")],
}
# A pixel of each cell, away from the tick at its right upper corner and the dot in its middle.
PIXELS = """(e, [rows, columns]) => {
    const context = e.getContext("2d"), w = e.width / columns, h = e.height / rows, found = [];
    for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++)
        found.push([...context.getImageData(c * w + 1, (r + 1) * h - 2, 1, 1).data.slice(0, 3)]);
    return found;
}"""
TOKENS = """names => {
    const style = getComputedStyle(document.documentElement);
    return names.map((name) => style.getPropertyValue(`--${name}`).trim());
}"""


def stops(page, scale):
    """f64[5, 3]: the colours of the legend, in the theme that is on."""
    texts = page.evaluate(TOKENS, SCALES[scale])
    return np.array([[int(text[k : k + 2], 16) for k in (1, 3, 5)] for text in texts], float)


def size_at_the_ends(values):
    """The size that ends a layer's colours: the 99.5th percentile over all maps of a sample."""
    sizes = np.abs(values.astype(float))
    return np.percentile(sizes, 99.5) or sizes.max()


def assert_colours(canvas, values, scale, size):
    """Each cell of a canvas has the colour of its number, f[rows, columns], ± one level of 255."""
    share = values.astype(float) / size
    along = np.clip(share if scale == "ink" else (share + 1) / 2, 0, 1) * 4
    colours = stops(canvas.page, scale)
    found = np.array(canvas.evaluate(PIXELS, list(values.shape)), float)
    for k in range(3):
        wanted = np.interp(along.reshape(-1), range(5), colours[:, k])
        assert np.abs(found[:, k] - wanted).max() <= 1
