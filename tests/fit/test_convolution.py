"""Convolution by planes against direct sums."""

import numpy as np
import pytest
import torch

from gemmap.fit import grid_planes
from gemmap.fit.convolution import Room, convolve


def to_planes(transform):
    """The transform of a kernel, as rfftn gives it, in the order that `convolve` takes."""
    return transform.permute(2, 1, 0).contiguous()


def symmetric_kernel(m, seed=0):
    """A real kernel on a periodic grid with k(l) = k(-l), so that its transform is real."""
    k = np.random.default_rng(seed).normal(size=(m, m, m))
    return 0.5 * (k + np.roll(k[::-1, ::-1, ::-1], 1, axis=(0, 1, 2)))


def direct(volume, kernel):
    """Sum over all pairs of samples, lags taken from the periodic grid."""
    d, m = len(volume), len(kernel)
    found = np.zeros_like(volume)
    for p in np.ndindex(d, d, d):
        lags = [(p[a] - np.arange(d)) % m for a in range(3)]
        found[p] = (kernel[np.ix_(*lags)] * volume).sum()
    return found


@pytest.mark.parametrize(("d", "m"), [(5, 10), (4, 10), (6, 8), (1, 2), (7, 14)])
@pytest.mark.parametrize("room", [1, 2**21])
def test_convolution_is_the_sum_over_lags(monkeypatch, d, m, room):
    """A transposed axis would show: neither volume nor kernel has a symmetry but that of inversion."""
    monkeypatch.setattr(grid_planes, "_CPU_BYTES", room)
    kernel = symmetric_kernel(m)
    volume = np.random.default_rng(1).normal(size=(d, d, d))
    planes = to_planes(torch.from_numpy(np.fft.rfftn(kernel).real))
    assert planes.shape == (m // 2 + 1, m, m)
    np.testing.assert_allclose(convolve(torch.from_numpy(volume), planes).numpy(), direct(volume, kernel), atol=1e-10)


def test_a_kernel_of_factors_is_their_product():
    """Which factor belongs to which axis would show."""
    volume = torch.from_numpy(np.random.default_rng(1).normal(size=(5, 5, 5)))
    x, y, z = (torch.from_numpy(np.random.default_rng(n).normal(size=n)) for n in (6, 10, 10))
    y, z = (0.5 * (f + f.flip(0).roll(1)) for f in (y, z))
    whole = x[:, None, None] * y[:, None] * z
    np.testing.assert_allclose(convolve(volume, (x, y, z)).numpy(), convolve(volume, whole).numpy(), atol=1e-12)


def test_room_and_place_are_used_again():
    room, place = Room(), torch.empty(4, 4, 4)
    kernel = torch.rand(5, 8, 8)
    for seed in (0, 1):
        volume = torch.from_numpy(np.random.default_rng(seed).normal(size=(4, 4, 4))).float()
        found = convolve(volume, kernel, room, place)
        assert found is place
        assert torch.equal(found, convolve(volume, kernel))
    rows = room.rows((5, 4, 4), place)
    assert room.rows((5, 4, 4), place) is rows
    assert room.rows((5, 4, 4), place.double()).dtype == torch.complex128
    assert room.rows((3, 2, 2), place).shape == (3, 2, 2)


def test_precision_is_that_of_the_volume():
    kernel, volume = symmetric_kernel(32), np.random.default_rng(2).normal(size=(15, 15, 15))
    planes = to_planes(torch.from_numpy(np.fft.rfftn(kernel).real))
    exact = convolve(torch.from_numpy(volume), planes)
    single = convolve(torch.from_numpy(volume).float(), planes.float())
    assert single.dtype == torch.float32
    assert float((single - exact).norm() / exact.norm()) < 1e-6


def test_the_volume_is_not_changed():
    volume = torch.ones(4, 4, 4)
    convolve(volume, torch.full((5, 8, 8), 2.0))
    assert torch.equal(volume, torch.ones(4, 4, 4))
