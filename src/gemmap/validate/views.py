"""From where particles are seen: their density over the half-sphere of viewing directions."""

from dataclasses import dataclass

import numpy as np
import scipy.spatial

from gemmap._types import Float, Int, Rotations
from gemmap.geometry.sphere import half_sphere
from gemmap.geometry.symmetry import NO_SYMMETRY, PointGroup

#: Directions at which views are counted, and radius of the cap about each in which they are.
N_DIRECTIONS, CAP_DEG = 1000, 10.0


@dataclass(frozen=True, eq=False)
class Views:
    """Views around directions; opposite ones show the same image, mirrored, and are counted together.

    Attributes
    ----------
    directions
        (n, 3) unit vectors (x, y, z) in the map, evenly over the half-sphere z > 0.
    counts
        (n,) views within 10 degrees of each, or of its opposite.
    relative
        (n,) the same over what even views would have: 1 everywhere for no preferred direction.
    """

    directions: Float[np.ndarray, "n 3"]
    counts: Int[np.ndarray, " n"]
    relative: Float[np.ndarray, " n"]


def view_distribution(rotations: Rotations, symmetry: PointGroup = NO_SYMMETRY) -> Views:
    """Count views over the half-sphere.

    Parameters
    ----------
    rotations
        (n, 3, 3) poses A with ``p_img = A p_vol``: the view direction in the map is A^T z.
    symmetry
        Of the particle: every pose serves all views that the group makes equal.
    """
    views = np.concatenate([rotations[:, 2, :] @ operator for operator in symmetry.rotations])
    directions = half_sphere(N_DIRECTIONS)
    tree = scipy.spatial.cKDTree(np.concatenate([directions, -directions]))
    # The distance on the unit sphere at which the angle is that of the cap.
    chord = 2.0 * np.sin(np.radians(CAP_DEG) / 2.0)
    counts = np.zeros(2 * N_DIRECTIONS, np.int64)
    for near in tree.query_ball_point(views, chord):
        counts[near] += 1
    both = counts[:N_DIRECTIONS] + counts[N_DIRECTIONS:]
    expected = len(views) * (1.0 - np.cos(np.radians(CAP_DEG)))
    return Views(directions, both, both / max(expected, 1e-30))
