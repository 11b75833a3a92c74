"""Images are recognised by their pixels."""

import numpy as np
import pytest

from gemmap.particles.identity import IdentifiedStack, image_ids
from gemmap.particles.stack import ArrayStack


def noise(n: int, box_px: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, box_px, box_px)).astype(np.float32)


@pytest.mark.parametrize("box_px", [1, 2, 7, 32])
def test_the_number_is_the_sum_it_says(box_px):
    images = noise(3, box_px)
    factors = [int(f) | 1 for f in np.random.default_rng(20250925).integers(0, 2**64, box_px**2, np.uint64)]
    for image, found in zip(images, image_ids(images), strict=True):
        words = [int.from_bytes(np.abs(pixel).tobytes(), "little") for pixel in image.ravel()]
        total = sum(w * f for w, f in zip(words, factors, strict=True)) % 2**64
        assert int(found) % 2**64 == total ^ (total >> 32)


def test_different_images_have_different_numbers_and_dark_ones_those_of_bright_ones():
    images = noise(2000, 8)
    assert len(np.unique(image_ids(images))) == 2000
    np.testing.assert_array_equal(image_ids(-images), image_ids(images))


def test_one_pixel_that_changes_by_one_bit_changes_the_number():
    images = np.repeat(noise(1, 16), 256, axis=0)
    changed = images.copy().view(np.uint32)
    changed.reshape(256, -1)[np.arange(256), np.arange(256)] ^= 1
    ids = image_ids(changed.view(np.float32))
    assert len(np.unique(np.append(ids, image_ids(images[:1])))) == 257


def test_no_images_have_no_numbers():
    assert image_ids(np.zeros((0, 8, 8), np.float32)).shape == (0,)


def test_a_stack_keeps_the_numbers_of_what_was_read():
    images = noise(5, 8)
    stack = IdentifiedStack(ArrayStack(images))
    assert (stack.n, stack.box_px) == (5, 8)
    np.testing.assert_array_equal(stack.read(np.array([3, 1])), images[[3, 1]])
    expected = image_ids(images)
    np.testing.assert_array_equal(stack.ids, [0, expected[1], 0, expected[3], 0])
