"""Products of two fits and two back-projections, summed over shells and directions: all that the cross-FSC is made of.

The sums of different directions add, so the curve of any choice of directions costs no further transform.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from gemmap._types import Complex, Curve, Float, Int, Volume
from gemmap.geometry.grids import frequencies
from gemmap.validate.fsc import check_same_box, fourier_shells, masked_transform
from gemmap.validate.uncertainty import independent_points

#: Products in the order of :attr:`CrossSums.by_cell`: powers of the two fits and of the two back-projections, fit with
#: fit, back-projection with back-projection, and the mean of both fits with the other half's back-projection.
FIT1, FIT2, BACK1, BACK2, FITS, BACKS, CROSS = range(7)
#: Rings of the cells of direction, from pole to pole; a cell is about 180 degrees / N_RINGS wide. A mask makes
#: values alike that are closer than N / (its width in voxels): a tenth of a radian and less where resolutions are read.
N_RINGS = 14
_CELLS_PER_RING = np.maximum(np.round(N_RINGS * np.sin((np.arange(N_RINGS) + 0.5) * np.pi / N_RINGS)), 1).astype(int)
_FIRST_OF_RING = np.concatenate([[0], np.cumsum(_CELLS_PER_RING)[:-1]])
#: Cells of the half-sphere of directions: k and -k are one.
N_CELLS = int(_CELLS_PER_RING.sum())


@dataclass(frozen=True, eq=False)
class CrossSums:
    """Sums of products of masked transforms.

    Attributes
    ----------
    by_cell
        (:data:`N_CELLS`, 7, N//2 + 1), over the points of the full transform in each cell of direction and shell;
        products in the order of :data:`FIT1` ... :data:`CROSS`.
    points
        Independent complex values in each shell.
    box_px
        Side N of the maps.
    order
        Rotations of the maps' symmetry: so many cells hold the same.
    """

    by_cell: Float[np.ndarray, "c 7 s"]
    points: Curve
    box_px: int
    order: int = 1

    @classmethod
    def measure(
        cls,
        half1: Volume,
        half2: Volume,
        backprojection1: Volume,
        backprojection2: Volume,
        mask: Volume,
        order: int = 1,
    ) -> Self:
        """Sum the products of the fits of half-sets 1 and 2 and of the back-projections of the same, within a mask.

        Raises
        ------
        InputError
            If the maps and the mask are not finite cubes of one size.
        """
        check_same_box(half1, half2, mask)
        check_same_box(backprojection1, backprojection2, mask)
        box_px = len(mask)
        maps = [masked_transform(v, mask) for v in (half1, half2, backprojection1, backprojection2)]
        n_shells = box_px // 2 + 1
        sums = np.zeros((7, N_CELLS * n_shells))
        for z, (place, weight) in enumerate(_places(box_px)):
            g1, g2, b1, b2 = (f[z].ravel()[weight > 0].astype(np.complex128) for f in maps)
            counted = weight[weight > 0]
            products = (_re(g1, g1), _re(g2, g2), _re(b1, b1), _re(b2, b2), _re(g1, g2), _re(b1, b2),
                        0.5 * (_re(g1, b2) + _re(g2, b1)))  # fmt: skip
            for total, product in zip(sums, products, strict=True):
                total += np.bincount(place, product * counted, N_CELLS * n_shells)
        by_cell = sums.reshape(7, N_CELLS, n_shells).transpose(1, 0, 2)
        return cls(np.ascontiguousarray(by_cell), independent_points(mask, box_px, order), box_px, order)

    @property
    def total(self) -> Float[np.ndarray, "7 s"]:
        """Sums over all directions."""
        return np.asarray(self.by_cell.sum(axis=0))


def _places(box_px: int) -> Iterator[tuple[Int[np.ndarray, " p"], Float[np.ndarray, " n"]]]:
    """For each plane kz: cell and shell, as one number, of its points that count, and the weight of all its points.

    A point stands for its mate too and has weight 2, unless the half-complex transform holds both; beyond shell N//2
    the weight is 0.
    """
    k, kx = frequencies(box_px), np.arange(box_px // 2 + 1)
    n_shells = len(kx)
    column = np.full(n_shells, 2.0)
    column[0] = 1.0
    if box_px % 2 == 0:
        column[-1] = 1.0
    y, x = np.broadcast_arrays(k[:, None], kx[None, :])
    for z, shells in zip(k, fourier_shells(box_px).numbers, strict=True):
        weight = np.where(shells < n_shells, column, 0.0).ravel()
        counts = weight > 0
        shell, own_y, own_x = (a.ravel()[counts] for a in (shells, y, x))
        # In the plane kx = 0 both mates are there: they belong to one cell.
        turned = np.where((own_x == 0) & ((own_y < 0) | ((own_y == 0) & (z < 0))), -1.0, 1.0)
        radius = np.sqrt(z * z + own_y**2 + own_x**2)
        polar = np.arccos(np.clip(turned * z / np.maximum(radius, 1.0), -1.0, 1.0)) / np.pi
        around = np.arctan2(turned * own_y, own_x) / np.pi + 0.5
        ring = np.minimum((N_RINGS * polar).astype(int), N_RINGS - 1)
        in_ring = np.minimum((_CELLS_PER_RING[ring] * around).astype(int), _CELLS_PER_RING[ring] - 1)
        yield (_FIRST_OF_RING[ring] + in_ring) * n_shells + shell, weight


def _re(a: Complex[np.ndarray, " n"], b: Complex[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    return np.asarray(a.real * b.real + a.imag * b.imag)
