"""Which image is which, whatever file, name or row it came from: a number made of its pixels.

Names cannot say it: the same particle is ``000001@Extract/job010/mic1.mrcs`` in one file and ``J42/imported/...`` in
another, and two projects both have a ``particles.mrcs``. Pixels can: two micrographs have different noise.
"""

import numpy as np

from gemmap._types import Float, Int
from gemmap.particles.stack import ImageStack

_SEED = 20250925


def image_ids(images: Float[np.ndarray, "b d d"]) -> Int[np.ndarray, " b"]:
    """Return a 64-bit number for every image, the same for the same float32 pixels up to one common sign.

    The pixels' bits, without their signs, are multiplied by odd 64-bit numbers and added (mod 2^64). Two different
    images of n have the same number with a probability of about n^2 / 2^64: one in a million for five million images.
    """
    n, box_px = len(images), images.shape[-1]
    words = np.ascontiguousarray(images, np.float32).view(np.uint32).reshape(n, box_px**2) & np.uint32(0x7FFFFFFF)
    factors = np.random.default_rng(_SEED).integers(0, 2**64, box_px**2, np.uint64) | np.uint64(1)
    out = np.empty(n, np.uint64)
    for i, row in enumerate(words):
        total = np.dot(row.astype(np.uint64), factors)
        # The low bits of such a sum depend on the low bits of pixels only.
        out[i] = total ^ (total >> np.uint64(32))
    return out.view(np.int64)


class IdentifiedStack:
    """Images whose numbers are kept as they are read: implements ``ImageStack``.

    Attributes
    ----------
    ids
        (n,), :func:`image_ids` of the images read so far; 0 of the others.
    """

    def __init__(self, source: ImageStack) -> None:
        self._source = source
        self.ids: Int[np.ndarray, " n"] = np.zeros(source.n, np.int64)

    @property
    def n(self) -> int:
        """Number of particles."""
        return self._source.n

    @property
    def box_px(self) -> int:
        """Side of the square images in pixels."""
        return self._source.box_px

    def read(self, rows: Int[np.ndarray, " b"]) -> Float[np.ndarray, "b d d"]:
        """Return the images of the given particles as float32, particles bright (white)."""
        images = self._source.read(rows)
        self.ids[rows] = image_ids(images)
        return images
