"""Where the particle's extent comes from, and what is said of it."""

from dataclasses import replace

import numpy as np
import pytest
from fit_cases import PIXEL_SIZE_A, particles, phantom

from gemmap.errors import InputError
from gemmap.fit.config import FitConfig
from gemmap.fit.extent import (
    UNKNOWN_END,
    UNKNOWN_RADIUS,
    Extent,
    diameter_in_pixels,
    find_extent,
    particle_circles,
)
from gemmap.fit.progress import Silent
from gemmap.fit.region import EDGE_PX, Region
from gemmap.particles.dead_images import DeadImages
from gemmap.particles.stack import ArrayStack

BOX, N = 32, 120
TABLE, IMAGES = particles(phantom(5, 40), N, BOX, noise=1.0)


class Notes(Silent):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


def found(images=IMAGES, diameter_a=None):
    notes = Notes()
    config = FitConfig(particle_diameter_a=diameter_a)
    return find_extent(TABLE, ArrayStack(images), np.arange(N), 1, DeadImages(N), config, notes), notes.texts


@pytest.mark.parametrize(("diameter_px", "radius_px"), [(20.0, 10.0), (31.0, 15.0), (99.0, 15.0)])
def test_the_user_knows_best_within_the_box(diameter_px, radius_px):
    extent, texts = found(diameter_a=diameter_px * PIXEL_SIZE_A)
    assert extent.radius_px == pytest.approx(min(radius_px, 0.5 * diameter_px))
    assert extent.edge_px == EDGE_PX
    assert texts == []


def test_a_diameter_in_pixels_of_the_map():
    assert diameter_in_pixels(180.0, 1.5) == 120.0
    assert diameter_in_pixels(6.0, 1.5) == 4.0
    with pytest.raises(InputError, match=r"5 Å is 3\.3 pixels wide; expected at least 4 pixels, which is 6 Å"):
        diameter_in_pixels(5.0, 1.5)


def test_a_particle_that_is_seen():
    extent, texts = found()
    assert 5.0 < extent.radius_px < 15.0
    assert extent.edge_px == EDGE_PX
    assert len(texts) == 1
    assert "particle diameter estimated as" in texts[0]


def test_a_particle_that_is_not_seen_is_looked_for_in_a_sphere_that_fades_out():
    noise = np.random.default_rng(0).normal(size=IMAGES.shape).astype(np.float32)
    extent, texts = found(noise)
    assert extent.radius_px == UNKNOWN_RADIUS * BOX
    assert extent.radius_px + extent.edge_px == pytest.approx(UNKNOWN_END * BOX)
    assert (
        "half 1: no particle is seen at low resolution; a sphere of 48 Å that fades out to 77 Å is fitted" in texts[0]
    )


def test_a_wide_edge_holds_little_of_higher_shells():
    """The windows of two halves are the same: what they hold from shell 8 up would correlate."""

    def high(radius_px, edge_px):
        window = Region.build(128, radius_px, None, edge_px).window
        k = np.fft.fftfreq(128, 1 / 128)
        shell = np.rint(np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2))
        return np.sqrt((np.abs(np.fft.fftn(window)[shell >= 8]) ** 2).sum()) / window.sum()

    assert high(UNKNOWN_RADIUS * 128, (UNKNOWN_END - UNKNOWN_RADIUS) * 128) < 0.2 * high(51.0, EDGE_PX)


def test_circles_are_in_pixels_of_the_images_and_follow_the_halves():
    table, _ = particles(phantom(5, 40), 8, BOX, noise=1.0, n_groups=2)
    table = replace(table, optics=(table.optics[0], replace(table.optics[1], pixel_size_a=2 * PIXEL_SIZE_A)))
    table = replace(table, map_pixel_size_a=PIXEL_SIZE_A)
    rows = {half: np.flatnonzero(table.half == half) for half in (1, 2)}
    circles = particle_circles(table, rows, {1: Extent(8.0, 3.0), 2: Extent(10.0, 6.0)})
    finer = np.where(table.optics_group == 0, 1.0, 2.0)
    np.testing.assert_allclose(circles.radius_px * finer, np.where(table.half == 1, 8.0, 10.0))
    np.testing.assert_allclose(circles.edge_px * finer, np.where(table.half == 1, 3.0, 6.0))
    np.testing.assert_allclose(circles.centre_px * finer[:, None] * PIXEL_SIZE_A, -table.shifts_a)
