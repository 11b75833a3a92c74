"""The interval of the cross-FSC resolution holds the truth as often as it says, on maps whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest

from gemmap.validate.cross_fsc import estimate
from gemmap.validate.cross_interval import DETAIL, band, cross_interval
from gemmap.validate.cross_sums import CrossSums

N, PIXEL_A = 48, 1.5


def radii(n=N):
    k = np.fft.fftfreq(n, 1 / n)
    return np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2)


def filtered(volume, gain):
    return np.fft.ifftn(np.fft.fftn(volume) * gain(radii() / (N / 2))).real


def soft_sphere():
    x = (np.arange(N) - N // 2) / N
    radius = np.sqrt(x[:, None, None] ** 2 + x[:, None] ** 2 + x**2)
    return 0.5 - 0.5 * np.cos(np.pi * np.clip((0.42 - radius) / 0.12, 0, 1))


MASK = soft_sphere()


def correlation(a, b):
    """FSC within the mask."""
    a, b, shells = np.fft.fftn(a * MASK), np.fft.fftn(b * MASK), np.rint(radii()).astype(int).ravel()
    cross, aa, bb = (
        np.bincount(shells, v.ravel())[: N // 2 + 1] for v in ((a * b.conj()).real, abs(a) ** 2, abs(b) ** 2)
    )
    return cross / np.sqrt(aa * bb)


def crossing_a(curve):
    for s in range(1, len(curve)):
        if curve[s] < 0.5 and s == 1:
            return np.inf
        if curve[s] < 0.5:
            return N * PIXEL_A / (s - 1 + (curve[s - 1] - 0.5) / (curve[s - 1] - curve[s]))
    return 2 * PIXEL_A


class Case:
    """Truth, its back-projections with noise, and fits that follow it, with the bias they share."""

    def __init__(self, seed, noise=0.3, fall=3.0, bias=2.0):
        rng = np.random.default_rng(seed)
        white = rng.normal(size=(4, N, N, N))
        truth = filtered(white[0], lambda q: np.exp(-fall * q)) * MASK
        errors = [noise * filtered(w, lambda q: 0.3 + q) for w in white[1:3]]
        shared = bias * filtered(white[3], lambda q: np.exp(-fall * q) * q) * MASK
        fits = [filtered(truth + shared + 0.4 * e, lambda q: np.exp(-q)) for e in errors]
        self.sums = CrossSums.measure(*fits, *(truth + e for e in errors), MASK)
        self.found = estimate(self.sums.total, self.sums.points)
        self.true_curve = correlation(fits[0] + fits[1], truth)
        self.true_a = crossing_a(self.true_curve)

    def interval(self, seed=0):
        return cross_interval(self.sums, self.found, PIXEL_A, seed)


CASES = [Case(seed) for seed in range(30)]


def held(cases):
    """Part of the cases whose interval holds the true resolution."""
    return np.mean([i.better_a <= c.true_a <= i.worse_a for c in cases for i in [c.interval()]])


def test_it_holds_the_true_resolution():
    assert held(CASES) >= 0.93
    assert np.median([c.interval().worse_a / c.interval().better_a for c in CASES]) < 1.4


def test_the_band_holds_the_true_curve_in_95_of_100_shells():
    inside = []
    for case in CASES:
        lower, upper = band(case.sums, case.found)
        judged = case.found.reliable & (np.arange(N // 2 + 1) > 4)
        inside.append(((lower <= case.true_curve) & (case.true_curve <= upper))[judged])
    assert np.mean(np.concatenate(inside)) > 0.93


def test_it_holds_the_estimate_and_is_repeatable():
    for case in CASES[:5]:
        interval = case.interval()
        assert interval.better_a < crossing_a(case.found.full) < interval.worse_a
        assert case.interval() == interval
        assert case.interval(1) != interval


def test_a_flat_curve_makes_it_wide():
    """Both curves fall below 0.5 at about 3.6 Å, one from 0.69 two shells before, the other from 0.56."""

    def width(**kind):
        return np.median([np.log(i.worse_a / i.better_a) for s in range(8) for i in [Case(s, **kind).interval()]])

    assert width(noise=0.15) > 1.4 * width(noise=0.03, fall=6.0, bias=1.0)


def test_cells_that_hold_the_same_make_it_wider():
    case = CASES[0]
    assert case.interval() == cross_interval(replace(case.sums, order=1), case.found, PIXEL_A)
    widths = []
    for order in (1, 4, 24):
        lower, upper = band(replace(case.sums, order=order), case.found)
        # Without what the draws do not show, which is the same for all.
        widths.append((upper - lower)[5:15].mean() - 2 * 1.96 * DETAIL)
    assert 1.5 < widths[1] / widths[0] < 4.0
    assert widths[2] > 1.5 * widths[1]


def test_beyond_what_is_known_only_the_half_maps_bound_it():
    case = Case(3, noise=0.8, bias=0.0)
    assert not case.found.reliable[-1]
    lower, upper = band(case.sums, case.found)
    unknown = ~case.found.reliable
    assert not lower[unknown].any()
    assert (upper[unknown] >= case.found.claimed[unknown] + 0.05).all()
    assert (upper[unknown] <= case.found.claimed[unknown] + 0.2).all()
    assert held([Case(seed, 0.8, bias=0.0) for seed in range(12)]) > 0.9


def test_noise_alone_may_not_be_resolved():
    maps = np.random.default_rng(0).normal(size=(4, N, N, N))
    sums = CrossSums.measure(*maps, MASK)
    interval = cross_interval(sums, estimate(sums.total, sums.points), PIXEL_A)
    assert interval.worse_a > 20.0
    assert str(interval).startswith(f"{interval.better_a:.2f} ")


@pytest.mark.parametrize("n", [6, 7, 24])
def test_tiny_boxes(n):
    maps = np.random.default_rng(1).normal(size=(n, n, n))
    sums = CrossSums.measure(maps, maps, maps, maps, np.ones((n, n, n)))
    interval = cross_interval(sums, estimate(sums.total, sums.points), 2.0)
    assert interval.better_a == interval.worse_a == pytest.approx(n * 2.0 / (n // 2))
