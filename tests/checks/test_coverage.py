"""Sampling of Fourier space: uniform, preferred, side views only, top views only."""

import numpy as np
import pytest

from gemmap.checks.coverage import coverage, fibonacci_half_sphere
from gemmap.geometry.rotations import from_relion_euler

RNG = np.random.default_rng(0)


def views(tilt_deg: np.ndarray) -> np.ndarray:
    n = len(tilt_deg)
    return from_relion_euler(RNG.uniform(0, 360, n), tilt_deg, RNG.uniform(0, 360, n))


@pytest.mark.parametrize("n", [100, 3000, 20_000])
def test_uniform_views_have_an_scf_of_1(n: int) -> None:
    found = coverage(views(np.degrees(np.arccos(RNG.uniform(-1, 1, n)))))
    assert found.scf == pytest.approx(1.0, abs=0.03)
    assert found.empty == 0.0


def test_side_views_sample_everything_but_unevenly() -> None:
    """Slices of views around the equator meet in the axis: by the formula of its paper SCF = 8 / pi^2 = 0.81."""
    found = coverage(views(np.full(5000, 90.0)))
    assert found.scf == pytest.approx(8 / np.pi**2, abs=0.03)
    assert found.empty == 0.0


def test_top_views_leave_a_cone_empty() -> None:
    found = coverage(views(RNG.uniform(0, 10, 5000)))
    assert found.scf is not None
    assert found.scf < 0.1
    assert found.empty > 0.7
    assert found.views_seen < 0.05


def test_preferred_views_are_in_between() -> None:
    found = coverage(views(np.abs(RNG.normal(0, 35, 5000))))
    assert found.scf is not None
    assert 0.1 < found.scf < 0.81


def test_few_views_have_no_scf() -> None:
    assert coverage(views(np.full(99, 45.0))).scf is None
    assert coverage(views(np.full(99, 45.0))).views_seen > 0.05


def test_directions_have_equal_areas() -> None:
    """Each of 8 caps and belts of equal height on the half-sphere holds an eighth."""
    points = fibonacci_half_sphere(800)
    assert np.linalg.norm(points, axis=1) == pytest.approx(1.0)
    assert np.histogram(points[:, 2], 8, (0, 1))[0] == pytest.approx(100)
