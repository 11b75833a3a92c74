"""Centre, frequencies, shells and crops for even, odd and tiny grids."""

import numpy as np
import pytest

from gemmap.geometry import grids


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_frequencies_count_from_the_origin(n):
    f = grids.frequencies(n)
    assert f[0] == 0
    assert f.dtype == np.int64
    # In FFT order, index j holds the frequency congruent to j that is nearest to zero.
    assert ((f - np.arange(n)) % n == 0).all()
    assert np.abs(f).max() <= n / 2
    ky, kx = grids.half_plane_frequencies(n)
    assert ky.shape == (n, 1)
    assert kx.tolist() == list(range(n // 2 + 1))


@pytest.mark.parametrize(("n", "ndim"), [(7, 2), (8, 2), (5, 3), (6, 3)])
def test_shells_are_rounded_radii(n, ndim):
    shell = grids.shell_index(n, ndim)
    assert shell.shape == (n,) * (ndim - 1) + (n // 2 + 1,)
    for index in np.ndindex(shell.shape):
        signed = [i if 2 * i < n else i - n for i in index[:-1]] + [index[-1]]
        assert shell[index] == int(np.sqrt(sum(k * k for k in signed)) + 0.5)


@pytest.mark.parametrize(("n", "ndim"), [(7, 2), (8, 3)])
def test_radius_is_counted_from_the_centre_pixel(n, ndim):
    radius = grids.radius_px(n, ndim)
    assert radius[(n // 2,) * ndim] == 0
    assert grids.centre(n) == n // 2
    assert radius[(0,) * ndim] == pytest.approx(np.sqrt(ndim) * (n // 2))
    assert radius[(n // 2,) * (ndim - 1) + (n // 2 + 2,)] == 2


@pytest.mark.parametrize(("outer", "inner"), [(8, 4), (8, 5), (9, 4), (9, 5), (9, 9), (6, 0), (5, 1)])
def test_crops_keep_the_origin(outer, inner):
    cut = np.arange(outer)[grids.centred_slice(outer, inner)]
    assert len(cut) == inner
    if inner:
        assert cut[inner // 2] == outer // 2


def test_nothing_larger_can_be_cut_out():
    with pytest.raises(ValueError, match="cannot cut 9 samples out of 8"):
        grids.centred_slice(8, 9)
