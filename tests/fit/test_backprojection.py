"""Back-projections of noise-free views against the map they were made from."""

import numpy as np
import pytest
import torch
from fit_cases import PIXEL_SIZE_A, aggregate_of, particles, phantom, shell_correlation, shell_mean_weight

from gemmap.errors import NumericsError
from gemmap.fit.aggregate import Accumulator, grid_size
from gemmap.fit.backprojection import DAMPING, back_projection, to_real_space, transform_of

SHARP = phantom(9, 40, sigma=0.7)


@pytest.fixture(scope="module", params=[32, 31])
def sharp(request):
    """Truth, back-projection and aggregate of 800 noise-free views."""
    box = request.param
    aggregate = aggregate_of(*particles(SHARP, 800, box, noise=0.0))
    return SHARP.volume(box), back_projection(aggregate), aggregate


def test_many_views_give_the_map_back(sharp):
    truth, found, _ = sharp
    assert found.shape == truth.shape
    assert found.dtype == np.float32
    assert shell_correlation(truth, found)[: int(0.4 * len(truth)) + 1].min() > 0.99


def test_every_shell_is_damped_by_its_weight_alone(sharp):
    """Gain W / (W + lambda): near 1 where there are many views, and known where it is not."""
    truth, found, aggregate = sharp
    n = len(truth)
    weight = shell_mean_weight(aggregate)
    mean = aggregate.weight[aggregate.weight > 0].mean()
    transforms = np.fft.fftn(truth), np.fft.fftn(found)
    k = np.fft.fftfreq(n, 1 / n)
    shell = np.rint(np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2))
    for s in range(3, int(0.4 * n)):
        t, f = (transform[shell == s] for transform in transforms)
        gain = np.vdot(t, f).real / np.vdot(t, t).real
        assert gain == pytest.approx(weight[s] / (weight[s] + DAMPING * mean), abs=0.03)


def test_grey_values_are_plain_sums():
    """The projection of the map is the sum of its voxels along a line: a smooth map comes back with a slope of 1."""
    smooth = phantom(6, 20, sigma=2.5)
    table, images = particles(smooth, 800, 32, noise=0.0, max_shift_px=0.0)
    found, truth = back_projection(aggregate_of(table, images)), smooth.volume(32)
    slope, offset = np.polyfit(truth.ravel(), found.ravel(), 1)
    assert slope == pytest.approx(1.0, abs=0.02)
    assert abs(offset) < 0.01 * truth.max()


@pytest.mark.parametrize("grey", [1e-4, 1e4])
def test_the_map_follows_the_unit_of_the_images(grey):
    table, images = particles(SHARP, 50, 24, noise=1.0)
    plain = back_projection(aggregate_of(table, images))
    scaled = back_projection(aggregate_of(table, images * np.float32(grey), grey))
    np.testing.assert_allclose(scaled, grey * plain, atol=1e-4 * grey * np.abs(plain).max())


def whole_transform(volume):
    """All planes of a map's transform in the order of an aggregate, (z, y, x)."""
    m = grid_size(len(volume))
    return transform_of(volume, m)(slice(0, m // 2 + 1)).permute(2, 1, 0).numpy()


@pytest.mark.parametrize("box", [1, 2, 15, 16])
def test_to_fourier_space_and_back(box):
    volume = np.random.default_rng(0).normal(size=(box,) * 3).astype(np.float32)
    before, m = volume.copy(), grid_size(box)
    there = transform_of(volume, m)
    np.testing.assert_array_equal(volume, before)
    assert there(slice(0, 1)).dtype == torch.complex64
    np.testing.assert_allclose(to_real_space(there, m, box), volume, atol=1e-5)
    dot = np.zeros((box,) * 3, np.float32)
    dot[(box // 2,) * 3] = 1.0
    np.testing.assert_allclose(whole_transform(dot), 1.0, atol=1e-5)


def test_a_map_is_back_projected_by_the_formula():
    aggregate = aggregate_of(*particles(SHARP, 60, 24, noise=1.0))
    m, w = aggregate.grid_px, aggregate.weight
    transform = aggregate.numerator.astype(complex) / (w + DAMPING * w[w > 0].mean(dtype=float))
    cut = slice(m // 2 - 12, m // 2 + 12)
    window = np.sinc((np.arange(24) - 12) / m) ** 2
    volume = np.fft.fftshift(np.fft.irfftn(transform, s=(m, m, m)))[cut, cut, cut]
    expected = volume / (window[:, None, None] * window[:, None] * window)
    found = back_projection(aggregate)
    assert found.dtype == np.float32
    assert np.linalg.norm(found - expected) < 1e-6 * np.linalg.norm(expected)


def test_a_map_in_fourier_space_is_what_its_images_add_up_to():
    """W F of the truth is the numerator of its noise-free images, but for the error of trilinear interpolation."""
    aggregate = aggregate_of(*particles(SHARP, 400, 32, noise=0.0))
    expected = aggregate.weight * whole_transform(SHARP.volume(32))
    error = np.linalg.norm(aggregate.numerator - expected) / np.linalg.norm(expected)
    assert error < 0.1


def test_no_information_is_an_error():
    with pytest.raises(NumericsError, match="carry no information: all their weights are zero; check CTFs and poses"):
        back_projection(Accumulator(16, PIXEL_SIZE_A).finish())
