"""Sums over directions: all points once, mates together, cells of about one size."""

import numpy as np
import pytest

from gemmap.errors import InputError
from gemmap.validate.cross_sums import BACK1, BACKS, CROSS, FIT1, FIT2, FITS, N_CELLS, N_RINGS, CrossSums


def maps(n, count=4, seed=0):
    return list(np.random.default_rng(seed).normal(size=(count, n, n, n)))


def measured(n, volumes):
    return CrossSums.measure(*volumes, np.ones((n, n, n)))


def full_shells(n):
    k = np.fft.fftfreq(n, 1 / n)
    return np.rint(np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2)).astype(int)


def wave(n, k):
    """A plane wave of frequency k (z, y, x)."""
    z, y, x = np.indices((n, n, n))
    return np.cos(2 * np.pi * (k[0] * z + k[1] * y + k[2] * x) / n + 0.3)


@pytest.mark.parametrize("n", [8, 9, 16, 21])
def test_totals_are_those_of_the_full_transform(n):
    volumes = maps(n)
    g1, g2, b1, b2 = (np.fft.fftn(v) for v in volumes)
    shells = full_shells(n)

    def total(a, b):
        return np.array([(a * b.conj()).real[shells == s].sum() for s in range(n // 2 + 1)])

    found = measured(n, volumes).total
    for index, expected in (
        (FIT1, total(g1, g1)), (FIT2, total(g2, g2)), (BACK1, total(b1, b1)), (FITS, total(g1, g2)),
        (BACKS, total(b1, b2)), (CROSS, 0.5 * (total(g1, b2) + total(g2, b1))),
    ):  # fmt: skip
        np.testing.assert_allclose(found[index], expected, atol=1e-9 * n**6)


@pytest.mark.parametrize(
    "k", [(3, 0, 0), (0, 5, 0), (0, 0, 4), (2, -5, 0), (2, 5, 0), (-6, 3, 2), (1, 1, -7), (8, 0, 0)]
)
def test_a_plane_wave_and_its_mate_are_in_one_cell(k):
    n = 16
    power = measured(n, [wave(n, k)] * 4).by_cell[:, FIT1]
    cells, shells = np.nonzero(power > 1e-6 * power.sum())
    assert len(cells) == 1
    assert shells[0] == np.rint(np.linalg.norm(k))
    other = measured(n, [wave(n, [-q for q in k])] * 4).by_cell[:, FIT1]
    np.testing.assert_allclose(other, power, atol=1e-6 * power.sum())


def test_cells_are_small_and_alike():
    """White noise of unit power: power counts points. Waves of one cell point one way, waves far apart do not."""
    n = 48
    power = measured(n, maps(n)).by_cell[:, FIT1, 10:24].sum(axis=1)
    assert power.shape == (N_CELLS,)
    assert power.min() > 0.4 * power.mean()
    assert power.max() < 1.6 * power.mean()
    places = {}
    rng = np.random.default_rng(1)
    for k in np.rint(11 * (u := rng.normal(size=(40, 3))) / np.linalg.norm(u, axis=1)[:, None]).astype(int):
        cell = int(np.argmax(measured(24, [wave(24, k)] * 4).by_cell[:, FIT1].sum(axis=1)))
        places.setdefault(cell, []).append(k / np.linalg.norm(k))
    assert len(places) > 25
    for directions in places.values():
        for d in directions:
            assert np.degrees(np.arccos(min(1.0, abs(d @ directions[0])))) < 2.0 * 180 / N_RINGS


def test_a_mask_multiplies_the_maps_and_counts_the_points():
    n = 16
    volumes, mask = maps(n), np.zeros((n, n, n))
    mask[4:12, 4:12, 4:12] = 1.0
    inside = CrossSums.measure(*volumes, mask)
    np.testing.assert_allclose(inside.by_cell, measured(n, [v * mask for v in volumes]).by_cell, atol=1e-6)
    np.testing.assert_allclose(inside.points[5:], measured(n, volumes).points[5:] / 8, rtol=1e-9)
    assert inside.box_px == n


def test_maps_that_do_not_fit_together_are_refused():
    with pytest.raises(InputError, match=r"shape \(6, 6, 6\)"):
        CrossSums.measure(*(np.ones((n,) * 3) for n in (8, 8, 8, 6, 8)))
