"""Sampling of Fourier space: uniform, preferred, side views, top views, one tilt; against loops and formulas."""

import time

import numpy as np
import pytest
import scipy.integrate

from gemmap.geometry.rotations import from_relion_euler
from gemmap.geometry.symmetry import point_group
from gemmap.validate.sampling import fourier_sampling, view_histogram

RNG = np.random.default_rng(0)


def views(tilt_deg: np.ndarray) -> np.ndarray:
    n = len(tilt_deg)
    return from_relion_euler(RNG.uniform(0, 360, n), tilt_deg, RNG.uniform(0, 360, n))


def uniform(n: int) -> np.ndarray:
    return views(np.degrees(np.arccos(RNG.uniform(-1, 1, n))))


@pytest.mark.parametrize("n", [100, 3000, 20_000])
def test_uniform_views_have_an_scf_of_1(n: int) -> None:
    """But for the scatter of the counts, which lowers it by one over their mean: 50 to 100."""
    found = fourier_sampling(uniform(n))
    assert found.scf == pytest.approx(1.0, abs=0.03)
    assert found.scf_star == found.scf
    assert found.unsampled == 0.0
    assert found.relative.mean() == pytest.approx(1.0)
    assert found.relative.std() < 0.2


@pytest.mark.parametrize("name", ["C1", "C3"])
def test_against_loops(name: str) -> None:
    """Poses, copies by symmetry, slices and means, one after another."""
    rotations = views(RNG.uniform(0, 70, 150))
    group = point_group(name)
    found = fourier_sampling(rotations, group)
    all_views = [(pose @ operator).T @ (0.0, 0.0, 1.0) for pose in rotations for operator in group.rotations]
    half_thickness = max(0.01, 50 / len(all_views))
    n = np.array([sum(abs(u @ d) < half_thickness for d in all_views) for u in found.directions[::16]])
    np.testing.assert_allclose(found.relative[::16] / found.relative[::16].mean(), n / n.mean(), atol=1e-6)
    every = np.rint(found.relative * n.mean() / found.relative[::16].mean())
    q = float((every == 0).mean())
    assert found.unsampled == q
    inverse = every.mean() * ((1 / every[every > 0]).mean() + q / (1 - q) / 2)
    assert found.scf_star == pytest.approx(1 / inverse)
    assert found.scf == (found.scf_star if q == 0 else 0.0)


def test_side_views_sample_everything_but_unevenly() -> None:
    """Slices of views around the equator meet in the axis: by the formula of its paper SCF = 8 / pi^2 = 0.81."""
    found = fourier_sampling(views(np.full(10_000, 90.0)))
    assert found.scf == pytest.approx(8 / np.pi**2, abs=0.02)
    assert found.unsampled == 0.0
    # Many slices meet on the axis.
    assert found.relative[np.argmax(found.directions[:, 2])] > 5 * np.median(found.relative)


@pytest.mark.parametrize("tilt_deg", [45.0, 60.0, 75.0])
def test_a_single_tilt_leaves_its_cone_empty(tilt_deg: float) -> None:
    """Views at a polar angle t sample polar angles a > 90 - t with density 1 / sqrt(sin^2 t - cos^2 a)."""
    found = fourier_sampling(views(np.full(10_000, tilt_deg)))
    tilt = np.radians(tilt_deg)
    edge = np.pi / 2 - tilt
    q = 1 - np.cos(edge)
    # Slices are a degree thick, so that they reach half a degree into the cone.
    assert found.unsampled == pytest.approx(q, abs=np.sin(edge) * 0.015)
    assert found.scf == 0.0

    # The mean of 1/n over z = cos a; the density per view is 2 / (2 R) / pi over the root.
    inverse = scipy.integrate.quad(lambda z: np.sqrt(np.sin(tilt) ** 2 - z**2), 0, np.sin(tilt))[0] / (1 - q)
    per_point = 10_000 * 0.01 * 2 / np.pi
    mean = 10_000 * 0.01
    assert found.scf_star == pytest.approx(1 / (mean * (inverse / per_point + q / (1 - q) / 2)), rel=0.15)


def test_top_views_leave_a_cone_empty() -> None:
    found = fourier_sampling(views(RNG.uniform(0, 10, 5000)))
    assert found.scf == 0.0
    assert found.scf_star is not None
    assert found.scf_star < 0.1
    assert found.unsampled > 0.7
    assert found.views_seen < 0.05
    top = found.directions[:, 2] > 0.3
    assert (found.relative[top] == 0).all()


def test_the_more_preferred_the_lower() -> None:
    found = [fourier_sampling(views(np.abs(RNG.normal(0, width, 5000)))).scf_star for width in (90, 45, 35, 25)]
    values = [value for value in found if value is not None]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.5 < values[0]


def test_symmetry_fills_what_views_leave_empty() -> None:
    rotations = views(RNG.uniform(0, 20, 3000))
    alone, octahedral = fourier_sampling(rotations), fourier_sampling(rotations, point_group("O"))
    assert alone.unsampled > 0.5 > octahedral.unsampled
    # A group about the axis of the views gives nothing new.
    assert fourier_sampling(rotations, point_group("C5")).unsampled == pytest.approx(alone.unsampled, abs=0.01)


def test_few_views_have_no_scf() -> None:
    found = fourier_sampling(views(np.full(99, 45.0)))
    assert (found.scf, found.scf_star) == (None, None)
    assert found.views_seen > 0.05
    assert fourier_sampling(views(np.full(1, 45.0))).unsampled == 0.0


def test_same_poses_same_figures_in_a_second() -> None:
    rotations = uniform(100_000)
    started = time.perf_counter()
    first = fourier_sampling(rotations)
    assert time.perf_counter() - started < 5.0  # 0.15 s on an idle core
    again = fourier_sampling(rotations)
    assert first.scf_star == again.scf_star
    np.testing.assert_array_equal(first.relative, again.relative)


def test_histogram_of_views_counts_every_particle_once_in_equal_areas() -> None:
    found = view_histogram(uniform(48_000), n_tilt=6, n_rot=8)
    assert found.counts.sum() == 48_000
    assert found.counts == pytest.approx(1000, abs=150)
    assert found.tilt_deg[[0, 3, 6]] == pytest.approx([0, 90, 180])
    assert found.rot_deg[[0, -1]] == pytest.approx([-180, 180])


def test_histogram_of_views_is_in_relions_angles() -> None:
    rot, tilt = np.array([-170.0, 20.0, 95.0]), np.array([10.0, 80.0, 175.0])
    found = view_histogram(from_relion_euler(rot, tilt, np.array([0.0, 50.0, 100.0])), n_tilt=36, n_rot=72)
    for row, column in np.argwhere(found.counts):
        (number,) = np.flatnonzero((rot >= found.rot_deg[column]) & (rot < found.rot_deg[column + 1]))
        assert found.tilt_deg[row] <= tilt[number] <= found.tilt_deg[row + 1]
    assert found.counts.sum() == 3
    ends = view_histogram(np.stack([np.eye(3), np.diag([1.0, -1.0, -1.0])]))
    assert ends.counts[0].sum() == ends.counts[-1].sum() == 1
