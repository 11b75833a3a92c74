"""What every image source offers; files implement it in io, arrays here."""

from typing import Protocol

import numpy as np

from gemmap._types import Float, Int


class ImageStack(Protocol):
    """n square images, addressed by particle number, read in chunks and never whole."""

    @property
    def n(self) -> int:
        """Number of particles."""
        ...

    @property
    def box_px(self) -> int:
        """Side of the square images in pixels."""
        ...

    def read(self, rows: Int[np.ndarray, " b"]) -> Float[np.ndarray, "b d d"]:
        """Return the images of the given particles as float32, particles bright (white)."""
        ...


class ArrayStack:
    """Images already in memory: for tests, notebooks and small simulated sets."""

    def __init__(self, images: Float[np.ndarray, "n d d"]) -> None:
        self._images = images

    @property
    def n(self) -> int:
        """Number of particles."""
        return len(self._images)

    @property
    def box_px(self) -> int:
        """Side of the square images in pixels."""
        return int(self._images.shape[-1])

    def read(self, rows: Int[np.ndarray, " b"]) -> Float[np.ndarray, "b d d"]:
        """Return the images of the given particles as float32."""
        return np.ascontiguousarray(self._images[rows], dtype=np.float32)


class SelectedStack:
    """Some of the images of another stack, numbered from 0: implements ``ImageStack``.

    Parameters
    ----------
    source
        All images.
    rows
        (k,), which of them.
    """

    def __init__(self, source: ImageStack, rows: Int[np.ndarray, " k"]) -> None:
        self._source, self._rows = source, np.asarray(rows)

    @property
    def n(self) -> int:
        """Number of particles."""
        return len(self._rows)

    @property
    def box_px(self) -> int:
        """Side of the square images in pixels."""
        return self._source.box_px

    def read(self, rows: Int[np.ndarray, " b"]) -> Float[np.ndarray, "b d d"]:
        """Return the images of the given particles as float32, particles bright (white)."""
        return self._source.read(self._rows[rows])
