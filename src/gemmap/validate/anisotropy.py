"""Resolution by direction: the FSC in cones, cFAR, and the sphericity of the directional resolution.

A cone holds the Fourier points within 20 degrees of an axis and of its opposite. Preferred orientations leave some
cones with less signal; their ratio and the shape they make together are figures that journals ask for.
"""

from dataclasses import dataclass

import numpy as np
import scipy.ndimage
import scipy.spatial

from gemmap._types import Complex, Float, Int, Volume
from gemmap.errors import InputError
from gemmap.geometry.grids import frequencies
from gemmap.geometry.sphere import half_sphere
from gemmap.validate.fsc import check_same_box, correlation, masked_transform
from gemmap.validate.resolution import HALF_MAP_THRESHOLD

#: Half the opening angle of a cone (Naydenova & Russo 2017; Tan et al. 2017; cryoSPARC).
HALF_ANGLE_DEG = 20.0
#: Axes of cones on the half-sphere.
N_AXES = 256
#: With fewer points a cone takes the FSC of its whole shell: nothing is known about direction there.
_LEAST_POINTS = 20
#: Curves of cones are averaged over so many shells before their crossing is read: single shells hold few points.
_SMOOTHED_SHELLS = 5
#: Directions into which Fourier points are sorted: 1.5 degrees apart, much finer than a cone.
_N_CELLS = 8192


@dataclass(frozen=True, eq=False)
class DirectionalFsc:
    """FSC of two half-maps in cones.

    Attributes
    ----------
    axes
        (n, 3) unit vectors (x, y, z), on the half-sphere z >= 0.
    curves
        (n, N//2 + 1) FSC of shells in each cone, and of whole shells where a cone has fewer than 20 points.
    shells
        (n,) shell up to which each curve, averaged over five shells, stays above the threshold.
    last_shell
        Shell up to which the FSC of all directions together stays above it.
    box_px, pixel_size_a
        Of the maps.
    """

    axes: Float[np.ndarray, "n 3"]
    curves: Float[np.ndarray, "n s"]
    shells: Int[np.ndarray, " n"]
    last_shell: int
    box_px: int
    pixel_size_a: float

    @property
    def areas(self) -> Float[np.ndarray, " n"]:
        """Area under each curve up to the resolution of all directions together, in shells.

        Up to each curve's own first crossing it would follow the noise: inside a mask a cone holds few independent
        values.
        """
        return np.asarray(self.curves[:, 1 : self.last_shell + 1].sum(1))

    @property
    def cfar(self) -> float:
        """Conical FSC area ratio: the smallest area over the largest, 1 for no preferred direction; 0 without signal.

        CryoSPARC calls values below 0.5 a sign of preferred orientations.
        """
        largest = float(self.areas.max())
        return max(float(self.areas.min()) / largest, 0.0) if largest > 0 else 0.0

    @property
    def resolutions_a(self) -> Float[np.ndarray, " n"]:
        """Resolution along each axis in Å, infinite where not resolved."""
        with np.errstate(divide="ignore"):
            return np.asarray(self.box_px * self.pixel_size_a / self.shells.astype(np.float64))

    @property
    def sphericity(self) -> float:
        """Sphericity of the body whose radius along each axis is its last shell: pi^(1/3) (6 V)^(2/3) / A.

        1 for a sphere; 0 if a direction is not resolved.
        """
        if self.shells.min() < 1:
            return 0.0
        axes = np.concatenate([self.axes, -self.axes])
        corners = axes * np.concatenate([self.shells, self.shells])[:, None]
        triangles = corners[scipy.spatial.ConvexHull(axes).simplices]
        a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
        volume = np.abs(np.einsum("ij,ij->i", a, np.cross(b, c))).sum() / 6.0
        area = np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2.0
        return float(np.pi ** (1 / 3) * (6.0 * volume) ** (2 / 3) / area)


