"""How the particles of a half are divided."""

import numpy as np
import pytest
from fit_cases import aggregate_of, particles, phantom

from gemmap.fit.split import LEAST_PARTICLES, Split, places


@pytest.mark.parametrize("n", [8, 9, 100, 4001])
def test_three_quarters_are_seen_and_the_rest_is_in_two_like_sets(n):
    count = np.bincount(places(np.arange(n)), minlength=3)
    assert count.sum() == n
    assert abs(count[0] - 0.75 * n) <= 2
    assert abs(count[1] - count[2]) <= 1
    assert count.min() >= 1


def test_fewer_particles_leave_a_set_empty():
    assert np.bincount(places(np.arange(LEAST_PARTICLES - 1)), minlength=3).min() == 0
    assert len(places(np.arange(0))) == 0


def test_the_parts_add_up():
    table, images = particles(phantom(1, 10), 24, 16, noise=1.0)
    place = places(np.arange(24))
    parts = [aggregate_of(table.select(place == p), images[place == p]) for p in (0, 1, 2)]
    split = Split(parts[0], (parts[1], parts[2]))
    whole = aggregate_of(table, images)
    assert (split.total().n_particles, split.all_held_out().n_particles) == (24, 6)
    np.testing.assert_allclose(split.total().weight, whole.weight, atol=1e-5 * whole.weight.max())
    np.testing.assert_allclose(split.total().numerator, whole.numerator, atol=1e-5 * np.abs(whole.numerator).max())


def test_rows_of_one_image_go_to_the_same_set_and_images_are_dealt_as_if_they_were_rows():
    images = np.array([5, 5, 9, 2, 2, 2, 7, 5, 0, 1, 3, 4, 6])
    place = places(images)
    assert all(len(set(place[images == image])) == 1 for image in images)
    first = np.unique(images, return_index=True)[1]
    np.testing.assert_array_equal(place[np.sort(first)], places(np.arange(9)))


def test_without_copies_the_order_of_the_table_decides_whatever_the_images_are_called():
    np.testing.assert_array_equal(places(np.arange(40)[::-1]), np.resize([0, 0, 0, 1, 0, 0, 0, 2], 40))
