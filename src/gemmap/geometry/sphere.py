"""Directions spread evenly."""

import numpy as np

from gemmap._types import Float


def half_sphere(n: int) -> Float[np.ndarray, "n 3"]:
    """Return n unit vectors (x, y, z) of equal areas on the half-sphere z > 0: a Fibonacci spiral."""
    z = (np.arange(n) + 0.5) / n
    angle = np.arange(n) * np.pi * (3.0 - np.sqrt(5.0))
    r = np.sqrt(1.0 - z**2)
    return np.stack([r * np.cos(angle), r * np.sin(angle), z], axis=-1)
