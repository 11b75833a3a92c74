"""How the particles of a half are divided."""

import numpy as np
import pytest
from fit_cases import aggregate_of, particles, phantom

from gemmap.fit.split import LEAST_PARTICLES, Split, places


@pytest.mark.parametrize("n", [8, 9, 100, 4001])
def test_three_quarters_are_seen_and_the_rest_is_in_two_like_sets(n):
    count = np.bincount(places(n), minlength=3)
    assert count.sum() == n
    assert abs(count[0] - 0.75 * n) <= 2
    assert abs(count[1] - count[2]) <= 1
    assert count.min() >= 1


def test_fewer_particles_leave_a_set_empty():
    assert np.bincount(places(LEAST_PARTICLES - 1), minlength=3).min() == 0
    assert len(places(0)) == 0


def test_the_parts_add_up():
    table, images = particles(phantom(1, 10), 24, 16, noise=1.0)
    place = places(24)
    parts = [aggregate_of(table.select(place == p), images[place == p]) for p in (0, 1, 2)]
    split = Split(parts[0], (parts[1], parts[2]))
    whole = aggregate_of(table, images)
    assert (split.total().n_particles, split.all_held_out().n_particles) == (24, 6)
    np.testing.assert_allclose(split.total().weight, whole.weight, atol=1e-5 * whole.weight.max())
    np.testing.assert_allclose(split.total().numerator, whole.numerator, atol=1e-5 * np.abs(whole.numerator).max())
