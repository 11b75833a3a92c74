"""The 3-D FSC against its definition voxel by voxel, and the sphericity of bodies that are known."""

import numpy as np
import pytest

from gemmap.errors import InputError
from gemmap.validate.fsc3d import fsc_3d

PIXEL_A = 1.5


def halves(n: int, wedge_deg: float, noise: float = 0.3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two maps that share white noise, but for a cone about z where they share nothing."""
    rng = np.random.default_rng(seed)
    signal, noise1, noise2 = (np.fft.rfftn(rng.standard_normal((n, n, n))) for _ in range(3))
    k = np.fft.fftfreq(n)
    z = np.abs(k[:, None, None])
    radius = np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + np.fft.rfftfreq(n) ** 2)
    signal[z > np.cos(np.radians(wedge_deg)) * np.maximum(radius, 1e-9)] = 0.0
    half1, half2 = (np.fft.irfftn(signal + noise * part, s=(n, n, n), axes=(0, 1, 2)) for part in (noise1, noise2))
    return half1, half2


@pytest.mark.parametrize("n", [20, 21])
def test_a_voxel_holds_the_fsc_of_the_cone_about_it(n: int) -> None:
    half1, half2 = halves(n, 30.0)
    volume = fsc_3d(half1, half2, PIXEL_A).volume
    f1, f2 = (np.fft.fftshift(np.fft.fftn(half)) for half in (half1, half2))
    z, y, x = np.indices((n, n, n)) - n // 2
    radius = np.sqrt(x**2 + y**2 + z**2)
    shells = np.floor(radius + 0.5)
    assert volume[n // 2, n // 2, n // 2] == 1.0
    assert (volume[shells > n // 2] == 0).all()
    differences = []
    for index in np.argwhere((shells >= 6) & (shells < n // 2))[::37]:
        k = index - n // 2
        cosine = np.abs(k[0] * z + k[1] * y + k[2] * x) / np.maximum(radius * np.linalg.norm(k), 1e-9)
        chosen = (shells == shells[tuple(index)]) & (cosine >= np.cos(np.radians(20.0)))
        a, b = f1[chosen], f2[chosen]
        expected = (a * b.conj()).real.sum() / np.sqrt((np.abs(a) ** 2).sum() * (np.abs(b) ** 2).sum())
        differences.append(float(volume[tuple(index)]) - expected)
    # Directions are rounded by up to a degree, so that points on a cone's rim may lie on either side of it.
    assert np.abs(differences).max() < 0.25
    assert np.sqrt(np.mean(np.square(differences))) < 0.04


@pytest.mark.parametrize("n", [16, 17])
def test_opposite_voxels_are_equal(n: int) -> None:
    volume = fsc_3d(*halves(n, 40.0), PIXEL_A).volume
    first = 1 - n % 2  # index 0 of even boxes has no mate
    inner = volume[first:, first:, first:]
    np.testing.assert_array_equal(inner, inner[::-1, ::-1, ::-1])
    assert volume.dtype == np.float32
    assert volume.shape == (n, n, n)


def test_equal_noise_has_a_sphere_and_a_missing_cone_has_not() -> None:
    figures = [fsc_3d(*halves(40, angle), PIXEL_A).sphericity for angle in (0.0, 20.0, 35.0, 50.0)]
    assert figures[0] > 0.99
    assert figures == sorted(figures, reverse=True)
    assert figures[-1] < 0.9
    volume = fsc_3d(*halves(40, 50.0), PIXEL_A).volume
    assert abs(volume[20 + 12, 20, 20]) < 0.3  # along z
    assert volume[20, 20, 20 + 12] > 0.8  # along x


def test_without_signal_the_sphericity_is_zero() -> None:
    rng = np.random.default_rng(1)
    assert fsc_3d(rng.standard_normal((24, 24, 24)), rng.standard_normal((24, 24, 24)), PIXEL_A).sphericity == 0.0


def test_shells_coarser_than_150_a_count_as_inside() -> None:
    """As in 3DFSC: noise in the first shells must not end the body."""
    rng = np.random.default_rng(1)
    half1, half2 = rng.standard_normal((2, 24, 24, 24))
    # 24 x 50 / 150 = shell 8: the body is the sphere of shell 7, where every cone ends.
    assert fsc_3d(half1, half2, 50.0).sphericity > 0.98


def test_boxes_too_small_for_directions_are_refused() -> None:
    with pytest.raises(InputError, match="3 px wide"):
        fsc_3d(*np.random.default_rng(0).standard_normal((2, 3, 3, 3)), PIXEL_A)
