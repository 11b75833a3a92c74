import itertools

import numpy as np
import pytest

from gemmap.validate.real_space import fitted_bfactor, group_correlations, low_passed, weighted_correlation

RNG = np.random.default_rng(0)
A, B = RNG.standard_normal((2, 14, 14, 14)).astype(np.float32)
B += 0.5 * A


def test_correlation_in_the_box_is_pearsons() -> None:
    assert weighted_correlation(A, B) == pytest.approx(np.corrcoef(A.ravel(), B.ravel())[0, 1], abs=1e-6)


def test_a_binary_mask_chooses_voxels() -> None:
    mask = np.zeros_like(A)
    mask[2:6, 3:9, 1:12] = 1.0
    chosen = mask > 0
    assert weighted_correlation(A, B, mask) == pytest.approx(np.corrcoef(A[chosen], B[chosen])[0, 1], abs=1e-6)


def test_scale_and_offset_do_not_matter_and_a_constant_map_is_zero() -> None:
    assert weighted_correlation(A, 3.0 * A + 7.0) == pytest.approx(1.0)
    assert weighted_correlation(A, -A) == pytest.approx(-1.0)
    assert weighted_correlation(A, np.ones_like(A)) == 0.0


@pytest.mark.parametrize("n", [12, 13])
def test_low_pass_cuts_and_blurs_a_wave_by_the_formula(n: int) -> None:
    pixel_a = 2.0
    wave = np.cos(2 * np.pi * 3 * np.arange(n) / n).astype(np.float32) * np.ones((n, n, 1), np.float32)
    k = 3 / (n * pixel_a)
    np.testing.assert_allclose(low_passed(wave, pixel_a, None, 80.0), wave * np.exp(-20.0 * k**2), atol=1e-5)
    np.testing.assert_allclose(low_passed(wave, pixel_a, n * pixel_a / 4.5), wave, atol=1e-5)
    np.testing.assert_allclose(low_passed(wave, pixel_a, n * pixel_a / 1.5), 0.0, atol=1e-5)


def test_bfactor_of_a_known_fall_off() -> None:
    shells, box_a = np.arange(30), 90.0
    gain = 5.0 * np.exp(-0.25 * 120.0 * (shells / box_a) ** 2)
    gain[7] = -1.0  # has no logarithm
    used, points = (shells > 3) & (shells < 25), shells**2.0
    assert fitted_bfactor(gain, used, points, box_a) == pytest.approx(120.0, abs=1e-6)
    assert fitted_bfactor(gain, shells < 4, points + 1, box_a) is not None
    assert fitted_bfactor(gain, shells < 3, points + 1, box_a) is None


def correlation_by_loop(positions: np.ndarray, radius: float) -> float:
    voxels = [
        (z, y, x)
        for z, y, x in itertools.product(range(14), repeat=3)
        if any((x - p[0]) ** 2 + (y - p[1]) ** 2 + (z - p[2]) ** 2 <= radius**2 for p in positions)
    ]
    first, second = ([float(m[v]) for v in voxels] for m in (A, B))
    return float(np.corrcoef(first, second)[0, 1]) if len(voxels) > 1 else np.nan


@pytest.mark.parametrize("pairs_at_once", [10, 4_000_000])
def test_groups_are_the_voxels_near_their_atoms(monkeypatch: pytest.MonkeyPatch, pairs_at_once: int) -> None:
    monkeypatch.setattr("gemmap.validate.real_space._PAIRS_AT_ONCE", pairs_at_once)
    positions = RNG.uniform(-0.5, 13.5, (40, 3))
    group_of = RNG.permutation(np.repeat([0, 1, 3, 4], [12, 1, 20, 7]))
    done: list[int] = []
    found = group_correlations(A, B, positions, group_of, 6, 1.7, done.append)
    assert sum(done) == 6
    assert np.isnan(found[[2, 5]]).all()
    for group in (0, 1, 3, 4):
        assert found[group] == pytest.approx(correlation_by_loop(positions[group_of == group], 1.7), abs=1e-5)


def test_atoms_outside_the_box_have_no_voxels() -> None:
    far = np.array([[-9.0, 2.0, 3.0], [3.0, 30.0, 3.0]])
    assert np.isnan(group_correlations(A, B, far, np.array([0, 1]), 2, 2.0)).all()
    assert len(group_correlations(A, B, np.zeros((0, 3)), np.zeros(0, np.int64), 0, 2.0)) == 0
