"""Directional FSC: nothing preferred, a missing wedge that must be seen where it is, and shapes known by formula."""

import numpy as np
import pytest

from gemmap.errors import InputError
from gemmap.geometry.sphere import half_sphere
from gemmap.validate.anisotropy import DirectionalFsc, directional_fsc

PIXEL_A = 1.5


def halves(n: int, wedge_deg: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two maps that share white noise, but for a cone about z where they share nothing."""
    rng = np.random.default_rng(seed)
    signal, noise1, noise2 = (np.fft.rfftn(rng.standard_normal((n, n, n))) for _ in range(3))
    k = np.fft.fftfreq(n)
    z = np.abs(k[:, None, None])
    radius = np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + np.fft.rfftfreq(n) ** 2)
    signal[z > np.cos(np.radians(wedge_deg)) * np.maximum(radius, 1e-9)] = 0.0
    back = (np.fft.irfftn(signal + 0.3 * noise, s=(n, n, n), axes=(0, 1, 2)) for noise in (noise1, noise2))
    half1, half2 = back
    return half1, half2


def test_no_direction_is_preferred_in_equal_noise() -> None:
    result = directional_fsc(*halves(48, 0.0), PIXEL_A)
    assert result.cfar > 0.97
    assert result.sphericity > 0.99
    assert np.all(result.shells == 24)
    np.testing.assert_allclose(result.curves[:, 8:], 1 / 1.09, atol=0.1)


def test_a_missing_cone_is_seen_where_it_is() -> None:
    result = directional_fsc(*halves(48, 45.0), PIXEL_A)
    assert result.cfar < 0.2
    assert result.sphericity < 0.95
    worst, best = result.axes[np.argmin(result.areas)], result.axes[np.argmax(result.areas)]
    assert abs(worst[2]) > np.cos(np.radians(45.0))
    assert abs(best[2]) < np.cos(np.radians(45.0))
    assert result.resolutions_a.max() > 4 * result.resolutions_a.min()


def test_the_wider_the_cone_the_lower_the_figure() -> None:
    figures = [directional_fsc(*halves(40, angle), PIXEL_A).cfar for angle in (0.0, 12.0, 20.0, 30.0)]
    assert figures == sorted(figures, reverse=True)
    assert figures[-1] < 0.5 < figures[0]


@pytest.mark.parametrize("n", [17, 20])
def test_cones_agree_with_sums_over_all_points(n: int) -> None:
    half1, half2 = halves(n, 30.0)
    result = directional_fsc(half1, half2, PIXEL_A, n_axes=16)
    f1, f2 = np.fft.fftn(half1), np.fft.fftn(half2)
    k = np.rint(np.fft.fftfreq(n, 1 / n))
    z, y, x = np.meshgrid(k, k, k, indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    for axis, curve in zip(result.axes, result.curves, strict=True):
        cosine = np.abs(x * axis[0] + y * axis[1] + z * axis[2]) / np.maximum(radius, 1e-9)
        for shell in range(5, n // 2):
            chosen = (np.floor(radius + 0.5) == shell) & (cosine >= np.cos(np.radians(20.0)))
            a, b = f1[chosen], f2[chosen]
            expected = (a * b.conj()).real.sum() / np.sqrt((np.abs(a) ** 2).sum() * (np.abs(b) ** 2).sum())
            # Points within a degree of the rim may lie on either side of it.
            assert curve[shell] == pytest.approx(expected, abs=0.2)


def test_sphericity_of_a_spheroid_is_that_of_its_formula() -> None:
    axes = half_sphere(4000)
    long, short = 400.0, 200.0
    radii = 1 / np.sqrt((axes[:, 2] / long) ** 2 + (axes[:, 0] ** 2 + axes[:, 1] ** 2) / short**2)
    e = np.sqrt(1 - (short / long) ** 2)
    area = 2 * np.pi * short**2 * (1 + long / (short * e) * np.arcsin(e))
    volume = 4 / 3 * np.pi * short**2 * long
    expected = np.pi ** (1 / 3) * (6 * volume) ** (2 / 3) / area
    found = DirectionalFsc(axes, np.ones((4000, 2)), np.rint(radii).astype(np.int64), 1, 1000, 1.0)
    assert found.sphericity == pytest.approx(expected, rel=0.01)


def test_without_signal_all_figures_are_zero() -> None:
    rng = np.random.default_rng(1)
    result = directional_fsc(rng.standard_normal((24, 24, 24)), rng.standard_normal((24, 24, 24)), PIXEL_A)
    assert result.sphericity == 0.0
    assert result.cfar < 0.2


def test_too_few_axes() -> None:
    with pytest.raises(InputError, match="3 axes"):
        directional_fsc(*halves(16, 0.0), PIXEL_A, n_axes=3)
