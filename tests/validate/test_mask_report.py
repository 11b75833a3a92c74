"""Every verdict on a mask that is wrong in exactly that way, and none on masks that are right."""

import numpy as np
import pytest
import scipy.ndimage

from gemmap.validate.mask_report import edge_width_px, report_mask
from gemmap.validate.masks import find_particle, soft_mask_from_map, soften, spherical_mask

PIXEL_A = 2.0


def lump(n: int) -> np.ndarray:
    """An ellipsoid with a notch, made of blurred points."""
    points = np.random.default_rng(0).standard_normal((4000, 3))
    points *= (0.2 * n * np.random.default_rng(1).random(4000) ** (1 / 3) / np.linalg.norm(points, axis=1))[:, None]
    points = points[(points[:, 0] < 0.1 * n) | (points[:, 1] < 0)] * (1.0, 0.8, 0.6)
    density = np.zeros((n, n, n))
    np.add.at(density, tuple(np.rint(points + n // 2).astype(int).T), 1.0)
    return scipy.ndimage.gaussian_filter(density, 1.0).astype(np.float32)


VOLUME = lump(64)
PARTICLE = find_particle(VOLUME, PIXEL_A).voxels
RIGHT = soften(PARTICLE)


def sentences(mask: np.ndarray, volume: np.ndarray = VOLUME) -> list[str]:
    return report_mask(mask, volume, PIXEL_A).sentences()


@pytest.mark.parametrize(
    "mask",
    [RIGHT, soften(PARTICLE, 0, 8), soften(PARTICLE, 5, 5), soften(PARTICLE, 3, 10), spherical_mask(64, 18, 6)],
    ids=["usual", "no growth", "wide", "softer", "sphere"],
)
@pytest.mark.parametrize("noise", [0.0, 0.5, 3.0, 20.0])
def test_right_masks_give_no_alarm(mask: np.ndarray, noise: float) -> None:
    spread = noise * VOLUME[PARTICLE].std()
    noisy = VOLUME + spread * np.random.default_rng(2).standard_normal(VOLUME.shape).astype(np.float32)
    assert sentences(mask, noisy) == []


@pytest.mark.parametrize("n", [40, 41])
def test_our_own_mask_gives_no_alarm(n: int) -> None:
    volume = lump(n)
    assert sentences(soft_mask_from_map(volume, PIXEL_A), volume) == []


def test_what_is_wrong_is_said_and_nothing_else() -> None:
    cut, shifted = RIGHT.copy(), np.roll(RIGHT, 24, axis=0)
    cut[:, :, 32:] *= np.clip(1.0 - np.arange(32) / 6.0, 0.0, 1.0).astype(np.float32)
    shifted[:16] = 0
    for wrong, words in (
        (soften(PARTICLE, 3, 0), "is binary"),
        (soften(PARTICLE, 4, 2), "edge is 2.0 px wide"),
        (soften(PARTICLE, 0, 3), "is tight: half of its surface lies within 1.4 px"),
        (cut, "of the density of the particle"),
        (np.ones_like(RIGHT), "covers 100% of the box"),
        (spherical_mask(64, 28, 6), "reaches the edge of the box"),
    ):
        assert [words in sentence for sentence in sentences(wrong)] == [True], words
    assert any("leaves out" in sentence for sentence in sentences(shifted))


def test_figures() -> None:
    found = report_mask(spherical_mask(64, 18, 6), VOLUME, PIXEL_A)
    assert found.fraction_of_box == pytest.approx(4 / 3 * np.pi * 21**3 / 64**3, rel=0.01)
    assert found.left_out == 0.0
    half = report_mask(RIGHT * np.float32(0.5), VOLUME, PIXEL_A)
    assert half.left_out == pytest.approx(0.5, abs=1e-6)
    assert half.margin_px is None  # it is nowhere above one half
    assert report_mask(RIGHT, VOLUME, PIXEL_A) == report_mask(RIGHT.copy(), VOLUME, PIXEL_A)


def test_margin_of_concentric_balls() -> None:
    z, y, x = np.indices((48, 48, 48)) - 24
    core = (x**2 + y**2 + z**2 <= 10**2).astype(np.float32)
    found = report_mask(spherical_mask(48, 13, 6), core, 20.0)  # too coarse for a filter
    assert found.margin_px == pytest.approx(5.5, abs=0.6)  # half level at 16, whose last voxels lie below it
    assert report_mask(spherical_mask(48, 5, 2), core, 20.0).margin_px == pytest.approx(-3.7, abs=0.6)


@pytest.mark.parametrize("edge", [2.5, 3.0, 4.0, 6.0, 10.0])
def test_width_of_the_edge(edge: float) -> None:
    assert edge_width_px(soften(PARTICLE, 3, edge)) == pytest.approx(edge, abs=0.5)


def test_a_map_that_shows_nothing_leaves_the_particle_out() -> None:
    found = report_mask(RIGHT, np.zeros_like(VOLUME), PIXEL_A)
    assert (found.margin_px, found.left_out) == (None, None)
    assert found.sentences() == []
