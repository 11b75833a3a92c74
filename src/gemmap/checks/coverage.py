"""How well the views cover the orientations: the sampling of Fourier space, in one number.

A view along d puts a slice through the origin, perpendicular to d; a direction u is sampled by slices with
``|u.d|`` of nearly 0. The sampling s(u) is the number of views within a band around the great circle perpendicular to
u, over its mean; the sampling compensation factor is 1 over the mean of 1/s, 1 for uniform views and falling to 0 with
preferred ones. SCF* counts directions without any view as sampled by half a view, so that side views missing altogether
are not an infinity. Source: Baldwin & Lyumkis 2020, Prog. Biophys. Mol. Biol. 150, 160 (0.81 is a usual threshold).
"""

from dataclasses import dataclass

import numpy as np

from gemmap._types import Float, Rotations

#: Directions of Fourier space looked at, and views used at most.
DIRECTIONS, VIEWS = 1024, 10_000
#: Half width of the band of views that sample a direction, as |cos| of the angle to it; wider where fewer views than
#: this would lie in it, whose scatter alone would lower the number.
BAND, FEWEST_IN_BAND = 0.05, 50
#: Fewer views than this have no SCF*: the band would be half of all directions.
FEWEST_VIEWS = 100


@dataclass(frozen=True)
class Coverage:
    """Sampling of Fourier space by the views.

    Attributes
    ----------
    scf
        SCF*, 0 to 1; 1 for uniform views. None for fewer than 100 views.
    empty
        Share of directions of Fourier space without a view.
    views_seen
        Share of ``DIRECTIONS``/2 view directions, opposite ones taken together, that some particle has. It depends on
        the number of particles.
    """

    scf: float | None
    empty: float
    views_seen: float


def coverage(rotations: Rotations, seed: int = 0) -> Coverage:
    """Sampling by the views of these poses, from up to 10,000 of them; symmetry is not applied."""
    if len(rotations) > VIEWS:
        rotations = rotations[np.sort(np.random.default_rng(seed).choice(len(rotations), VIEWS, replace=False))]
    # The view direction, in the map: A^T z.
    views = rotations[:, 2, :]
    directions = fibonacci_half_sphere(DIRECTIONS)
    cosines = np.abs(directions.astype(np.float32) @ views.T.astype(np.float32))
    # Of uniform views the part ``band`` lies in it.
    band = min(1.0, max(BAND, FEWEST_IN_BAND / len(views)))
    sampling = (cosines < band).sum(axis=1)
    expected = band * len(views)
    filled = np.maximum(sampling, 0.5) / expected
    cells = np.unique(np.argmax(np.abs(fibonacci_half_sphere(DIRECTIONS // 2) @ views.T), axis=0))
    return Coverage(
        scf=float(min(1.0, 1.0 / np.mean(1.0 / filled))) if len(views) >= FEWEST_VIEWS else None,
        empty=float((sampling == 0).mean()),
        views_seen=len(cells) / (DIRECTIONS // 2),
    )


def fibonacci_half_sphere(n: int) -> Float[np.ndarray, "n 3"]:
    """Directions (x, y, z) of equal areas with z > 0."""
    z = (np.arange(n) + 0.5) / n
    azimuth = np.arange(n) * np.pi * (3.0 - np.sqrt(5.0))
    radius = np.sqrt(1.0 - z**2)
    return np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth), z], axis=1)
