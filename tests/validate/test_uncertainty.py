"""The interval of a resolution: it holds the truth as often as it says, and shrinks with the number of points."""

import numpy as np
import pytest

from gemmap.validate.fsc import fsc
from gemmap.validate.masks import spherical_mask
from gemmap.validate.resolution import Interval, resolution_at
from gemmap.validate.uncertainty import half_bit, independent_points, resolution_interval

N, PIXEL_A = 40, 1.5


def halves(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two noisy copies of white noise that falls off, and the FSC they have on average."""
    rng = np.random.default_rng(seed)
    k = np.fft.fftfreq(N)
    k2 = k[:, None, None] ** 2 + k[:, None] ** 2 + np.fft.rfftfreq(N) ** 2
    fall = np.exp(-12.0 * k2)
    signal, noise1, noise2 = (np.fft.rfftn(rng.standard_normal((N, N, N))) for _ in range(3))
    maps = (np.fft.irfftn(fall * signal + 0.4 * noise, s=(N, N, N), axes=(0, 1, 2)) for noise in (noise1, noise2))
    shell_k2 = (np.arange(N // 2 + 1) / N) ** 2
    power = np.exp(-24.0 * shell_k2)
    half1, half2 = maps
    return half1, half2, power / (power + 0.16)


def test_the_interval_holds_the_expected_resolution_about_as_often_as_it_says() -> None:
    points = independent_points(None, N)
    held = 0
    for seed in range(40):
        half1, half2, expected = halves(seed)
        interval = resolution_interval(fsc(half1, half2), points, 0.3, N, PIXEL_A)
        truth = resolution_at(expected, 0.3, N, PIXEL_A, "", "").value_a
        held += interval.better_a <= truth <= interval.worse_a
    assert held >= 34


def test_fewer_points_make_it_wider() -> None:
    _, _, curve = halves(0)
    widths = []
    for n in (1000.0, 100.0, 20.0):
        interval = resolution_interval(curve, np.full(N // 2 + 1, n), 0.3, N, PIXEL_A)
        widths.append(interval.worse_a - interval.better_a)
    assert widths == sorted(widths)
    assert widths[-1] > 3 * widths[0]


def test_the_same_seed_gives_the_same_interval() -> None:
    _, _, curve = halves(0)
    points = independent_points(spherical_mask(N, 8.0, 4.0), N)
    assert resolution_interval(curve, points, 0.143, N, PIXEL_A, 3) == resolution_interval(
        curve, points, 0.143, N, PIXEL_A, 3
    )


def test_a_hard_mask_counts_its_share_of_the_box() -> None:
    mask = np.zeros((N, N, N), np.float32)
    mask[:, :, : N // 4] = 1.0
    whole, part = independent_points(None, N), independent_points(mask, N)
    np.testing.assert_allclose(part[5:], whole[5:] / 4)


def test_half_bit_is_that_of_van_heel_and_schatz() -> None:
    assert half_bit(np.array([1e12]))[0] == pytest.approx(0.2071 / 1.2071, abs=1e-4)
    assert half_bit(np.array([100.0]))[0] == pytest.approx((0.2071 + 0.19102) / (1.2071 + 0.09102))


def test_a_curve_that_may_never_rise_says_so() -> None:
    interval = resolution_interval(np.full(N // 2 + 1, 0.1), np.full(N // 2 + 1, 10.0), 0.143, N, PIXEL_A)
    assert not np.isfinite(interval.worse_a)
    assert str(interval).endswith(" Å to not resolved")
    assert str(Interval(3.0, 4.126)) == "3.00 to 4.13 Å"


def test_copies_by_symmetry_are_no_points_of_their_own() -> None:
    """FSC of symmetric noise: its spread is that of as many fewer values as the group has rotations (D2)."""
    n, rng = 33, np.random.default_rng(4)
    curves = []
    for _ in range(60):
        pair = []
        for white in rng.standard_normal((2, n, n, n)):
            about_z = white + white[:, ::-1, ::-1]
            pair.append(about_z + about_z[::-1, ::-1])
        curves.append(fsc(*pair))
    spread = np.std(curves, axis=0)[4:16]
    assert np.median(spread * np.sqrt(2.0 * independent_points(None, n, 4)[4:16])) == pytest.approx(1.0, abs=0.1)
    assert independent_points(None, n, 1000).min() == 1.0


def test_read_between_shells_where_that_is_asked_for() -> None:
    _, _, curve = halves(0)
    points = independent_points(None, N)
    whole, between = (resolution_interval(curve, points, 0.3, N, PIXEL_A, 0, kind) for kind in (False, True))
    assert N * PIXEL_A / whole.better_a == pytest.approx(round(N * PIXEL_A / whole.better_a))
    assert N * PIXEL_A / between.better_a != pytest.approx(round(N * PIXEL_A / between.better_a), abs=1e-3)
