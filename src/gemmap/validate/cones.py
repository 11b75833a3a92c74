"""Sums of two transforms over the shells of cones: what conical FSCs are made of."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse
import scipy.spatial

from gemmap._types import Complex, Curve, Float, Int
from gemmap.geometry.grids import frequencies
from gemmap.geometry.sphere import half_sphere
from gemmap.validate.fsc import correlation

#: Half the opening angle of a cone (Naydenova & Russo 2017; Tan et al. 2017; cryoSPARC).
HALF_ANGLE_DEG = 20.0
#: Directions into which Fourier points are sorted: 1.5 degrees apart, much finer than a cone.
N_CELLS = 8192
#: With fewer points a cone takes the FSC of its whole shell: nothing is known about direction there.
_LEAST_POINTS = 20
#: Axes whose cones are looked up at once, and Fourier points that are added up at once.
_AT_ONCE, _POINTS_AT_ONCE = 512, 2**20


@dataclass(frozen=True, eq=False)
class CellSums:
    """Sums over Fourier points by direction (c cells on the half-sphere, opposite points together) and shell.

    Attributes
    ----------
    cells
        (c, 3) unit vectors (x, y, z).
    points, cross, power1, power2
        (c, N//2 + 1) number of points, sums of Re f1 conj(f2), |f1|^2 and |f2|^2.
    """

    cells: Float[np.ndarray, "c 3"]
    points: Float[np.ndarray, "c s"]
    cross: Float[np.ndarray, "c s"]
    power1: Float[np.ndarray, "c s"]
    power2: Float[np.ndarray, "c s"]

    @classmethod
    def of(cls, f1: Complex[np.ndarray, "n n h"], f2: Complex[np.ndarray, "n n h"]) -> "CellSums":
        """Sum the points of two half-complex transforms, shells 1 .. N//2."""
        n, n_shells, cells = len(f1), len(f1) // 2 + 1, half_sphere(N_CELLS)
        sums = np.zeros((4, len(cells) * n_shells))
        # Totals are many: going over them for every plane would take longer than the points do.
        waiting: list[tuple[np.ndarray, ...]] = []

        def add_up() -> None:
            place, *terms = (np.concatenate(parts) for parts in zip(*waiting, strict=True))
            for total, values in zip(sums, terms, strict=True):
                total += np.bincount(place, values, len(total))
            waiting.clear()

        for (inside, cell, shell), a, b in zip(cells_of_points(n, cells), f1, f2, strict=True):
            # Points with kx = 0 stand beside their mates; all others stand for theirs.
            weight = np.where(np.arange(inside.shape[1]) == 0, 1.0, 2.0)[np.nonzero(inside)[1]]
            g1, g2 = a[inside].astype(np.complex128), b[inside].astype(np.complex128)
            products = (g1 * g2.conj()).real, np.abs(g1) ** 2, np.abs(g2) ** 2
            waiting.append((cell.astype(np.int64) * n_shells + shell, weight, *(weight * p for p in products)))
            if sum(len(part[0]) for part in waiting) >= _POINTS_AT_ONCE:
                add_up()
        if waiting:
            add_up()
        return cls(cells, *sums.reshape(4, len(cells), n_shells))

    def whole(self) -> Curve:
        """FSC of all directions together."""
        return correlation(self.cross.sum(0), self.power1.sum(0), self.power2.sum(0))

    def cone_curves(self, axes: Float[np.ndarray, "a 3"]) -> Float[np.ndarray, "a s"]:
        """FSC in the cones about some axes; of whole shells where a cone has fewer than 20 points."""
        limit = np.cos(np.radians(HALF_ANGLE_DEG))
        rows = (axes[i : i + _AT_ONCE] for i in range(0, len(axes), _AT_ONCE))
        in_cone = scipy.sparse.vstack(
            [scipy.sparse.csr_array(np.abs(part @ self.cells.T) >= limit) for part in rows]
        ).astype(np.float64)
        points, *sums = (in_cone @ part for part in (self.points, self.cross, self.power1, self.power2))
        return np.where(points < _LEAST_POINTS, self.whole(), correlation(*sums))


def cells_of_points(
    n: int, cells: Float[np.ndarray, "c 3"]
) -> Iterator[tuple[np.ndarray, Int[np.ndarray, " p"], Int[np.ndarray, " p"]]]:
    """Sort the points of a half-complex transform by direction and shell, plane by plane (kz in FFT order).

    Yields
    ------
    (N, N//2 + 1) bool, points in shells 1 .. N//2; their cells; their shells.
    """
    tree = scipy.spatial.cKDTree(np.concatenate([cells, -cells]))
    ky, kx = np.meshgrid(frequencies(n), np.arange(n // 2 + 1), indexing="ij")
    for kz in frequencies(n):
        k = np.stack([kx, ky, np.full_like(kx, kz)], axis=-1).astype(np.float64)
        radius = np.linalg.norm(k, axis=-1)
        shell = np.floor(radius + 0.5).astype(np.int64)
        inside = (shell <= n // 2) & (shell > 0)
        nearest = tree.query(k[inside] / radius[inside, None])[1] % len(cells)
        yield inside, nearest.astype(np.int32), shell[inside]
