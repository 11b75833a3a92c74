"""Where particles were picked."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from gemmap._types import Float, Int


@dataclass(frozen=True, eq=False)
class Picks:
    """Where particles lie in their micrographs.

    Attributes
    ----------
    micrograph_of
        (n,), a number for each micrograph; -1 where unknown.
    centre_px
        (n, 2), (x, y) of the boxes' centres in pixels of the micrograph, in the frame of the particle images: x along
        columns, y along rows in file order.
    pixel_size_a
        Å per pixel of the micrographs, or None where the file does not say.
    """

    micrograph_of: Int[np.ndarray, " n"]
    centre_px: Float[np.ndarray, "n 2"]
    pixel_size_a: float | None

    def __len__(self) -> int:
        return len(self.micrograph_of)

    def select(self, rows: np.ndarray) -> Self:
        """Return the picks of the given rows."""
        return type(self)(self.micrograph_of[rows], self.centre_px[rows], self.pixel_size_a)
