"""How well views sample Fourier space: the sampling compensation factor, a map of it, and where the views are.

A view along d puts a slice through the origin, perpendicular to d. On a Fourier shell of radius R voxels it samples the
points u (unit vectors) with ``|u.d| < 1 / (2 R)``; n(u) is the number of views that do. With means over the shell:

- SCF: ``1 / SCF = <n> <1/n>``; 1 for uniform views, lower for any others, 0 if a point has no view.
- SCF*: ``1 / SCF* = <n> (<1/n>_p + (q / p) / 2)`` with q the share of points without a view, p = 1 - q, and the mean
  <..>_p over points with one. A point without a view counts as if it had two; without such points it is the SCF.

Source: Baldwin & Lyumkis 2020, Prog. Biophys. Mol. Biol. 150, 160, and the program of its authors for SCF*, with its
shell R = 50 and its at most 10,000 views. As <n> = N / (2 R), SCF* falls with the number of views N where something is
missing, so that views beyond 10,000 are not used. 0.81, the value of evenly spread side views, serves as a threshold.
"""

from dataclasses import dataclass

import numpy as np

from gemmap._types import Float, Int, Rotations
from gemmap.geometry.sphere import half_sphere
from gemmap.geometry.symmetry import NO_SYMMETRY, PointGroup

#: Radius of the shell in voxels, and views used at most.
SHELL_RADIUS, VIEWS = 50, 10_000
#: Points of the half shell that are looked at, and view directions that are told apart.
DIRECTIONS, VIEW_CELLS = 4096, 512
#: Slices are made thicker where fewer views than this would sample a point of the shell on average: their scatter alone
#: would lower the SCF.
FEWEST_PER_POINT = 50
#: Fewer views than this have no SCF: slices would be half as thick as the shell.
FEWEST_VIEWS = 100
#: Directions whose views are counted at once: the table of cosines takes 20 MB.
_AT_ONCE = 512


@dataclass(frozen=True, eq=False)
class Sampling:
    """Sampling of Fourier space by views.

    Attributes
    ----------
    scf, scf_star
        0 to 1. None for fewer than 100 views, copies by symmetry included.
    unsampled
        Share of Fourier directions without a view.
    directions
        (n, 3) unit vectors (x, y, z) of the map, evenly over the half-sphere z > 0.
    relative
        (n,) views that sample each direction, over their mean: 1 everywhere for uniform views.
    views_seen
        Share of 512 view directions, opposite ones taken together, that some view has. It depends on their number.
    """

    scf: float | None
    scf_star: float | None
    unsampled: float
    directions: Float[np.ndarray, "n 3"]
    relative: Float[np.ndarray, " n"]
    views_seen: float


def fourier_sampling(rotations: Rotations, symmetry: PointGroup = NO_SYMMETRY, seed: int = 0) -> Sampling:
    """Measure the sampling of Fourier space by particles with these poses.

    Parameters
    ----------
    rotations
        (n, 3, 3) poses A with ``p_img = A p_vol``, one or more.
    symmetry
        Of the particle: every pose serves all views that the group makes equal.
    seed
        Of the choice of particles where they have more than 10,000 views.
    """
    most = max(1, VIEWS // len(symmetry))
    if len(rotations) > most:
        rotations = rotations[np.sort(np.random.default_rng(seed).choice(len(rotations), most, replace=False))]
    # The view direction in the map is A^T z, and that of A R is R^T A^T z.
    views = np.concatenate([view_directions(rotations) @ operator for operator in symmetry.rotations])
    directions = half_sphere(DIRECTIONS)
    # Of uniform views the part ``half_thickness`` lies in a slice.
    half_thickness = min(1.0, max(0.5 / SHELL_RADIUS, FEWEST_PER_POINT / len(views)))
    n = _views_in_slices(directions, views, half_thickness)
    scf, scf_star = _factors(n) if len(views) >= FEWEST_VIEWS else (None, None)
    seen = np.unique(_nearest(views, half_sphere(VIEW_CELLS)))
    return Sampling(
        scf=scf,
        scf_star=scf_star,
        unsampled=float((n == 0).mean()),
        directions=directions,
        relative=n / max(float(n.mean()), 1e-30),
        views_seen=len(seen) / VIEW_CELLS,
    )


@dataclass(frozen=True, eq=False)
class ViewHistogram:
    """Numbers of particles by viewing direction, in bins of equal area.

    Attributes
    ----------
    counts
        (t, r): rows from tilt 0 to 180 degrees in equal steps of its cosine, columns from rot -180 to 180.
    tilt_deg, rot_deg
        (t + 1,) and (r + 1,) edges of the bins: RELION's angles, polar angle and azimuth of the view in the map.
    """

    counts: Int[np.ndarray, "t r"]
    tilt_deg: Float[np.ndarray, " e"]
    rot_deg: Float[np.ndarray, " f"]


def view_histogram(rotations: Rotations, n_tilt: int = 24, n_rot: int = 48) -> ViewHistogram:
    """Sort all poses into bins of equal area by viewing direction; symmetry is not applied."""
    x, y, z = view_directions(rotations).T
    rot_deg = np.degrees(np.arctan2(y, x))
    steps = np.linspace(-1.0, 1.0, n_tilt + 1)
    columns = np.linspace(-180.0, 180.0, n_rot + 1)
    counts = np.histogram2d(-np.clip(z, -1.0, 1.0), rot_deg, bins=(steps, columns))[0]
    return ViewHistogram(counts.astype(np.int64), np.degrees(np.arccos(-steps)), columns)


def view_directions(rotations: Rotations) -> Float[np.ndarray, "n 3"]:
    """Directions (x, y, z) in the map along which particles with poses A are seen: A^T z."""
    return np.asarray(rotations[:, 2, :])


def _factors(n: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """SCF and SCF* of the numbers of views over a shell."""
    sampled = n[n > 0]
    if len(sampled) == 0:
        return 0.0, 0.0
    p = len(sampled) / len(n)
    star = 1.0 / (float(n.mean()) * (float(np.mean(1.0 / sampled)) + (1.0 - p) / p / 2.0))
    return (star if p == 1.0 else 0.0), min(star, 1.0)


def _views_in_slices(
    directions: Float[np.ndarray, "n 3"], views: Float[np.ndarray, "v 3"], half_thickness: float
) -> Float[np.ndarray, " n"]:
    single = views.T.astype(np.float32)
    parts = (directions[i : i + _AT_ONCE].astype(np.float32) for i in range(0, len(directions), _AT_ONCE))
    counts = [np.count_nonzero(np.abs(part @ single) < half_thickness, axis=1) for part in parts]
    return np.concatenate(counts).astype(np.float64)


def _nearest(views: Float[np.ndarray, "v 3"], cells: Float[np.ndarray, "c 3"]) -> Int[np.ndarray, " v"]:
    """Number of the cell nearest to each view or to its opposite."""
    return np.asarray(np.argmax(np.abs(views @ cells.T), axis=1))
