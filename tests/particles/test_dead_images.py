"""What counts as a dead image, and how many may be."""

import numpy as np
import pytest

from gemmap.errors import InputError
from gemmap.particles.dead_images import DeadImages, is_dead, named

NOISE = np.random.default_rng(0).normal(size=(1, 8, 8)).astype(np.float32)


def with_pixel(value: float) -> np.ndarray:
    image = NOISE.copy()
    image[0, 3, 5] = value
    return image


@pytest.mark.parametrize(
    "image",
    [
        *(with_pixel(value) for value in (np.nan, np.inf, -np.inf)),
        np.zeros((1, 8, 8)),
        np.full((1, 8, 8), -3.7),
        np.full((1, 8, 8), np.inf),
        np.full((1, 8, 8), 3e38),
        1e4 + 1e-4 * NOISE,  # one value, up to the rounding of float32
    ],
)
def test_dead(image: np.ndarray) -> None:
    assert is_dead(np.concatenate([NOISE, image.astype(np.float32)])).tolist() == [False, True]


@pytest.mark.parametrize("image", [with_pixel(1e30), 1e-30 * NOISE, 1e3 + NOISE, 3e38 * np.sign(NOISE)])
def test_not_dead(image: np.ndarray) -> None:
    assert is_dead(image.astype(np.float32)).tolist() == [False]


def test_no_images() -> None:
    assert is_dead(np.zeros((0, 8, 8), np.float32)).shape == (0,)


@pytest.mark.parametrize(("n", "allowed"), [(99, 0), (100, 1), (199, 1), (250, 2)])
def test_one_percent_may_be_dead(n: int, allowed: int) -> None:
    dead = DeadImages(n)
    for row in range(allowed):
        dead.add(np.array([row, row]))
    assert len(dead) == allowed
    with pytest.raises(InputError, match=rf"^{allowed + 1} of {n} images, .* at most 1 % can be left out: remove"):
        dead.add(np.array([n - 1]))


def test_an_image_is_counted_once_and_living_rows_keep_their_order() -> None:
    dead = DeadImages(1000, [7, 3])
    dead.add(np.array([3, 5]))
    assert dead.rows.tolist() == [3, 5, 7]
    assert dead.living(np.array([9, 7, 1, 5, 0])).tolist() == [9, 1, 0]
    assert DeadImages(5).living(np.array([4, 2])).tolist() == [4, 2]


@pytest.mark.parametrize(
    ("rows", "text"), [([4], "particle 5"), ([0, 1, 2], "particles 1, 2, 3"), ([0, 1, 2, 3], "particles 1, 2, 3, ...")]
)
def test_names(rows: list[int], text: str) -> None:
    assert named(rows) == text
