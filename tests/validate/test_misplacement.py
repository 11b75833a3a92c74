import numpy as np
import pytest

from blobs import blob_points, blobs
from gemmap._types import Volume
from gemmap.validate.fsc import fsc
from gemmap.validate.masks import spherical_mask
from gemmap.validate.misplacement import Pair, misplacements
from gemmap.validate.placement import MIRRORS, find_placement, mirrored, moved

N, PIXEL_A = 48, 2.0
POINTS = blob_points(150, 12.0, seed=3)
REFERENCE = blobs(N, POINTS)
NOISE = np.random.default_rng(0).standard_normal((N, N, N)).astype(np.float32) * REFERENCE.std() * 0.3


def sentences(volume: Volume, reference: Volume = REFERENCE) -> str:
    mask = spherical_mask(len(reference), 0.4 * len(reference), 4.0)
    pair = Pair(volume, reference, mask, PIXEL_A, "the model")
    placement = find_placement(volume, reference, PIXEL_A)
    return " ".join(misplacements(pair, fsc(volume, reference, mask), placement))


def test_nothing_is_said_about_maps_that_fit() -> None:
    assert sentences(REFERENCE + NOISE) == ""
    assert sentences(REFERENCE) == ""


@pytest.mark.parametrize("mirror", list(MIRRORS))
def test_the_hand(mirror: str) -> None:
    text = sentences(mirrored(REFERENCE + NOISE, mirror))
    assert f"The map mirrored {mirror} fits the model much better" in text
    assert "wrong hand" in text
    assert "moved by" not in text


def test_the_hand_of_a_map_that_lies_elsewhere() -> None:
    text = sentences(mirrored(moved(REFERENCE, (3.0, 0.0, 0.0)), "along z"))
    assert "mirrored along z" in text
    assert "the model moved by (+6.00," in text


def test_opposite_contrast() -> None:
    assert "fits the model with opposite contrast" in sentences(-REFERENCE + NOISE)


@pytest.mark.parametrize(
    ("shift", "words"),
    [
        ((0.5, 0.5, 0.5), "half a voxel on each axis"),
        ((-1.0, -1.0, -1.0), "one voxel on each axis"),
        ((1.0, 0.0, 0.0), "(+1.00, "),
        ((24.0, 24.0, 24.0), "half the box"),
    ],
)
def test_the_position(shift: tuple[float, float, float], words: str) -> None:
    text = sentences(moved(REFERENCE + 0.3 * NOISE, shift))
    assert "The model fits better moved by" in text
    assert words in text
    assert ("on each axis" in text) == ("on each axis" in words)
    assert "--translate" in text


def test_half_an_odd_box() -> None:
    reference = blobs(45, POINTS)
    assert "half the box" in sentences(np.fft.ifftshift(reference), reference)


def test_the_voxel_size() -> None:
    text = sentences(blobs(N, POINTS / 1.03, 1.2 / 1.03))
    assert "better with voxels of 2.06" in text
    assert "+3.0 %" in text or "+2.9 %" in text or "+3.1 %" in text


def test_maps_of_different_things() -> None:
    other = blobs(N, blob_points(150, 12.0, seed=9) * np.array([0.3, 1.0, 1.6]))
    noise = np.random.default_rng(5).standard_normal((N, N, N)).astype(np.float32)
    assert "do not fit in any position" in sentences(noise)
    assert "rotations were not" in sentences(noise)
    assert "mirrored" not in sentences(other)
