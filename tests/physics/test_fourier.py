"""Where the origin lies, which way a shift goes, and crops that undo pads."""

import numpy as np
import pytest

from gemmap.geometry.grids import half_plane_frequencies
from gemmap.physics.fourier import centred_irfftn, centred_rfftn, crop_centred, pad_centred, shift_phase

BLOBS = [(0.0, 0.0, 1.0), (4.2, -6.1, 0.7), (-7.3, 2.4, -0.4), (1.1, 8.6, 0.5), (-3.7, -4.9, 0.9)]


def five_gaussians(d, sigma, moved_by=(0.0, 0.0)):
    """Analytic image [y, x] with positions (x, y) in px from pixel d//2."""
    x = np.arange(d) - d // 2
    return sum(
        mass * np.exp(-((x[None, :] - bx - moved_by[0]) ** 2 + (x[:, None] - by - moved_by[1]) ** 2) / (2 * sigma**2))
        for bx, by, mass in BLOBS
    )


@pytest.mark.parametrize("d", [48, 49])
@pytest.mark.parametrize("pixel_size_a", [1.0, 3.54])
def test_a_shift_moves_the_content_of_the_observed_image(d, pixel_size_a):
    s = np.array([3.3, -2.1])
    centred = five_gaussians(d, 2.0)
    observed = five_gaussians(d, 2.0, moved_by=-s)
    right = centred_rfftn(observed, 2) * shift_phase(s[None] * pixel_size_a, d, pixel_size_a)[0]
    wrong = centred_rfftn(observed, 2) * shift_phase(-s[None] * pixel_size_a, d, pixel_size_a)[0]
    error = [np.linalg.norm(centred_irfftn(f, d, 2) - centred) / np.linalg.norm(centred) for f in (right, wrong)]
    assert error[0] < 1e-6
    assert error[1] > 1


@pytest.mark.parametrize("d", [32, 33])
def test_the_origin_is_the_pixel_at_half_the_size(d):
    sigma = 2.0
    x = np.arange(d) - d // 2
    ky, kx = half_plane_frequencies(d)
    expected = 2 * np.pi * sigma**2 * np.exp(-2 * np.pi**2 * sigma**2 * (kx**2 + ky**2) / d**2)
    at_origin = np.exp(-(x[:, None] ** 2 + x[None, :] ** 2) / (2 * sigma**2))
    np.testing.assert_allclose(centred_rfftn(at_origin, 2), expected, atol=1e-6)
    # A half pixel off is another matter: the same test must see it.
    beside = np.exp(-((x[:, None] - 0.5) ** 2 + x[None, :] ** 2) / (2 * sigma**2))
    assert np.abs(centred_rfftn(beside, 2) - expected).max() > 1


@pytest.mark.parametrize("d", [1, 2, 5, 6])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_transform_is_the_sum_it_says(d, ndim):
    rng = np.random.default_rng(d)
    real = rng.normal(size=(2, *(d,) * ndim))
    fourier = centred_rfftn(real, ndim)
    x = np.arange(d) - d // 2
    full = np.exp(-2j * np.pi / d * np.outer(np.arange(d), x))
    expected = real.astype(complex)
    for axis in range(1, ndim + 1):
        expected = np.moveaxis(np.tensordot(expected, full, (axis, 1)), -1, axis)
    np.testing.assert_allclose(fourier, expected[..., : d // 2 + 1], atol=1e-11)
    np.testing.assert_allclose(centred_irfftn(fourier, d, ndim), real, atol=1e-12)


def test_workers_change_nothing():
    real = np.random.default_rng(0).normal(size=(4, 10, 10))
    np.testing.assert_array_equal(centred_rfftn(real, 2, workers=2), centred_rfftn(real, 2))
    fourier = centred_rfftn(real, 2)
    np.testing.assert_array_equal(centred_irfftn(fourier, 10, 2, workers=2), centred_irfftn(fourier, 10, 2))


@pytest.mark.parametrize(("small", "large"), [(4, 6), (4, 7), (5, 6), (5, 7), (5, 5), (1, 4)])
def test_pad_and_crop_keep_the_origin(small, large):
    volume = np.random.default_rng(small).normal(size=(small,) * 3).astype(np.float32)
    padded = pad_centred(volume, large)
    assert padded.shape == (large,) * 3
    assert padded.dtype == np.float32
    assert padded[(large // 2,) * 3] == volume[(small // 2,) * 3]
    assert np.count_nonzero(padded) == small**3
    np.testing.assert_array_equal(crop_centred(padded, small), volume)
