"""Resolution by direction: the FSC in cones, cFAR, and the sphericity of the directional resolution.

A cone holds the Fourier points within 20 degrees of an axis and of its opposite. Preferred orientations leave some
cones with less signal; their ratio and the shape they make together are figures that journals ask for.
"""

from dataclasses import dataclass

import numpy as np
import scipy.ndimage
import scipy.spatial

from gemmap._types import Float, Int, Volume
from gemmap.errors import InputError
from gemmap.geometry.sphere import half_sphere
from gemmap.validate.cones import CellSums
from gemmap.validate.fsc import check_same_box, masked_transform
from gemmap.validate.resolution import HALF_MAP_THRESHOLD

#: Axes of cones on the half-sphere.
N_AXES = 256
#: Curves of cones are averaged over so many shells before their crossing is read: single shells hold few points.
_SMOOTHED_SHELLS = 5


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
        return sphericity_of(self.axes, self.shells.astype(np.float64))


def sphericity_of(axes: Float[np.ndarray, "n 3"], radii: Float[np.ndarray, " n"]) -> float:
    """Sphericity pi^(1/3) (6 V)^(2/3) / A of the body with these radii along axes and their opposites.

    ``axes`` are unit vectors on a half-sphere, four or more. A body with a radius below 1 has 0.
    """
    if radii.min() < 1:
        return 0.0
    both = np.concatenate([axes, -axes])
    corners = both * np.concatenate([radii, radii])[:, None]
    triangles = corners[scipy.spatial.ConvexHull(both).simplices]
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
    sums = CellSums.of(masked_transform(half1, mask, workers), masked_transform(half2, mask, workers))
    curves, whole = sums.cone_curves(axes), sums.whole()
    shells = _last_above(scipy.ndimage.uniform_filter1d(curves, _SMOOTHED_SHELLS, axis=1, mode="nearest"), threshold)
    return DirectionalFsc(axes, curves, shells, int(_last_above(whole[None], threshold)[0]), n, pixel_size_a)


def _last_above(curves: Float[np.ndarray, "n s"], threshold: float) -> Int[np.ndarray, " n"]:
    """Last shell before the first, from 1 on, below the threshold."""
    below = curves[:, 1:] < threshold
    last: Int[np.ndarray, " n"] = np.where(below.any(1), below.argmax(1), curves.shape[1] - 1)
    return last
