"""Some images of a stack, numbered anew."""

import numpy as np

from gemmap.particles.stack import ArrayStack, SelectedStack


def test_selected_images_are_numbered_from_zero() -> None:
    images = np.arange(5 * 16 * 16, dtype=np.float32).reshape(5, 16, 16)
    some = SelectedStack(ArrayStack(images), np.array([4, 0, 0, 2]))
    assert (some.n, some.box_px) == (4, 16)
    np.testing.assert_array_equal(some.read(np.array([3, 0])), images[[2, 4]])
    assert SelectedStack(some, np.zeros(0, int)).n == 0
    np.testing.assert_array_equal(SelectedStack(some, np.array([3, 1])).read(np.array([0])), images[[2]])
