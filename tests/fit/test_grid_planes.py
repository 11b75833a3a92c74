"""Transforms by planes against numpy's of the whole grid."""

import numpy as np
import pytest
import torch

from gemmap.fit import grid_planes
from gemmap.fit.grid_planes import in_parts, over_planes, planes_at, to_real_space, transform_symmetric, x_transform

CPU = torch.device("cpu")
SIZES = [(5, 10), (6, 10), (8, 8), (7, 8), (1, 2), (2, 2), (16, 24)]


def draw(*shape):
    return np.random.default_rng(3).normal(size=shape)


def padded(volume, m):
    """The origin at index 0 of a grid."""
    d = len(volume)
    index = (np.arange(d) - d // 2) % m
    grid = np.zeros((m, m, m))
    grid[np.ix_(index, index, index)] = volume
    return grid


@pytest.mark.parametrize(("d", "m"), SIZES)
@pytest.mark.parametrize("room", [1, 2**20])
def test_planes_are_those_of_the_whole_transform(monkeypatch, d, m, room):
    monkeypatch.setattr(grid_planes, "_CPU_BYTES", room)
    volume = draw(d, d, d)
    rows = x_transform(torch.from_numpy(volume), m)
    assert rows.shape == (m // 2 + 1, d, d)
    expected = np.fft.rfftn(padded(volume, m)).transpose(2, 1, 0)
    for some in (slice(0, m // 2 + 1), slice(0, 1), slice(m // 2, m // 2 + 1)):
        np.testing.assert_allclose(planes_at(rows, some, m).numpy(), expected[some], atol=1e-10)


@pytest.mark.parametrize(("d", "m"), SIZES)
@pytest.mark.parametrize("room", [1, 2**20])
def test_back_in_real_space_the_middle_is_cut_out(monkeypatch, d, m, room):
    monkeypatch.setattr(grid_planes, "_CPU_BYTES", room)
    transform = np.fft.rfftn(draw(m, m, m))
    given = torch.from_numpy(transform.transpose(2, 1, 0).astype(np.complex64).copy())
    index = (np.arange(d) - d // 2) % m
    expected = np.fft.irfftn(transform, s=(m, m, m))[np.ix_(index, index, index)]
    found = to_real_space(lambda some: given[some], m, d, CPU)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("d", [2, 6, 10])
def test_the_transform_of_a_symmetric_map_is_real(d):
    half = draw(d, d, d)
    volume = 0.5 * (half + np.roll(half[::-1, ::-1, ::-1], 1, axis=(0, 1, 2)))
    expected = np.fft.rfftn(volume)
    assert np.abs(expected.imag).max() < 1e-10
    found = transform_symmetric(torch.from_numpy(np.fft.fftshift(volume)))
    np.testing.assert_allclose(found.numpy(), expected.real.transpose(2, 1, 0), atol=1e-10)


@pytest.mark.parametrize("threads", [1, 2])
def test_parts_cover_all_planes_in_order_whatever_the_threads(threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = in_parts(lambda some: (some.start, some.stop), 21, 2**20, CPU, least=8)
        assert found == [(0, 8), (8, 16), (16, 21)]
        assert over_planes(lambda some: some.stop, 2) == [2]
    finally:
        torch.set_num_threads(before)


def test_what_a_part_raises_is_raised():
    def fail(some):
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        in_parts(fail, 20, 2**20, CPU)
