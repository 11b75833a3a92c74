import numpy as np
import pytest

from gemmap.simulate.config import SimulationConfig
from gemmap.simulate.draws import draw_particles, with_pose_errors

N = 6000


def config(**options: object) -> SimulationConfig:
    return SimulationConfig(**({"n_particles": N} | options))


def test_uniform_rotations() -> None:
    a = draw_particles(config()).rotations
    np.testing.assert_allclose(a @ a.transpose(0, 2, 1), np.broadcast_to(np.eye(3), a.shape), atol=1e-12)
    # Every entry of a uniform rotation has mean 0 and variance 1/3.
    np.testing.assert_allclose(a.mean(axis=0), 0.0, atol=5 * np.sqrt(1 / 3 / N))
    np.testing.assert_allclose((a**2).mean(axis=0), 1 / 3, atol=0.02)


@pytest.mark.parametrize("kappa", [0.5, 5.0, 200.0])
def test_preferred_views_gather_around_z(kappa: float) -> None:
    a = draw_particles(config(orientation="preferred", preferred_concentration=kappa)).rotations
    view = a[:, 2]
    # Mean of cos on the sphere with density exp(kappa cos): coth(kappa) - 1 / kappa.
    np.testing.assert_allclose(view.mean(axis=0), [0, 0, 1 / np.tanh(kappa) - 1 / kappa], atol=0.04)
    # In the plane all directions are alike.
    np.testing.assert_allclose(a[:, 0].mean(axis=0), 0.0, atol=0.04)


def test_shifts_fill_a_disc() -> None:
    s = draw_particles(config(max_shift_a=6.0)).shifts_a
    radius = np.hypot(*s.T)
    assert 5.9 < radius.max() <= 6.0
    assert (radius < 3.0).mean() == pytest.approx(0.25, abs=0.03)
    np.testing.assert_allclose(s.mean(axis=0), 0.0, atol=0.2)


def test_defocus_and_astigmatism_in_range() -> None:
    ctf = draw_particles(config(defocus_min_a=9e3, defocus_max_a=1.5e4, astigmatism_a=400.0)).ctf
    assert ctf is not None
    mean, difference = (ctf.defocus_u_a + ctf.defocus_v_a) / 2, ctf.defocus_u_a - ctf.defocus_v_a
    assert (mean.min(), mean.max()) == pytest.approx((9e3, 1.5e4), rel=1e-2)
    assert (difference.min(), difference.max()) == pytest.approx((0, 400), abs=4)
    assert (ctf.defocus_angle_rad.min(), ctf.defocus_angle_rad.max()) == pytest.approx((0, np.pi), abs=0.01)


def test_scales_have_mean_one_and_the_spread_asked_for() -> None:
    scale = draw_particles(config(scale_spread=0.3)).scale
    assert scale.mean() == pytest.approx(1.0, abs=0.02)
    assert np.log(scale).std() == pytest.approx(0.3, rel=0.03)
    assert (draw_particles(config()).scale == 1.0).all()


@pytest.mark.parametrize("n", [1, 2, 7, 100, 1001, 6000])
def test_halves_are_equal_and_shuffled(n: int) -> None:
    half = draw_particles(config(n_particles=n)).half
    assert set(half) <= {1, 2}
    assert abs((half == 1).sum() - (half == 2).sum()) <= 1
    assert n < 100 or (np.diff(half) == 0).sum() > 20


def test_pose_errors_have_the_size_asked_for() -> None:
    options = config(pose_error_deg=3.0, shift_error_a=1.5)
    true = draw_particles(options)
    given = with_pose_errors(true, options)
    trace = np.einsum("nij,nij->n", given.rotations, true.rotations)
    angle = np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))
    assert np.sqrt((angle**2).mean()) == pytest.approx(3.0, rel=0.03)
    moved = np.linalg.norm(given.shifts_a - true.shifts_a, axis=1)
    assert np.sqrt((moved**2).mean()) == pytest.approx(1.5, rel=0.03)
    np.testing.assert_allclose(np.linalg.det(given.rotations), 1.0)


def test_no_pose_errors_by_default() -> None:
    true = draw_particles(config())
    given = with_pose_errors(true, config())
    np.testing.assert_array_equal(given.rotations, true.rotations)
    np.testing.assert_array_equal(given.shifts_a, true.shifts_a)


def test_first_particles_stay_when_more_are_asked_for() -> None:
    few, many = draw_particles(config(n_particles=5)), draw_particles(config())
    np.testing.assert_array_equal(few.rotations, many.rotations[:5])
    np.testing.assert_array_equal(few.shifts_a, many.shifts_a[:5])