def directional_fsc(
    half1: Volume,
    half2: Volume,
    pixel_size_a: float,
    mask: Volume | None = None,
    threshold: float = HALF_MAP_THRESHOLD,
    n_axes: int = N_AXES,
    workers: int = 1,
) -> DirectionalFsc:
    """Measure the FSC in cones about axes that cover the sphere evenly.

    Parameters
    ----------
    half1, half2
        (N, N, N) half-maps.
    pixel_size_a
        Å.
    mask
        (N, N, N), multiplies both first.
    threshold
        FSC at which curves end.
    n_axes
        Number of cones.
    workers
        Threads of the Fourier transforms.

    Raises
    ------
    InputError
        If the maps are not finite cubes of one size, or fewer than four axes are asked for.
    """
    check_same_box(half1, half2, mask)
    if n_axes < 4:
        raise InputError(f"{n_axes} axes were asked for; expected 4 or more to see differences between directions.")
    n = len(half1)
    axes = half_sphere(n_axes)
    cells = half_sphere(_N_CELLS)
    sums = _by_cell(masked_transform(half1, mask, workers), masked_transform(half2, mask, workers), cells)
    in_cone = (np.abs(axes @ cells.T) >= np.cos(np.radians(HALF_ANGLE_DEG))).astype(np.float64)
    points, *of_cones = (in_cone @ part for part in sums)
    whole = correlation(*(part.sum(0) for part in sums[1:]))
    curves = np.where(points < _LEAST_POINTS, whole, correlation(*of_cones))
    shells = _last_above(scipy.ndimage.uniform_filter1d(curves, _SMOOTHED_SHELLS, axis=1, mode="nearest"), threshold)
    return DirectionalFsc(axes, curves, shells, int(_last_above(whole[None], threshold)[0]), n, pixel_size_a)


def _last_above(curves: Float[np.ndarray, "n s"], threshold: float) -> Int[np.ndarray, " n"]:
    """Last shell before the first, from 1 on, below the threshold."""
    below = curves[:, 1:] < threshold
    last: Int[np.ndarray, " n"] = np.where(below.any(1), below.argmax(1), curves.shape[1] - 1)
    return last


def _by_cell(
    f1: Complex[np.ndarray, "n n h"], f2: Complex[np.ndarray, "n n h"], cells: Float[np.ndarray, "c 3"]
) -> tuple[Float[np.ndarray, "c s"], ...]:
    """Points of every shell nearest to each direction: their number, sums of Re f1 conj(f2), |f1|^2 and |f2|^2."""
    n, n_shells = len(f1), len(f1) // 2 + 1
    tree = scipy.spatial.cKDTree(np.concatenate([cells, -cells]))
    ky, kx = np.meshgrid(frequencies(n), np.arange(n // 2 + 1), indexing="ij")
    sums = tuple(np.zeros(len(cells) * n_shells) for _ in range(4))
    for kz, a, b in zip(frequencies(n), f1, f2, strict=True):
        k = np.stack([kx, ky, np.full_like(kx, kz)], axis=-1).astype(np.float64)
        radius = np.linalg.norm(k, axis=-1)
        shell = np.floor(radius + 0.5).astype(np.int64)
        inside = (shell < n_shells) & (shell > 0)
        nearest = tree.query(k[inside] / radius[inside, None])[1] % len(cells)
        place = nearest * n_shells + shell[inside]
        # Points with kx = 0 stand beside their mates; all others stand for theirs.
        weight = np.where(kx == 0, 1.0, 2.0)[inside]
        g1, g2 = a[inside].astype(np.complex128), b[inside].astype(np.complex128)
        terms = np.ones(len(place)), (g1 * g2.conj()).real, np.abs(g1) ** 2, np.abs(g2) ** 2
        for total, values in zip(sums, terms, strict=True):
            total += np.bincount(place, weight * values, len(total))
    return tuple(total.reshape(len(cells), n_shells) for total in sums)
