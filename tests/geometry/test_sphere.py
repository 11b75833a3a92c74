"""Directions of equal areas."""

import numpy as np
import pytest

from gemmap.geometry.sphere import half_sphere


@pytest.mark.parametrize("n", [1, 2, 800])
def test_directions_are_unit_vectors_of_the_half_sphere(n: int) -> None:
    points = half_sphere(n)
    assert points.shape == (n, 3)
    assert np.linalg.norm(points, axis=1) == pytest.approx(1.0)
    assert (points[:, 2] > 0).all()


def test_directions_have_equal_areas() -> None:
    """Each of 8 caps and belts of equal height on the half-sphere holds an eighth, and each octant a quarter."""
    points = half_sphere(800)
    assert np.histogram(points[:, 2], 8, (0, 1))[0] == pytest.approx(100)
    assert np.histogram(np.arctan2(points[:, 1], points[:, 0]), 4, (-np.pi, np.pi))[0] == pytest.approx(200, abs=5)
