"""FSC against loops over the full transform, and against maps whose correlation is known."""

import numpy as np
import pytest

from gemmap.errors import InputError
from gemmap.geometry.grids import shell_index
from gemmap.validate.fsc import fourier_shells, fsc, shell_cross, shell_power


def loop_fsc(map1: np.ndarray, map2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Curve and number of points by a loop over the full complex transform; no symmetry is used."""
    n = len(map1)
    f1, f2 = np.fft.fftn(map1), np.fft.fftn(map2)
    sums = np.zeros((4, 2 * n))
    signed = [i if i < (n + 1) // 2 else i - n for i in range(n)]
    for z in range(n):
        for y in range(n):
            for x in range(n):
                shell = round((signed[z] ** 2 + signed[y] ** 2 + signed[x] ** 2) ** 0.5)
                a, b = f1[z, y, x], f2[z, y, x]
                sums[:, shell] += [(a * np.conj(b)).real, abs(a) ** 2, abs(b) ** 2, 1]
    cross, power1, power2, count = sums[:, : n // 2 + 1]
    return cross / np.sqrt(power1 * power2), count


def noise(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, n, n)).astype(np.float32)


@pytest.mark.parametrize("n", [1, 2, 3, 9, 12])
def test_equals_a_loop_over_the_full_transform(n: int) -> None:
    map1, map2 = noise(n, 1), noise(n, 2) + noise(n, 1)
    curve, count = loop_fsc(map1, map2)
    np.testing.assert_allclose(fsc(map1, map2), curve, rtol=0, atol=2e-6)
    np.testing.assert_array_equal(fourier_shells(n).counts(), count)


@pytest.mark.parametrize("n", [1, 2, 7, 16])
def test_shells_are_those_of_the_grid_module(n: int) -> None:
    np.testing.assert_array_equal(fourier_shells(n).numbers, shell_index(n, 3))


@pytest.mark.parametrize("n", [8, 11])
def test_powers_add_up_to_the_sum_of_squares(n: int) -> None:
    volume = noise(n, 3)
    centre_only = np.fft.rfftn(volume)
    centre_only[fourier_shells(n).numbers > n // 2] = 0  # the corners are in no shell
    low_passed = np.fft.irfftn(centre_only, s=volume.shape, axes=(0, 1, 2))
    assert shell_power(centre_only).sum() == pytest.approx(n**3 * np.sum(low_passed**2), rel=1e-6)


@pytest.mark.parametrize("n", [13, 24])
def test_a_map_correlates_fully_with_itself_and_negatively_with_its_negative(n: int) -> None:
    volume = noise(n, 4)
    np.testing.assert_allclose(fsc(volume, volume), 1.0, atol=1e-12)
    np.testing.assert_allclose(fsc(volume, -3 * volume), -1.0, atol=1e-6)


@pytest.mark.parametrize("n", [31, 48])
def test_independent_noise_stays_within_four_standard_errors(n: int) -> None:
    independent_points = fourier_shells(n).counts() / 2
    assert np.all(np.abs(fsc(noise(n, 5), noise(n, 6))[1:]) < 4 / np.sqrt(independent_points[1:]))


def test_known_signal_to_noise_gives_the_expected_curve() -> None:
    n, snr_at_0 = 48, 4.0
    shells = shell_index(n, 3)
    falling = snr_at_0 * np.exp(-shells / 6.0)  # power of the signal over that of the noise, shell by shell
    signal = np.fft.irfftn(np.fft.rfftn(noise(n, 7)) * np.sqrt(falling), s=(n, n, n), axes=(0, 1, 2))
    curve = fsc((signal + noise(n, 8)).astype(np.float32), (signal + noise(n, 9)).astype(np.float32))
    snr = snr_at_0 * np.exp(-np.arange(n // 2 + 1) / 6.0)
    expected = snr / (1 + snr)
    error = 1 / np.sqrt(fourier_shells(n).counts() / 2)
    assert np.all(np.abs(curve - expected)[2:] < 4 * error[2:])
    assert np.abs(np.mean((curve - expected)[2:] / error[2:])) < 1  # no common bias


def test_the_mask_multiplies_both_maps() -> None:
    n = 10
    map1, map2, mask = noise(n, 1), noise(n, 2), np.abs(noise(n, 3))
    np.testing.assert_allclose(fsc(map1, map2, mask), loop_fsc(map1 * mask, map2 * mask)[0], atol=2e-6)


def test_a_shell_without_power_is_zero() -> None:
    n = 8
    constant = np.ones((n, n, n), np.float32)
    np.testing.assert_array_equal(fsc(constant, constant), [1, 0, 0, 0, 0])
    np.testing.assert_array_equal(fsc(np.zeros_like(constant), constant), 0)


@pytest.mark.parametrize("factor", [1e-25, 1e12])
def test_grey_units_do_not_matter(factor: float) -> None:
    map1, map2 = noise(12, 1), noise(12, 1) + noise(12, 2)
    np.testing.assert_allclose(fsc(map1 * np.float32(factor), map2), fsc(map1, map2), atol=1e-5)


def test_called_twice_gives_the_same_and_leaves_the_input_alone() -> None:
    map1, map2 = noise(9, 1), noise(9, 2)
    before = map1.copy()
    first = fsc(map1, map2)
    np.testing.assert_array_equal(fsc(map1, map2), first)
    np.testing.assert_array_equal(map1, before)


def test_cross_is_symmetric_and_real() -> None:
    f1, f2 = np.fft.rfftn(noise(6, 1)), np.fft.rfftn(noise(6, 2))
    np.testing.assert_allclose(shell_cross(f1, f2), shell_cross(f2, f1), rtol=1e-12)
    assert shell_cross(f1, f2).dtype == np.float64


def test_errors_say_what_was_expected() -> None:
    cube = noise(6, 1)
    with pytest.raises(InputError, match=r"Map 2 has shape \(5, 5, 5\); expected \(6, 6, 6\)"):
        fsc(cube, noise(5, 1))
    with pytest.raises(InputError, match="The mask has shape"):
        fsc(cube, cube, noise(5, 1))
    with pytest.raises(InputError, match=r"expected \(6, 6, 6\), a cube"):
        fsc(cube[:, :5], cube[:, :5])
    broken = cube.copy()
    broken[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="Map 1 holds values that are not numbers"):
        fsc(broken, cube)
