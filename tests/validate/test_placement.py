"""Mirrors, moves and the search for them, against index loops, np.roll and densities summed where they belong."""

import numpy as np
import pytest

from blobs import blob_points, blobs
from gemmap.validate.placement import MIRRORS, find_placement, mirrored, moved, rescaled

POINTS = blob_points(120, 11.0)


@pytest.mark.parametrize("n", [1, 2, 5, 6])
def test_a_mirror_maps_every_voxel_about_the_middle_one(n: int) -> None:
    volume = np.arange(n**3, dtype=np.float32).reshape((n,) * 3)
    for name, axes in MIRRORS.items():
        result = mirrored(volume, name)
        for index in np.ndindex((n,) * 3):
            source = list(index)
            for axis in axes:
                # The voxel as far on the other side of N//2; at even N voxel 0 is its own mate, as N/2 is.
                source[axis] = (2 * (n // 2) - index[axis]) % n
            assert result[index] == volume[tuple(source)]
        assert result[(n // 2,) * 3] == volume[(n // 2,) * 3]
        np.testing.assert_array_equal(mirrored(result, name), volume)


@pytest.mark.parametrize("n", [32, 33])
def test_a_mirror_of_a_density_is_the_density_of_mirrored_points(n: int) -> None:
    for name, axes in MIRRORS.items():
        signs = np.ones(3)
        signs[list(axes)] = -1
        np.testing.assert_allclose(mirrored(blobs(n, POINTS), name), blobs(n, POINTS * signs), atol=1e-4)


@pytest.mark.parametrize("n", [12, 13])
def test_whole_moves_are_rolls(n: int) -> None:
    volume = np.random.default_rng(0).standard_normal((n,) * 3).astype(np.float32)
    np.testing.assert_allclose(moved(volume, (2, -1, 5)), np.roll(volume, (5, -1, 2), (0, 1, 2)), atol=1e-5)


def test_a_part_of_a_voxel_is_a_move_of_the_points() -> None:
    shifted = blobs(40, POINTS + np.array([0.3, -0.5, 0.25]))
    np.testing.assert_allclose(moved(blobs(40, POINTS), (0.25, -0.5, 0.3)), shifted, atol=2e-3)


@pytest.mark.parametrize("n", [40, 41])
@pytest.mark.parametrize("mirror", [None, *MIRRORS])
def test_hand_and_shift_are_found(n: int, mirror: str | None) -> None:
    reference = blobs(n, POINTS)
    shift_zyx = np.array([1.5, -2.25, 0.75])
    volume = moved(reference, tuple(shift_zyx[::-1]))
    volume = volume if mirror is None else mirrored(volume, mirror)
    found = find_placement(volume, reference, 2.5)
    fit = found.moved if mirror is None else found.mirrored
    assert fit.score > 0.99
    assert fit.mirror == mirror
    np.testing.assert_allclose(fit.shift_px, shift_zyx[::-1], atol=0.02)
    other = found.mirrored if mirror is None else found.moved
    assert other.score < 0.7
    assert found.inverted.score < 0.3


def test_noise_and_contrast() -> None:
    reference = blobs(40, POINTS)
    noise = np.random.default_rng(1).standard_normal(reference.shape) * reference.std()
    found = find_placement((-reference + noise).astype(np.float32), reference, 2.5)
    assert found.inverted.score > 0.8
    assert found.inverted.distance_px < 0.1
    assert found.in_place == pytest.approx(-found.inverted.score, abs=0.01)


@pytest.mark.parametrize("scale", [0.97, 1.0, 1.025])
def test_voxel_size(scale: float) -> None:
    """The same object on voxels of another size: its points lie closer, or further, in voxels."""
    points = POINTS + np.array([1.0, -2.0, 0.5])
    found = find_placement(blobs(48, points / scale, 1.2 / scale), blobs(48, points), 2.5)
    assert found.scale == pytest.approx(scale, abs=0.003)
    assert found.scale_gain >= 0.0
    np.testing.assert_allclose(rescaled(blobs(48, points), scale), blobs(48, points / scale, 1.2 / scale), atol=0.05)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8])
def test_tiny_boxes_are_searched_without_complaint(n: int) -> None:
    volume = np.random.default_rng(2).standard_normal((n,) * 3).astype(np.float32)
    found = find_placement(volume, volume, 3.0)
    if n >= 4:
        assert found.moved.score == pytest.approx(1.0, abs=1e-3)
        assert found.in_place == pytest.approx(1.0, abs=1e-3)


def test_empty_maps_fit_nowhere() -> None:
    nothing = np.zeros((16,) * 3, np.float32)
    assert find_placement(nothing, nothing, 2.0).moved.score == 0.0
