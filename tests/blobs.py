"""Densities without symmetry, summed in real space, for tests of comparisons."""

import numpy as np

from gemmap._types import Float, Volume


def blob_points(n_points: int, radius_px: float, seed: int = 0) -> Float[np.ndarray, "n 3"]:
    """Points (z, y, x) from the centre: a lopsided ball without symmetry."""
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((n_points, 3))
    points *= (radius_px * rng.random(n_points) ** (1 / 3) / np.linalg.norm(points, axis=1))[:, None]
    points[: n_points // 4, 0] = np.abs(points[: n_points // 4, 0])
    return points * np.array([1.0, 0.8, 0.6])


def blobs(n: int, points: Float[np.ndarray, "n 3"], sigma_px: float = 1.2) -> Volume:
    """Sum of equal Gaussians at points counted from voxel n//2."""
    axis = np.arange(n) - n // 2
    parts = [np.exp(-0.5 * ((axis[:, None] - points[:, i]) / sigma_px) ** 2) for i in range(3)]
    return np.einsum("zp,yp,xp->zyx", *parts).astype(np.float32)
