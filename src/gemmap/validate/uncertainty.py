"""How sure a resolution is: the spread of the crossing under the statistical error of the curve."""

import numpy as np

from gemmap._types import Curve, Volume
from gemmap.validate.fsc import fourier_shells
from gemmap.validate.resolution import Interval, resolution_at

_N_DRAWS = 2000
_CONFIDENCE = 0.95


def independent_points(mask: Volume | None, box_px: int, order: int = 1) -> Curve:
    """Number of independent complex values in each shell of a masked map, 1 at least.

    Half of the points of the full transform, as the other half are their mates, times the volume fraction of the mask,
    which makes neighbouring points alike: (sum m^2)^2 / (N^3 sum m^4) for a soft mask m; and over the rotations of the
    map's symmetry, ``order``, which make as many points the same (van Heel & Schatz 2005).
    """
    half = fourier_shells(box_px).counts() / (2.0 * order)
    if mask is None:
        return np.asarray(np.maximum(half, 1.0)) if order > 1 else half
    squared = mask.astype(np.float64) ** 2
    points: Curve = np.maximum(half * squared.sum() ** 2 / (squared**2).sum() / mask.size, 1.0)
    return points


def resolution_interval(
    curve: Curve,
    points: Curve,
    threshold: float,
    box_px: int,
    pixel_size_a: float,
    seed: int = 0,
    interpolate: bool = False,
) -> Interval:
    """Redraw a curve within its error and read the resolution off each: a parametric bootstrap over shells.

    The z-transform artanh(FSC) of a shell with n independent complex values is normal with variance 1 / (2 n)
    (Fisher 1921, for 2 n pairs of real values). Shells are redrawn independently. It is the error of counting noise in
    the two maps; it knows nothing of wrong poses, masks or overfitting.

    Parameters
    ----------
    curve
        FSC of shells 0 .. box_px//2.
    points
        Independent complex values in each shell (:func:`independent_points`).
    threshold
        At which resolutions are read, by RELION's rule.
    seed
        Of the draws.
    interpolate
        Read them between two shells instead.
    """
    rng = np.random.default_rng(seed)
    z = np.arctanh(np.clip(curve, -0.999999, 0.999999))
    drawn = np.tanh(z + rng.standard_normal((_N_DRAWS, len(curve))) / np.sqrt(2.0 * np.maximum(points, 1.0)))
    values = [resolution_at(one, threshold, box_px, pixel_size_a, "redrawn", "", interpolate).value_a for one in drawn]
    tail = 0.5 * (1.0 - _CONFIDENCE)
    better_a, worse_a = np.quantile(values, (tail, 1.0 - tail), method="nearest")
    return Interval(float(better_a), float(worse_a))


def half_bit(points: Curve) -> Curve:
    """Threshold of half a bit of information per Fourier value (van Heel & Schatz 2005) for n values in each shell."""
    root = np.sqrt(np.maximum(points, 1.0))
    curve: Curve = (0.2071 + 1.9102 / root) / (1.2071 + 0.9102 / root)
    return curve
