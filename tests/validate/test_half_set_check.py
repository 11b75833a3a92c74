"""Maps of a half-set, of the other one, of neither, and with the opposite contrast."""

import numpy as np
import pytest
import scipy.ndimage

from gemmap.validate.half_set_check import match_half_sets
from gemmap.validate.masks import spherical_mask

N = 32
MASK = spherical_mask(N, 10.0, 4.0)
RNG = np.random.default_rng(3)
SIGNAL = scipy.ndimage.gaussian_filter(RNG.standard_normal((N, N, N)), 2.0) * MASK
NOISE = SIGNAL.std() * RNG.standard_normal((4, N, N, N))
BACK = (SIGNAL + NOISE[0], SIGNAL + NOISE[1])


def test_own_and_exchanged_halves_differ_in_sign_alone() -> None:
    halves = (SIGNAL + 0.5 * NOISE[0], SIGNAL + 0.5 * NOISE[1])
    right, exchanged = match_half_sets(halves, BACK, MASK), match_half_sets(halves[::-1], BACK, MASK)
    assert right.shared_noise > 20
    assert exchanged.shared_noise == pytest.approx(-right.shared_noise)
    assert right.correlation > 0.5


def test_maps_of_another_split_share_no_noise() -> None:
    match = match_half_sets((SIGNAL + NOISE[2], SIGNAL + NOISE[3]), BACK, MASK)
    assert abs(match.shared_noise) < 4
    assert match.correlation > 0.5


def test_contrast_is_the_sign_of_the_correlation() -> None:
    halves = (-SIGNAL - 0.5 * NOISE[0], -SIGNAL - 0.5 * NOISE[1])
    assert match_half_sets(halves, BACK, MASK).correlation < -0.5


def test_maps_of_something_else_hardly_correlate() -> None:
    assert abs(match_half_sets((NOISE[2], NOISE[3]), BACK, MASK).correlation) < 0.3
